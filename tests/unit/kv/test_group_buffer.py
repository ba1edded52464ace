"""The buffer of a group: each write sees those before it; one that goes too far takes nothing along."""

from typing import Any, Final

import pytest

from runindex_server.kv.api import EnvelopeError, decode_counter, encode_counter
from runindex_server.kv.group_buffer import GroupBuffer
from runindex_server.kv.write_buffer import Changes, Sequences

MANY: Final = 2**62


class Rows:
    """Rows of an engine, which tell how often they were read."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self._rows = rows
        self.reads: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        self.reads.append(key)
        return self._rows.get(key)

    def get_counter(self, key: bytes) -> int:
        row = self.get(key)
        return 0 if row is None else decode_counter(row)


@pytest.fixture
def engine() -> Rows:
    return Rows({b"a": b"1", b"b": b"2", b"n": encode_counter(5)})


@pytest.fixture
def group(engine: Rows) -> GroupBuffer:
    return GroupBuffer(engine)


def changes(
    puts: dict[bytes, bytes] | None = None, deletes: tuple[bytes, ...] = (), **deltas: int
) -> Changes:
    """Return what a write changes; counters by their key."""
    return Changes(
        puts=puts or {},
        deletes=deletes,
        deltas={key.encode(): delta for key, delta in deltas.items()},
        sequences=Sequences(),
        write_bytes=0,
    )


def test_nothing_has_changed_at_first(group: GroupBuffer) -> None:
    assert group.get(b"a") == b"1"
    assert group.get(b"absent") is None
    assert group.get_counter(b"n") == 5
    assert group.get_counter(b"absent") == 0
    assert group.rows == {}


def test_each_write_sees_those_before_it(group: GroupBuffer) -> None:
    group.add(changes({b"a": b"new"}, (b"b",), n=2))
    assert (group.get(b"a"), group.get(b"b"), group.get_counter(b"n")) == (b"new", None, 7)

    group.add(changes({b"b": b"again"}, (b"a",), n=-7, m=1))
    assert (group.get(b"a"), group.get(b"b"), group.get_counter(b"n")) == (None, b"again", 0)
    assert group.rows == {b"a": None, b"b": b"again", b"n": None, b"m": encode_counter(1)}


def test_a_counter_is_read_like_its_row(group: GroupBuffer) -> None:
    group.add(changes(n=1))
    assert group.get(b"n") == encode_counter(6)
    group.add(changes({b"n": encode_counter(-3)}))
    assert group.get_counter(b"n") == -3
    group.add(changes(deletes=(b"n",)))
    assert group.get_counter(b"n") == 0
    group.add(changes(n=4))
    assert group.get_counter(b"n") == 4


@pytest.mark.parametrize("changed", [{"puts": {b"n": encode_counter(-3)}}, {"deletes": (b"n",)}])
def test_what_a_counter_was_is_over_when_its_row_is_decided(group: GroupBuffer, changed: Any) -> None:
    group.add(changes(n=1))
    group.add(changes(**changed))
    row = changed.get("puts", {}).get(b"n")

    assert (group.get(b"n"), group.rows) == (row, {b"n": row})


def test_a_counter_is_read_from_the_engine_once(group: GroupBuffer, engine: Rows) -> None:
    for _ in range(3):
        assert group.get_counter(b"n") == 5
        group.add(changes(m=1))

    assert sorted(engine.reads) == [b"m", b"n"]


def test_a_counter_that_goes_too_far_takes_nothing_along(group: GroupBuffer) -> None:
    group.add(changes(n=MANY))

    with pytest.raises(EnvelopeError):
        group.add(changes({b"a": b"lost"}, (b"b",), m=1, n=MANY))
    assert group.rows == {b"n": encode_counter(MANY + 5)}
