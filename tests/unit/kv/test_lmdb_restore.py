"""Restoring a store: into which folders, of which files, and what is left when it did not come to its end."""

import asyncio
import shutil
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from runindex_server.errors import StoreFull
from runindex_server.kv import lmdb_environment
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import (
    DataFileForeign,
    DataFileMissing,
    DataFileTruncated,
    NoRoom,
    RestoreUnfinished,
    StoreInUse,
    StoreRefused,
    TargetNotEmpty,
)
from runindex_server.kv.lmdb_restore import REVISIONS_SKIPPED, Restoration, restoring
from runindex_server.kv.lmdb_store import LmdbStore
from runindex_server.kv.lock_file import held
from tests.support.clock import ManualClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

EVERYTHING: Final = (b"", b"\xff" * 401)
MAP_BYTES: Final = 64 * 1024 * 1024


def rows(txn: ReadTxn) -> list[tuple[bytes, bytes]]:
    return list(txn.scan(*EVERYTHING))


def fill(txn: WriteTxn) -> None:
    for number in range(500):
        txn.put(b"%08d" % number, bytes(1_000))
        txn.next_revision()


def renew(txn: WriteTxn) -> None:
    txn.put(b"renewed", b"")


def ignore(_: int) -> None:
    pass


@pytest.fixture
def backup(open_store: OpenLmdb, run: Run, tmp_path: Path) -> Path:
    """Return a backup of a store with 500 rows at revision 500, which is closed."""
    store = open_store()

    async def take() -> bytes:
        await store.write(fill)
        async with store.engine.copy() as copy:
            return b"".join(copy.chunks(100_000))

    path = tmp_path / "backup"
    path.write_bytes(run(take()))
    run(store.close())
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def begin(target: Path, clock: ManualClock) -> Any:
    return restoring(target, clock=clock, map_bytes=MAP_BYTES)


def restore(backup: Path, target: Path, clock: ManualClock) -> None:
    with begin(target, clock) as restoration:
        restoration.copy_in(backup, progress=ignore)
        restoration.finish(renew)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.mark.parametrize("prepare", [None, Path.mkdir], ids=["missing", "empty"])
def test_a_backup_becomes_the_store_of_a_new_folder(
    backup: Path,
    target: Path,
    clock: ManualClock,
    data_dir: Path,
    open_store: OpenLmdb,
    run: Run,
    prepare: Callable[[Path], None] | None,
) -> None:
    if prepare is not None:
        prepare(target)
    restore(backup, target, clock)

    assert names(target) == ["LOCK", "store"]
    assert stat.S_IMODE((target / "store").stat().st_mode) == 0o700
    assert stat.S_IMODE((target / "store" / "data.mdb").stat().st_mode) == 0o600
    shutil.rmtree(data_dir)
    target.rename(data_dir)
    store = open_store()
    expected = [*((b"%08d" % number, bytes(1_000)) for number in range(500)), (b"renewed", b"")]
    assert run(store.read(rows)) == expected


def test_no_revision_is_given_out_again(
    backup: Path, target: Path, clock: ManualClock, data_dir: Path, open_store: OpenLmdb, run: Run
) -> None:
    restore(backup, target, clock)
    shutil.rmtree(data_dir)
    target.rename(data_dir)
    store = open_store()

    assert run(store.read(lambda txn: txn.revision)) == 500 + REVISIONS_SKIPPED
    assert run(store.write(lambda txn: txn.next_revision())) == 501 + REVISIONS_SKIPPED
    # What every client can hold is a thousand restores away.
    assert 1_000 * REVISIONS_SKIPPED < 2**53


def test_it_tells_how_far_it_is(backup: Path, target: Path, clock: ManualClock) -> None:
    told: list[int] = []
    with begin(target, clock) as restoration:
        restoration.copy_in(backup, progress=told.append)

    assert told == sorted(told)
    assert told[-1] == backup.stat().st_size


def test_what_was_copied_can_be_changed_and_read_before_it_is_the_store(
    backup: Path, target: Path, clock: ManualClock
) -> None:
    async def change(restoration: Restoration) -> None:
        store = restoration.open()
        await store.write(lambda txn: txn.delete(b"%08d" % 0))
        await store.close()

    async def read(restoration: Restoration) -> int:
        store = restoration.open_to_verify()
        try:
            assert await store.read(rows) == await store.read(rows, offload=True)
            async with store.engine.copy() as copy:
                assert b"".join(copy.chunks(10_000)) == (target / "store.restoring" / "data.mdb").read_bytes()
                return len(copy.read(rows))
        finally:
            await store.close()

    with begin(target, clock) as restoration:
        restoration.copy_in(backup, progress=ignore)
        asyncio.run(change(restoration))
        assert asyncio.run(read(restoration)) == 499


@pytest.mark.parametrize("name", ["store", "notes.txt", ".hidden"])
def test_a_folder_that_holds_something_is_refused_and_stays_as_it_is(
    backup: Path, target: Path, clock: ManualClock, name: str
) -> None:
    target.mkdir()
    (target / name).write_text("mine")
    with pytest.raises(TargetNotEmpty, match=name):
        restore(backup, target, clock)
    assert names(target) == [name]


def test_the_folder_of_a_store_is_refused(
    backup: Path, data_dir: Path, clock: ManualClock, open_store: OpenLmdb, run: Run
) -> None:
    before = (data_dir / "store" / "data.mdb").read_bytes()
    with pytest.raises(TargetNotEmpty, match="store"):
        restore(backup, data_dir, clock)
    assert (data_dir / "store" / "data.mdb").read_bytes() == before
    store = open_store()
    with pytest.raises(StoreInUse):
        restore(backup, data_dir, clock)
    assert len(run(store.read(rows))) == 500


def test_what_an_interrupted_restore_left_is_refused_to_be_served_and_discarded(
    backup: Path, data_dir: Path, clock: ManualClock, open_store: OpenLmdb, run: Run
) -> None:
    shutil.rmtree(data_dir)
    left = data_dir / "store.restoring"
    left.mkdir(parents=True)
    (left / "data.mdb").write_bytes(b"half")
    with pytest.raises(RestoreUnfinished, match="run the restore again"):
        open_store()
    assert (left / "data.mdb").read_bytes() == b"half"

    restore(backup, data_dir, clock)
    assert names(data_dir) == ["LOCK", "store"]
    assert len(run(open_store().read(rows))) == 501


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", DataFileForeign),
        (b"SQLite format 3\x00" * 1_000, DataFileForeign),
        (None, DataFileMissing),
        (-4096, DataFileTruncated),
    ],
)
def test_what_is_no_backup_is_refused_and_nothing_left(
    backup: Path,
    target: Path,
    clock: ManualClock,
    content: bytes | int | None,
    refusal: type[StoreRefused],
) -> None:
    if content is None:
        backup.unlink()
    else:
        backup.write_bytes(backup.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.raises(refusal, match="backup"):
        restore(backup, target, clock)
    assert names(target) == ["LOCK"]


def test_a_fault_at_any_time_leaves_an_empty_folder(backup: Path, target: Path, clock: ManualClock) -> None:
    def fail(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), begin(target, clock) as restoration:
        restoration.copy_in(backup, progress=fail)
    assert names(target) == ["LOCK"]
    restore(backup, target, clock)


def test_two_restores_do_not_meet(backup: Path, target: Path, clock: ManualClock) -> None:
    with begin(target, clock) as restoration:
        restoration.copy_in(backup, progress=ignore)
        with pytest.raises(StoreInUse):
            restore(backup, target, clock)
        restoration.finish(renew)
    assert names(target) == ["LOCK", "store"]


def test_a_disk_without_room_is_refused_beforehand(
    backup: Path, target: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = backup.stat().st_size - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(NoRoom, match=f"{free + 1} bytes"):
        restore(backup, target, clock)
    assert names(target) == ["LOCK"]


def test_a_disk_that_fills_up_is_told(
    backup: Path, target: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StoreFull

    monkeypatch.setattr(lmdb_environment.LmdbEnvironment, "write", fail)
    with pytest.raises(StoreFull):
        restore(backup, target, clock)
    assert names(target) == ["LOCK"]


def test_the_data_file_of_a_store_at_rest_is_a_backup_too(
    backup: Path, data_dir: Path, target: Path, clock: ManualClock
) -> None:
    data_file = data_dir / "store" / "data.mdb"
    with held(data_dir / "LOCK"), pytest.raises(StoreInUse):
        restore(data_file, target, clock)
    restore(data_file, target, clock)
    assert names(target) == ["LOCK", "store"]
