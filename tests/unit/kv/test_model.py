"""Random writes on both stores, held against a dictionary."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runindex_server.kv.api import ReadTxn, Store, WriteTxn, encode_counter
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from tests.support.clock import ManualClock

# Few keys, so that operations meet; rows and counters share an order but no key, as everywhere.
ROW_KEYS = [b"\x00", b"a", b"a\x00", b"b", b"c", b"\xff", b"\xff" * 400]
COUNTER_KEYS = [b"\x00n", b"bn", b"\xffn"]
BOUNDS = [b"", *ROW_KEYS, *COUNTER_KEYS, b"\xff" * 401]

Operation = tuple[str, bytes, bytes | int]

operations = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(ROW_KEYS), st.binary(max_size=3)),
    st.tuples(st.just("delete"), st.sampled_from([*ROW_KEYS, *COUNTER_KEYS]), st.just(0)),
    st.tuples(st.just("add"), st.sampled_from(COUNTER_KEYS), st.integers(-3, 3)),
)
writes = st.lists(st.tuples(st.lists(operations, max_size=8), st.booleans()), min_size=1, max_size=12)


class Undo(Exception):
    pass


def apply(txn: WriteTxn, write: list[Operation], *, fails: bool) -> list[bytes | int | None]:
    seen: list[bytes | int | None] = []
    for name, key, argument in write:
        operation = getattr(txn, name)
        operation(key) if name == "delete" else operation(key, argument)
        seen.append(txn.get_counter(key) if key in COUNTER_KEYS else txn.get(key))
    if fails:
        raise Undo
    return seen


class Model:
    """What the rows are, and what a write sees of itself."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.counts: dict[bytes, int] = {}

    def apply(self, write: list[Operation]) -> list[bytes | int | None]:
        seen: list[bytes | int | None] = []
        for name, key, argument in write:
            if name == "delete":
                self.rows.pop(key, None)
                self.counts.pop(key, None)
            elif isinstance(argument, int):
                self.counts[key] = self.counts.get(key, 0) + argument
            else:
                self.rows[key] = argument
            seen.append(self.counts.get(key, 0) if key in COUNTER_KEYS else self.rows.get(key))
        return seen

    def scan(self, start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        counters = {key: encode_counter(count) for key, count in self.counts.items() if count}
        return sorted((key, value) for key, value in (self.rows | counters).items() if start <= key < end)


async def check(
    store: Store, written: list[tuple[list[Operation], bool]], bounds: tuple[bytes, bytes]
) -> None:
    model = Model()
    for write, fails in written:
        try:
            seen = await store.write(lambda txn, write=write, fails=fails: apply(txn, write, fails=fails))
        except Undo:
            continue
        assert seen == model.apply(write)

    def look(txn: ReadTxn) -> None:
        for start, end in (bounds, (b"", b"\xff" * 401)):
            expected = model.scan(start, end)
            assert list(txn.scan(start, end)) == expected
            assert list(txn.scan(start, end, reverse=True)) == expected[::-1]
        assert txn.get_many(ROW_KEYS) == [model.rows.get(key) for key in ROW_KEYS]
        assert [txn.get_counter(key) for key in COUNTER_KEYS] == [
            model.counts.get(k, 0) for k in COUNTER_KEYS
        ]

    await store.read(look)
    await store.close()


@settings(deadline=None, max_examples=100)
@given(writes, st.tuples(st.sampled_from(BOUNDS), st.sampled_from(BOUNDS)))
def test_memory_behaves_as_a_dictionary(
    written: list[tuple[list[Operation], bool]], bounds: tuple[bytes, bytes]
) -> None:
    store = MemoryStore(clock=ManualClock(), initialise=lambda _: None)
    asyncio.run(check(store, written, bounds))


@settings(deadline=None, max_examples=25)
@given(writes, st.tuples(st.sampled_from(BOUNDS), st.sampled_from(BOUNDS)))
def test_lmdb_behaves_as_a_dictionary(
    written: list[tuple[list[Operation], bool]], bounds: tuple[bytes, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = open_lmdb(
            Path(directory),
            clock=ManualClock(),
            map_bytes=2**24,
            initialise=lambda _: None,
            on_fatal=lambda: None,
        )
        asyncio.run(check(store, written, bounds))
