"""Copies of the store on disk: where they are, how long they stay, and how they fail."""

import asyncio
import os
import shutil
import stat
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import lmdb
import pytest

from runindex_server.errors import StoreClosed, StoreCorrupt, StoreFull
from runindex_server.kv import lmdb_environment
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import guard_data_file
from runindex_server.kv.lmdb_copy import LmdbCopy
from runindex_server.kv.lmdb_engine import COPY_NAME
from runindex_server.kv.lmdb_store import LmdbStore

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)


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


def test_the_chunks_are_a_data_file(open_store: OpenLmdb, run: Run, tmp_path: Path) -> None:
    store = open_store()

    async def copy() -> bytes:
        await store.write(fill)
        await store.write(empty)
        await store.write(put(b"a", b"1"))
        async with store.engine.copy() as copy:
            return b"".join(copy.chunks(4_096))

    path = tmp_path / "copy"
    path.write_bytes(run(copy()))
    guard_data_file(path)
    # Without the free pages.
    assert path.stat().st_size < store.engine.sizes().disk // 4
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=2) as env:
        database = env.open_db(b"rows", create=False)
        with env.begin() as txn:
            assert list(txn.cursor(database)) == [(b"a", b"1")]


def test_a_copy_has_no_name_and_only_its_owner_reads_it(
    open_store: OpenLmdb, run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    modes = []
    unlink = Path.unlink

    def look_and_unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == COPY_NAME and path.exists():
            modes.append(stat.S_IMODE(path.stat().st_mode))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", look_and_unlink)

    async def look() -> set[str]:
        async with store.engine.copy():
            return {path.name for path in (data_dir / "store").iterdir()}

    assert run(look()) == {"data.mdb", "lock.mdb"}
    assert modes == [0o600]


def test_what_a_killed_process_left_of_a_copy_goes(open_store: OpenLmdb, run: Run, data_dir: Path) -> None:
    run(open_store().close())
    left = data_dir / "store" / COPY_NAME
    left.write_bytes(b"half")
    store = open_store()
    assert not left.exists()
    left.write_bytes(b"half")

    async def copy() -> None:
        async with store.engine.copy() as copy:
            assert copy.read(rows) == []

    run(copy())
    assert not left.exists()


def test_a_copy_is_given_up_at_the_end(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()

    async def use_too_late() -> None:
        async with store.engine.copy() as copy:
            chunks = copy.chunks(1)
            next(chunks)
        with pytest.raises(StoreClosed):
            copy.read(rows)
        with pytest.raises(StoreClosed):
            next(chunks)

    run(use_too_late())


def test_a_copy_stays_while_a_thread_reads_it(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    has_begun, may_go_on = threading.Event(), threading.Event()

    def read_slowly(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
        has_begun.set()
        may_go_on.wait()
        return rows(txn)

    async def give_up_meanwhile() -> list[tuple[bytes, bytes]]:
        await store.write(put(b"a"))
        async with store.engine.copy() as copy:
            reading = asyncio.ensure_future(asyncio.to_thread(copy.read, read_slowly))
            await asyncio.to_thread(has_begun.wait)
        may_go_on.set()
        return await reading

    assert run(give_up_meanwhile()) == [(b"a", b"")]


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_cancelled_caller_leaves_no_copy(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch, *, has_begun: bool
) -> None:
    store = open_store()
    copying, may_go_on = threading.Event(), threading.Event()
    made: list[LmdbCopy] = []
    copy_to = store._environment.copy_to

    def copy_slowly(fd: int) -> None:
        copying.set()
        may_go_on.wait()
        copy_to(fd)

    class Noted(LmdbCopy):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(store._environment, "copy_to", copy_slowly)
    monkeypatch.setattr("runindex_server.kv.lmdb_engine.LmdbCopy", Noted)

    async def copy() -> None:
        async with store.engine.copy():
            pass

    async def cancel() -> None:
        tasks = [asyncio.ensure_future(copy()) for _ in range(2)]
        await asyncio.to_thread(copying.wait)
        tasks[0 if has_begun else 1].cancel()
        await asyncio.wait(tasks, timeout=0)
        may_go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(cancel())
    run(store.close())
    assert len(made) == (2 if has_begun else 1)
    assert all(copy._file.closed for copy in made)


def test_a_caller_that_is_cancelled_while_it_gives_up_leaves_no_copy(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    copying, may_go_on = threading.Event(), threading.Event()
    copy_to = store._environment.copy_to
    made: list[LmdbCopy] = []

    def copy_slowly(fd: int) -> None:
        copying.set()
        may_go_on.wait()
        copy_to(fd)

    async def copy(has_copy: asyncio.Event, may_leave: asyncio.Event) -> None:
        async with store.engine.copy() as copy:
            assert isinstance(copy, LmdbCopy)
            made.append(copy)
            has_copy.set()
            await may_leave.wait()

    async def cancel() -> None:
        has_copy, may_leave = asyncio.Event(), asyncio.Event()
        leaving = asyncio.ensure_future(copy(has_copy, may_leave))
        await has_copy.wait()
        monkeypatch.setattr(store._environment, "copy_to", copy_slowly)
        other = asyncio.ensure_future(copy(asyncio.Event(), may_leave))
        await asyncio.to_thread(copying.wait)
        # What is made of it waits for the other copy.
        may_leave.set()
        await asyncio.wait([leaving], timeout=0)
        leaving.cancel()
        await asyncio.wait([leaving], timeout=0)
        may_go_on.set()
        await asyncio.gather(leaving, other, return_exceptions=True)

    run(cancel())
    run(store.close())
    assert [copy._file.closed for copy in made] == [True, True]


def test_writers_and_the_event_loop_go_on_while_a_copy_is_made(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    may_go_on = threading.Event()
    copy_to = store._environment.copy_to

    def copy_slowly(fd: int) -> None:
        may_go_on.wait()
        copy_to(fd)

    monkeypatch.setattr(store._environment, "copy_to", copy_slowly)

    async def copy() -> int:
        async with store.engine.copy() as copy:
            return copy.read(lambda txn: txn.revision)

    async def write_meanwhile() -> None:
        copying = asyncio.ensure_future(copy())
        for _ in range(3):
            await store.write(put(b"a"))
        may_go_on.set()
        assert await copying == 3

    run(write_meanwhile())


def test_close_waits_for_a_copy_that_is_being_made(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    copying, may_go_on = threading.Event(), threading.Event()
    copy_to = store._environment.copy_to

    def copy_slowly(fd: int) -> None:
        copying.set()
        may_go_on.wait()
        copy_to(fd)

    monkeypatch.setattr(store._environment, "copy_to", copy_slowly)

    async def close_meanwhile() -> list[tuple[bytes, bytes]]:
        await store.write(put(b"a"))
        async with AsyncExitStack() as stack:
            entering = asyncio.ensure_future(stack.enter_async_context(store.engine.copy()))
            await asyncio.to_thread(copying.wait)
            closing = asyncio.ensure_future(store.close())
            await asyncio.wait([closing], timeout=0)
            assert not closing.done()
            may_go_on.set()
            copy = await entering
            await closing
            # It does not need the store.
            return copy.read(rows)

    assert run(close_meanwhile()) == [(b"a", b"")]


# A full disk, a failing one.


def enter_copy(store: LmdbStore) -> Coroutine[Any, Any, None]:
    async def copy() -> None:
        async with store.engine.copy():
            pass

    return copy()


def test_a_copy_without_room_is_refused_beforehand(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    used = store.engine.sizes().used
    free = lmdb_environment.COPY_DISK_FREE_BYTES_MIN + used
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free - 1))
    with pytest.raises(StoreFull):
        run(enter_copy(store))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    run(enter_copy(store))


@pytest.mark.parametrize(
    ("error", "refusal"),
    [(lmdb.DiskError("made up"), StoreFull), (lmdb.CorruptedError("made up"), StoreCorrupt)],
)
def test_a_copy_that_fails_is_told_and_leaves_nothing(
    open_store: OpenLmdb, run: Run, data_dir: Path, error: lmdb.Error, refusal: type[Exception]
) -> None:
    store = open_store()
    environment: Any = store._environment
    engine = environment._env

    class Failing:
        def copyfd(self, *_: int, **__: bool) -> None:
            raise error

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

    environment._env = Failing()
    try:
        with pytest.raises(refusal):
            run(enter_copy(store))
    finally:
        environment._env = engine
    assert {path.name for path in (data_dir / "store").iterdir()} == {"data.mdb", "lock.mdb"}
    run(enter_copy(store))


def test_a_store_whose_free_pages_do_not_add_up_is_copied_with_them(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    environment: Any = store._environment
    engine = environment._env

    class Leaking:
        def copyfd(self, fd: int, *, compact: bool = False) -> None:
            if compact:
                os.write(fd, b"begun")
                raise lmdb.IncompatibleError("made up")
            engine.copyfd(fd)

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

    async def copy() -> list[tuple[bytes, bytes]]:
        await store.write(put(b"a"))
        environment._env = Leaking()
        try:
            async with store.engine.copy() as copy:
                return copy.read(rows)
        finally:
            environment._env = engine

    assert run(copy()) == [(b"a", b"")]
