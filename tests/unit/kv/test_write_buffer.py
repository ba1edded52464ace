"""What a buffered write hands over."""

import pytest

from runindex_server.kv.write_buffer import Changes, Sequences, WriteBuffer
from tests.support.clock import START_US, ManualClock


class Rows(dict[bytes, bytes]):
    """An engine's rows; counters are numbers beside them."""

    def get_counter(self, key: bytes) -> int:
        return {b"n": 5}.get(key, 0)


BEFORE = Sequences(revision=7, ordinal=3, time_us=START_US)


@pytest.fixture
def buffer(clock: ManualClock) -> WriteBuffer:
    return WriteBuffer(Rows({b"a": b"1"}), BEFORE, clock=clock)


def test_changes_name_each_key_once(buffer: WriteBuffer) -> None:
    buffer.put(b"a", b"2")
    buffer.put(b"a", b"3")
    buffer.put(b"b", b"1")
    buffer.delete(b"b")
    buffer.add(b"n", 2)
    buffer.add(b"n", 2)
    buffer.add(b"m", 4)
    buffer.delete(b"m")
    buffer.add(b"m", 1)
    buffer.next_revision()
    buffer.next_ordinal()
    assert buffer.issue_time_us(strictly_later=True) == START_US + 1
    counter = (1).to_bytes(8, "big")
    assert buffer.finish() == Changes(
        puts={b"a": b"3", b"m": counter},
        deletes=(b"b",),
        deltas={b"n": 4},
        sequences=Sequences(revision=8, ordinal=4, time_us=START_US + 1),
        write_bytes=1 + 1 + 1 + 8 + 1 + 1 + 8,
    )


def test_a_counter_is_read_like_its_row(buffer: WriteBuffer) -> None:
    buffer.add(b"n", 1)
    assert buffer.get(b"n") == (6).to_bytes(8, "big")
    buffer.add(b"n", -6)
    assert buffer.get(b"n") is None


@pytest.mark.parametrize("key", [b"n", b"absent"])
def test_what_cancels_out_needs_no_commit(buffer: WriteBuffer, key: bytes) -> None:
    buffer.get(key)
    buffer.add(key, 1)
    buffer.add(key, -1)
    # The clock stands at the last time issued.
    assert buffer.issue_time_us() == START_US
    assert buffer.finish() is None


def test_a_delete_of_an_absent_row_needs_a_commit(buffer: WriteBuffer) -> None:
    buffer.delete(b"absent")
    changes = buffer.finish()
    assert changes is not None
    assert changes.deletes == (b"absent",)


@pytest.mark.parametrize("allot", ["next_revision", "next_ordinal"])
def test_an_allotted_number_needs_a_commit(buffer: WriteBuffer, allot: str) -> None:
    getattr(buffer, allot)()
    changes = buffer.finish()
    assert changes is not None
    assert changes.sequences != BEFORE
