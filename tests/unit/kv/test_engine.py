"""What only an engine can do: sizes, readers, copies; where it applies, over each store."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from runindex_server.errors import StoreClosed
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.lmdb_store import LmdbStore
from runindex_server.kv.memory_store import MemoryStore
from tests.support.clock import ManualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> MaintainedStore:
    """Return a new store: the test runs once on each kind."""
    if request.param == "lmdb":
        open_one: OpenLmdb = request.getfixturevalue("open_store")
        return open_one()
    return MemoryStore(clock=clock, initialise=lambda _: None)


def rows(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
    return list(txn.scan(*EVERYTHING))


def put(key: bytes, value: bytes = b"") -> Callable[[WriteTxn], None]:
    def write(txn: WriteTxn) -> None:
        txn.put(key, value)
        txn.next_revision()

    return write


def fill(txn: WriteTxn) -> None:
    for number in range(500):
        txn.put(b"%08d" % number, bytes(1_000))


def empty(txn: WriteTxn) -> None:
    for number in range(500):
        txn.delete(b"%08d" % number)


# Sizes and readers.


def test_what_is_written_is_in_use(store: MaintainedStore, run: Run) -> None:
    before = store.engine.sizes()
    run(store.write(fill))
    after = store.engine.sizes()

    assert after.used - before.used >= 500 * 1_000


def test_what_is_deleted_is_free_and_the_file_stays(open_store: OpenLmdb, run: Run, data_dir: Path) -> None:
    store = open_store(map_bytes=2**25)
    run(store.write(fill))
    full = store.engine.sizes()
    run(store.write(empty))
    sizes = store.engine.sizes()

    assert full.disk <= sizes.disk == (data_dir / "store" / "data.mdb").stat().st_size
    assert sizes.map == 2**25
    assert sizes.used < 100_000
    assert sizes.free > 500_000
    assert sizes.used + sizes.free == sizes.disk


def test_a_reader_is_told_with_its_lag(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    has_begun, may_end = threading.Event(), threading.Event()

    def read_slowly(_: ReadTxn) -> None:
        has_begun.set()
        may_end.wait()

    async def look_meanwhile() -> None:
        reading = asyncio.ensure_future(store.read(read_slowly, offload=True))
        await asyncio.to_thread(has_begun.wait)
        for _ in range(3):
            await store.write(put(b"a"))
        readers = store.engine.readers()
        may_end.set()
        await reading
        assert (readers.count, readers.oldest_lag_commits) == (1, 3)

    run(look_meanwhile())
    assert (store.engine.readers().count, store.engine.readers().oldest_lag_commits) == (0, 0)


# Copies.


def test_a_copy_stays_as_the_store_was(store: MaintainedStore, run: Run) -> None:
    async def copy() -> tuple[int, list[tuple[bytes, bytes]]]:
        await store.write(put(b"a", b"1"))
        async with store.engine.copy() as copy:
            await store.write(put(b"b"))
            read = await asyncio.to_thread(copy.read, lambda txn: (txn.revision, rows(txn)))
            again = copy.read(lambda txn: (txn.revision, rows(txn)))
        assert read == again
        return read

    assert run(copy()) == (1, [(b"a", b"1")])


def test_the_chunks_of_a_copy_are_its_bytes(store: MaintainedStore, run: Run) -> None:
    async def copy() -> None:
        await store.write(fill)
        async with store.engine.copy() as copy:
            chunks = list(copy.chunks(10_000))
            assert {len(chunk) for chunk in chunks[:-1]} == {10_000}
            assert 0 < len(chunks[-1]) <= 10_000
            assert sum(map(len, chunks)) == copy.total_bytes > 500_000

    run(copy())


def test_several_copies_are_made_one_after_the_other(store: MaintainedStore, run: Run) -> None:
    async def copies() -> list[list[tuple[bytes, bytes]]]:
        await store.write(put(b"a"))

        async def one() -> list[tuple[bytes, bytes]]:
            async with store.engine.copy() as copy:
                return await asyncio.to_thread(copy.read, rows)

        return await asyncio.gather(*(one() for _ in range(4)))

    assert run(copies()) == [[(b"a", b"")]] * 4


def test_a_closed_store_is_not_copied(store: MaintainedStore, run: Run) -> None:
    async def copy() -> None:
        async with store.engine.copy():
            pass

    run(store.close())
    with pytest.raises(StoreClosed):
        run(copy())
    with pytest.raises(StoreClosed):
        store.engine.sizes()
