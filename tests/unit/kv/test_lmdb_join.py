"""A store that several processes have open: who creates it, who joins, what none takes from another."""

import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lmdb
import pytest

from runindex_server.errors import CommitOutcomeUnknown, Overloaded
from runindex_server.kv import lmdb_environment, lmdb_store
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import DataFileMissing, DataFileTruncated, StoreInUse
from runindex_server.kv.lmdb_engine import COPY_NAME
from runindex_server.kv.lmdb_store import LmdbStore, join_lmdb, open_held_lmdb
from runindex_server.kv.lock_file import LockFile, store_identity
from tests.support.clock import ManualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Open = Callable[..., LmdbStore]

MAP_BYTES: Final = 64 * 1024 * 1024
SLOTS: Final = 4

OTHER: Final = """
import sys
from pathlib import Path
from runindex_server.kv import lmdb_environment
from tests.support.clock import ManualClock
environment = lmdb_environment.LmdbEnvironment(Path(sys.argv[1]) / "store", map_bytes=2**26, create=False)
"""
"""Begins another process, with the store open."""

WRITER: Final = (
    OTHER
    + """
for line in sys.stdin:
    environment.write(lambda txn: txn.put(line.strip().encode(), b""), clock=ManualClock())
    print(environment.read(lambda txn: [key.decode() for key, _ in txn.scan(b"", b"z")]), flush=True)
"""
)
READER: Final = (
    OTHER
    + """
import lmdb
held = []
try:
    while True:
        held.append(environment._env.begin())
except lmdb.ReadersFullError:
    print(len(held), flush=True)
sys.stdin.read()
"""
)


@contextmanager
def process(source: str, data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that has the store open, and is killed at the end."""
    command = [sys.executable, "-c", source, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


def keys_of(txn: ReadTxn) -> list[str]:
    return [key.decode() for key, _ in txn.scan(b"", b"z")]


def put(key: bytes) -> Callable[[WriteTxn], None]:
    return lambda txn: txn.put(key, b"")


@pytest.fixture
def open_one(run: Run, clock: ManualClock, data_dir: Path) -> Iterator[Open]:
    """Return what opens the store as the first process does, or as the others do."""
    lock = LockFile.take_directory(data_dir)
    stores: list[LmdbStore] = []

    def open_it(*, is_first: bool = False, **changed: Any) -> LmdbStore:
        arguments = {"clock": clock, "map_bytes": MAP_BYTES, "on_fatal": lambda: None, **changed}
        first = {"initialise": put(b"first")} if is_first else {}
        stores.append((open_held_lmdb if is_first else join_lmdb)(data_dir, **arguments, **first))
        return stores[-1]

    yield open_it
    for store in stores:
        run(store.close())
    lock.release()


def test_the_first_creates_and_the_others_join(open_one: Open, run: Run, data_dir: Path) -> None:
    with pytest.raises(DataFileMissing):
        open_one()
    store = open_one(is_first=True)
    with process(WRITER, data_dir) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for key in ("a", "b"):
            run(store.write(put(key.encode())))
            other.stdin.write(f"other {key}\n")
            other.stdin.flush()
            seen = other.stdout.readline()
            # Each sees at once what the other was told is written.
            assert seen.strip() == str(run(store.read(keys_of)))
    assert run(store.read(keys_of)) == ["a", "b", "first", "other a", "other b"]
    run(store.close())
    assert run(open_one().read(keys_of)) == ["a", "b", "first", "other a", "other b"]


def test_who_joins_holds_no_lock_of_his_own(open_one: Open, run: Run, data_dir: Path) -> None:
    run(open_one(is_first=True).close())
    run(open_one().close())

    with pytest.raises(StoreInUse):
        LockFile.take_directory(data_dir)


def test_a_lock_outlives_who_took_it_with_who_inherited_it(data_dir: Path) -> None:
    lock = LockFile.take_directory(data_dir)
    assert lock._fd is not None
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=[lock._fd]
    ) as heir:
        lock.release()
        # Who took it does not hold it any more.
        with pytest.raises(StoreInUse, match=f"is held by process {heir.pid};"):
            LockFile.take_directory(data_dir)
        heir.kill()
    LockFile.take_directory(data_dir).release()


def test_who_joins_takes_nothing_from_who_is_copying(open_one: Open, run: Run, data_dir: Path) -> None:
    run(open_one(is_first=True).close())
    others = [data_dir / "store" / name for name in (COPY_NAME, f"{COPY_NAME}.1")]
    for copy in others:
        copy.write_bytes(b"half")
    store = open_one()

    async def copy_it() -> list[str]:
        async with store.engine.copy() as copy:
            return copy.read(keys_of)

    assert run(copy_it()) == ["first"]
    assert [copy.read_bytes() for copy in others] == [b"half"] * 2
    run(store.close())
    run(open_one(is_first=True).close())
    assert [copy.exists() for copy in others] == [False] * 2


def test_who_joins_looks_again_at_a_file_that_others_write(
    open_one: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(open_one(is_first=True).close())
    looks, wrong_looks = [], lmdb_store.GUARD_TRIES_MAX - 1

    def look(path: Path) -> None:
        looks.append(path)
        if len(looks) <= wrong_looks:
            raise DataFileTruncated(path)

    monkeypatch.setattr(lmdb_store, "guard_data_file", look)
    run(open_one().close())
    assert len(looks) == lmdb_store.GUARD_TRIES_MAX
    # It was cut short indeed.
    looks.clear()
    wrong_looks += 1
    with pytest.raises(DataFileTruncated):
        open_one()
    assert len(looks) == lmdb_store.GUARD_TRIES_MAX


def test_another_lock_file_in_the_place_of_the_engines_is_told(
    open_one: Open, run: Run, data_dir: Path
) -> None:
    assert store_identity(data_dir)[1:] == (None, None)
    run(open_one(is_first=True).close())
    before = store_identity(data_dir)
    run(open_one().close())
    assert before == store_identity(data_dir)
    assert all(before)
    # Kept, so that its number is not used again.
    (data_dir / "store" / "lock.mdb").rename(data_dir / "elsewhere")
    run(open_one().close())
    assert store_identity(data_dir) != before


# Slots of readers.


def test_slots_that_killed_processes_left_are_freed(
    open_one: Open, run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_environment, "READERS_MAX", SLOTS)
    store = open_one(is_first=True)
    for use in (
        lambda: run(store.read(keys_of)),
        lambda: run(store.read(keys_of, offload=True)),
        lambda: store.engine.sizes().used,
        lambda: run(copied(store)),
    ):
        with process(READER, data_dir) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == f"{SLOTS}\n"
            # While they live, nothing can be freed: the caller is to try again.
            with pytest.raises(Overloaded):
                use()
        assert use()


async def copied(store: LmdbStore) -> list[str]:
    async with store.engine.copy() as copy:
        return copy.read(keys_of)


def test_writes_need_no_slot(
    open_one: Open, run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_environment, "READERS_MAX", SLOTS)
    store = open_one(is_first=True)
    with process(READER, data_dir) as other:
        assert other.stdout is not None
        other.stdout.readline()
        run(store.write(put(b"a")))
    assert run(store.read(keys_of)) == ["a", "first"]


def test_who_joins_frees_the_slots_of_who_was_killed(
    open_one: Open, run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_environment, "READERS_MAX", SLOTS)
    run(open_one(is_first=True).close())
    with process(READER, data_dir) as other:
        assert other.stdout is not None
        other.stdout.readline()
    assert open_one().engine.readers().count == 0


# Who watches.


class Watch:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self) -> None:
        self.told.append("begin")

    def end(self) -> None:
        self.told.append("end")


def test_a_watch_knows_when_others_cannot_write(open_one: Open, run: Run) -> None:
    run(open_one(is_first=True, watch=(first := Watch())).close())
    # Of a new store nobody knows yet.
    assert first.told == []
    watch = Watch()
    store = open_one(watch=watch)
    run(store.read(keys_of))
    assert watch.told == []

    def write(txn: WriteTxn) -> None:
        watch.told.append("runs")
        txn.put(b"a", b"")

    run(store.write(write))
    assert watch.told == ["begin", "runs", "end"]

    def fail(txn: WriteTxn) -> None:
        raise Overloaded("nothing")

    with pytest.raises(Overloaded):
        run(store.write(fail))
    assert watch.told[3:] == ["begin", "end"]


def test_a_watch_knows_that_a_commit_failed(
    open_one: Open, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    store = open_one(is_first=True, watch=watch)

    def fail(*_: object) -> None:
        raise lmdb.Error("made up")

    monkeypatch.setattr(store._environment, "_put_sequences", fail)
    with pytest.raises(CommitOutcomeUnknown):
        run(store.write(put(b"a")))
    assert watch.told == ["begin", "end"]
