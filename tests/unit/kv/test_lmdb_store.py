"""What only the store on disk does: creation, reopening, locks, crashes, a full disk, a failed one."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from runindex_server.errors import (
    StoreClosed,
)
from runindex_server.kv import lmdb_store
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import StoreInUse, guard_data_file
from runindex_server.kv.lmdb_store import LmdbStore
from tests.support.clock import ManualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)

WRITER: Final = """
import asyncio, sys
from pathlib import Path
from runindex_server.clock import SystemClock
from runindex_server.kv.lmdb_store import open_lmdb

def nothing(*_): pass

store = open_lmdb(
    Path(sys.argv[1]), clock=SystemClock(), map_bytes=2**26, initialise=nothing, on_fatal=nothing
)

def write_row(txn):
    revision = txn.next_revision()
    txn.insert(b"row %016d" % revision, bytes(300))
    txn.add(b"rows", 1)
    return revision

async def write_rows():
    while True:
        print(await store.write(write_row), flush=True)

async def main():
    await asyncio.gather(*(write_rows() for _ in range(4)))

asyncio.run(main())
"""


def rows(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
    return list(txn.scan(*EVERYTHING))


def put(key: bytes, value: bytes = b"") -> Callable[[WriteTxn], None]:
    return lambda txn: txn.put(key, value)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Opening.


def test_a_store_persists(open_store: OpenLmdb, run: Run, clock: ManualClock) -> None:
    def write(txn: WriteTxn) -> tuple[int, int, int]:
        txn.put(b"a", b"1")
        txn.add(b"n", -7)
        return txn.next_revision(), txn.next_ordinal(), txn.issue_time_us()

    store = open_store()
    first = run(store.write(write))
    run(store.close())
    # The wall clock was set back while the store was closed.
    clock.set(clock.now_us() - 1_000_000)
    store = open_store()
    assert run(store.read(lambda txn: txn.revision)) == first[0]
    assert run(store.read(lambda txn: (txn.get(b"a"), txn.get_counter(b"n")))) == (b"1", -7)
    assert run(store.write(write)) == (first[0] + 1, first[1] + 1, first[2])


def test_initialise_is_the_first_write_of_a_new_store_only(open_store: OpenLmdb, run: Run) -> None:
    store = open_store(initialise=lambda txn: [txn.insert(b"a", b"1"), txn.next_revision()])
    assert run(store.read(lambda txn: (txn.get(b"a"), txn.revision))) == (b"1", 1)
    run(store.close())
    store = open_store(initialise=lambda txn: txn.insert(b"a", b"2"))
    assert run(store.read(lambda txn: (txn.get(b"a"), txn.revision))) == (b"1", 1)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_nobody_else_can_read_the_store(open_store: OpenLmdb, data_dir: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        open_store()
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    modes = {path.relative_to(data_dir).as_posix(): mode_of(path) for path in data_dir.rglob("*")}
    assert modes == {"LOCK": 0o600, "store": 0o700, "store/data.mdb": 0o600, "store/lock.mdb": 0o600}
    assert mode_of(data_dir) == 0o700


def test_a_directory_that_exists_keeps_its_mode(open_store: OpenLmdb, data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    open_store()
    assert mode_of(data_dir) == 0o755


class Crash(Exception):
    pass


def crash(_: object) -> None:
    raise Crash


def leave_a_row_and_crash(txn: WriteTxn) -> None:
    txn.put(b"unfinished", b"")
    raise Crash


def test_a_creation_that_fails_leaves_no_store(open_store: OpenLmdb, data_dir: Path, run: Run) -> None:
    with pytest.raises(Crash):
        open_store(initialise=leave_a_row_and_crash)
    assert not (data_dir / "store").exists()
    store = open_store(initialise=put(b"finished"))
    assert run(store.read(rows)) == [(b"finished", b"")]
    assert sorted(path.name for path in data_dir.iterdir()) == ["LOCK", "store"]


def test_a_creation_is_seen_whole_or_not_at_all(
    open_store: OpenLmdb, data_dir: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All was written, but the power went before the rename.
    monkeypatch.setattr(lmdb_store, "sync_path", crash)
    with pytest.raises(Crash):
        open_store(initialise=put(b"unfinished"))
    monkeypatch.undo()
    assert (data_dir / "store.unfinished" / "data.mdb").stat().st_size > 0
    assert not (data_dir / "store").exists()
    store = open_store(initialise=put(b"finished"))
    assert run(store.read(rows)) == [(b"finished", b"")]
    assert not (data_dir / "store.unfinished").exists()


# One process.


@pytest.fixture
def writer(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that has the store open, writes to it and prints what was acknowledged."""
    # The format is ours to choose, not the environment's.
    environment = os.environ | {"LMDB_DEFAULT_LIB_VERSION": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data_dir)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        process.kill()


def test_acknowledged_writes_survive_kill_9(
    writer: subprocess.Popen[str], open_store: OpenLmdb, data_dir: Path, run: Run
) -> None:
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.readlines()
    # The last line may have been cut off.
    acknowledged = {int(line) for line in lines if line.endswith("\n")}
    assert len(acknowledged) >= 50
    writer.wait()

    guard_data_file(data_dir / "store" / "data.mdb")
    store = open_store()
    found = run(store.read(lambda txn: [int(key[4:]) for key, _ in txn.scan(b"row ", b"row!")]))
    assert acknowledged <= set(found)
    # Nothing is there in part: each write had a row, a count and a revision.
    assert found == list(range(1, len(found) + 1))
    assert run(store.read(lambda txn: txn.get_counter(b"rows"))) == len(found)
    assert run(store.read(lambda txn: txn.revision)) == len(found)


def test_a_second_process_is_refused(writer: subprocess.Popen[str], open_store: OpenLmdb) -> None:
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(StoreInUse, match=f"LOCK is held by process {writer.pid}") as refusal:
        open_store()
    assert refusal.value.holder == str(writer.pid)


def test_a_second_store_of_the_process_is_refused(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    with pytest.raises(StoreInUse, match=str(os.getpid())):
        open_store()
    run(store.close())
    open_store()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_refused(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    run(store.write(put(b"a")))
    child = os.fork()
    if child == 0:
        refused = 0
        for call in (store.read(rows), store.write(put(b"b")), store.close()):
            try:
                call.send(None)
            except RuntimeError as error:
                refused += "fork" in str(error)
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert run(store.read(rows)) == [(b"a", b"")]
    with pytest.raises(StoreInUse):
        open_store()


# Threads.


def test_writes_run_on_one_thread_and_reads_on_the_event_loop(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    assert {run(store.write(lambda _: threading.current_thread().name)) for _ in range(3)} == {
        "store-writer_0"
    }
    assert run(store.read(lambda _: threading.current_thread())) is threading.current_thread()
    assert run(store.read(lambda _: threading.current_thread().name, offload=True)).startswith("store-reader")


def test_a_cancelled_caller_does_not_stop_its_write(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    has_begun, may_go_on = threading.Event(), threading.Event()

    def write_slowly(txn: WriteTxn) -> None:
        txn.put(b"running", b"")
        has_begun.set()
        may_go_on.wait()

    async def cancel_both() -> None:
        running = asyncio.ensure_future(store.write(write_slowly))
        await asyncio.to_thread(has_begun.wait)
        waiting = asyncio.ensure_future(store.write(put(b"waiting")))
        await asyncio.sleep(0)
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert running.cancelled()
        assert waiting.cancelled()
        may_go_on.set()
        await store.write(put(b"later"))

    run(cancel_both())
    assert run(store.read(rows)) == [(b"later", b""), (b"running", b"")]


def test_a_read_keeps_its_snapshot(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    run(store.write(put(b"a")))
    has_begun, may_go_on = threading.Event(), threading.Event()

    def read_slowly(txn: ReadTxn) -> tuple[list[tuple[bytes, bytes]], int]:
        has_begun.set()
        may_go_on.wait()
        return rows(txn), txn.revision

    async def write_meanwhile() -> tuple[list[tuple[bytes, bytes]], int]:
        reading = asyncio.ensure_future(store.read(read_slowly, offload=True))
        await asyncio.to_thread(has_begun.wait)
        await store.write(lambda txn: [txn.put(b"b", b""), txn.next_revision()])
        may_go_on.set()
        return await reading

    assert run(write_meanwhile()) == ([(b"a", b"")], 0)


@pytest.mark.parametrize("kind", ["read", "write"])
def test_close_waits_for_what_runs(
    open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    store = open_store()
    has_begun, may_go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def go_slowly(_: object) -> None:
        has_begun.set()
        may_go_on.wait()
        order.append("ran")

    def call() -> Coroutine[Any, Any, None]:
        return store.write(go_slowly) if kind == "write" else store.read(go_slowly, offload=True)

    async def close_meanwhile() -> None:
        running = asyncio.ensure_future(call())
        await asyncio.to_thread(has_begun.wait)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreClosed):
            await call()
        may_go_on.set()
        await asyncio.gather(running, closing)

    environment, close = store._environment, store._environment.close
    monkeypatch.setattr(environment, "close", lambda: (order.append("closed"), close()))
    run(close_meanwhile())
    assert order == ["ran", "closed"]


def test_a_write_that_does_nothing_costs_no_commit(open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    run(store.write(put(b"a")))
    before = store._environment._env.info()["last_txnid"]
    run(store.write(lambda txn: txn.get(b"a")))
    assert store._environment._env.info()["last_txnid"] == before
    run(store.write(lambda txn: txn.next_revision()))
    assert store._environment._env.info()["last_txnid"] == before + 1
