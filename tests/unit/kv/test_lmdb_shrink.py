"""Shrinking a store: what becomes smaller, what stays the same, and what is refused."""

import shutil
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from runindex_server.errors import StoreCorrupt, StoreFull
from runindex_server.kv import lmdb_environment, lmdb_shrink
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import NoRoom, RestoreUnfinished, StoreInUse, StoreMissing
from runindex_server.kv.lmdb_shrink import shrink
from runindex_server.kv.lmdb_store import SHRUNK_NAME, LmdbStore

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
        txn.next_ordinal()


def keep_few(txn: WriteTxn) -> None:
    txn.issue_time_us()
    txn.add(b"counter", 7)
    for number in range(490):
        txn.delete(b"%08d" % number)


@pytest.fixture
def bloated(open_store: OpenLmdb, run: Run, data_dir: Path) -> Path:
    """Return the data directory of a closed store that is mostly free."""
    store = open_store()
    run(store.write(fill))
    run(store.write(keep_few))
    run(store.close())
    return data_dir


def contents(store: LmdbStore, run: Run) -> Any:
    return run(store.read(lambda txn: (txn.revision, rows(txn))))


def names(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "store").iterdir())


def test_the_file_shrinks_and_holds_the_same(bloated: Path, open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    before = contents(store, run)
    run(store.close())
    file = bloated / "store" / "data.mdb"
    bytes_before = file.stat().st_size
    sizes = shrink(bloated, map_bytes=MAP_BYTES)

    assert (sizes[0].disk, sizes[1].disk) == (bytes_before, file.stat().st_size)
    assert sizes[1].disk < bytes_before // 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names(bloated) == ["data.mdb", "data.mdb.seal", "lock.mdb"]
    store = open_store()
    assert contents(store, run) == before
    # It goes on where it was.
    assert run(store.write(lambda txn: (txn.next_revision(), txn.next_ordinal()))) == (501, 501)


def test_a_shrunk_store_shrinks_again(bloated: Path) -> None:
    _, first = shrink(bloated, map_bytes=MAP_BYTES)
    before, after = shrink(bloated, map_bytes=MAP_BYTES)

    assert first == before == after


def test_a_store_that_a_server_holds_is_refused(bloated: Path, open_store: OpenLmdb) -> None:
    open_store()
    with pytest.raises(StoreInUse):
        shrink(bloated, map_bytes=MAP_BYTES)


def test_a_folder_without_a_store_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        shrink(tmp_path / "missing", map_bytes=MAP_BYTES)
    with pytest.raises(StoreMissing):
        shrink(tmp_path, map_bytes=MAP_BYTES)
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_restore_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.restoring").mkdir()
    with pytest.raises(RestoreUnfinished):
        shrink(tmp_path, map_bytes=MAP_BYTES)


def test_what_a_killed_process_left_goes(bloated: Path, open_store: OpenLmdb, run: Run) -> None:
    left = bloated / "store" / SHRUNK_NAME
    left.write_bytes(b"half")
    run(open_store().close())
    assert not left.exists()
    left.write_bytes(b"half")
    shrink(bloated, map_bytes=MAP_BYTES)
    assert not left.exists()


def test_a_copy_that_is_not_the_same_does_not_take_its_place(
    bloated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (bloated / "store" / "data.mdb").read_bytes()
    answers = iter([(1, (2, 1)), (1, (3, 1))])
    monkeypatch.setattr(lmdb_shrink, "_contents", lambda _: next(answers))
    with pytest.raises(StoreCorrupt):
        shrink(bloated, map_bytes=MAP_BYTES)
    assert (bloated / "store" / "data.mdb").read_bytes() == before
    assert names(bloated) == ["data.mdb", "lock.mdb"]


@pytest.mark.parametrize("is_found_beforehand", [True, False])
def test_a_disk_without_room_is_told_and_the_store_stays(
    bloated: Path, monkeypatch: pytest.MonkeyPatch, *, is_found_beforehand: bool
) -> None:
    def fail(*_: Any) -> None:
        raise StoreFull

    before = (bloated / "store" / "data.mdb").read_bytes()
    if is_found_beforehand:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4_096))
    else:
        monkeypatch.setattr(lmdb_environment.LmdbEnvironment, "_copy", fail)
    with pytest.raises(NoRoom):
        shrink(bloated, map_bytes=MAP_BYTES)
    assert (bloated / "store" / "data.mdb").read_bytes() == before
    assert names(bloated) == ["data.mdb", "lock.mdb"]
