"""The seal on a store at rest: put by whoever closes it last, looked at by whoever opens it next."""

import errno
import os
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from runindex_server.errors import CommitOutcomeUnknown
from runindex_server.kv import seal
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import DataFileChanged
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_offline import own_store, store_at_rest
from runindex_server.kv.lmdb_shrink import shrink
from runindex_server.kv.lmdb_store import LmdbStore
from runindex_server.kv.seal import SEAL_NAME, UNFINISHED_SEAL_NAME, StoreUse, check_seal, put_seal
from tests.support.clock import ManualClock
from tests.unit.kv.conftest import MAP_BYTES

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]

KEY: Final = b"a"


def put(txn: WriteTxn) -> None:
    txn.put(KEY, b"1")


def get(txn: ReadTxn) -> bytes | None:
    return txn.get(KEY)


@pytest.fixture
def file(data_dir: Path) -> Path:
    return data_dir / "store" / "data.mdb"


@pytest.fixture
def closed(open_store: OpenLmdb, run: Run, file: Path) -> Path:
    """Return the data file of a store that was closed; it has a row."""
    store = open_store()
    run(store.write(put))
    run(store.close())
    return file


def is_sealed(file: Path) -> bool:
    return file.with_name(SEAL_NAME).exists()


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_closed_store_has_a_seal_and_an_open_one_has_none(
    closed: Path, open_store: OpenLmdb, run: Run
) -> None:
    assert is_sealed(closed)
    assert stat.S_IMODE(closed.with_name(SEAL_NAME).stat().st_mode) == 0o600
    store = open_store()
    assert not is_sealed(closed)
    assert run(store.read(get)) == b"1"
    run(store.close())
    run(store.close())
    assert is_sealed(closed)


@pytest.mark.parametrize("place", [0, 100, 4_096, 9_999, -1])
def test_one_flipped_bit_anywhere_is_refused_until_the_seal_is_removed(
    closed: Path, data_dir: Path, open_store: OpenLmdb, place: int
) -> None:
    # Behind what the guard looks at, and within what the engine does not.
    flip(closed, place)
    if place in {100, 9_999, -1}:
        with pytest.raises(DataFileChanged, match=r"restore a backup, or remove .*data\.mdb\.seal"):
            open_store()
        with pytest.raises(DataFileChanged), store_at_rest(data_dir):
            pass
        assert is_sealed(closed)
    with pytest.raises(DataFileChanged):
        check_seal(closed)


@pytest.mark.parametrize("change", ["cut", "grown"])
def test_another_size_is_refused(closed: Path, change: str) -> None:
    data = closed.read_bytes()
    closed.write_bytes(data[:-1] if change == "cut" else data + b"\x00")
    with pytest.raises(DataFileChanged):
        check_seal(closed)


def test_without_the_seal_the_file_is_opened(closed: Path, open_store: OpenLmdb, run: Run) -> None:
    closed.with_name(SEAL_NAME).unlink()
    assert run(open_store().read(get)) == b"1"


@pytest.mark.parametrize("held", [b"", b"\x00" * 24, b"RunIndex" + bytes(16), b"\xff" * 100])
def test_a_seal_that_is_none_is_as_good_as_absent(
    closed: Path, open_store: OpenLmdb, run: Run, held: bytes
) -> None:
    """A loss of power may leave it empty or half, and the store is sound."""
    closed.with_name(SEAL_NAME).write_bytes(held)
    assert run(open_store().read(get)) == b"1"


@pytest.mark.parametrize("place", range(24))
def test_a_flipped_bit_in_the_seal_accuses_nobody(closed: Path, place: int) -> None:
    flip(closed.with_name(SEAL_NAME), place)
    check_seal(closed)


def test_who_closes_first_does_not_seal(closed: Path, open_store: OpenLmdb, run: Run) -> None:
    store = open_store()
    other = StoreUse(closed.parent)
    run(store.close())
    assert not is_sealed(closed)
    other.end(closed)
    assert is_sealed(closed)


def test_a_store_whose_commit_failed_is_not_sealed(
    closed: Path, open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise CommitOutcomeUnknown

    store = open_store(on_fatal=lambda: None)
    monkeypatch.setattr(LmdbEnvironment, "write_group", fail)
    with pytest.raises(CommitOutcomeUnknown):
        run(store.write(put))
    run(store.close())
    assert not is_sealed(closed)


def test_a_disk_that_takes_no_seal_lets_the_store_be_closed(
    closed: Path, open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = open_store()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        run(store.close())
    assert not is_sealed(closed)
    assert not closed.with_name(UNFINISHED_SEAL_NAME).exists()
    assert run(open_store().read(get)) == b"1"


def test_what_a_killed_process_left_of_a_seal_goes(closed: Path, open_store: OpenLmdb) -> None:
    closed.with_name(UNFINISHED_SEAL_NAME).write_bytes(b"half")
    open_store()
    assert not closed.with_name(UNFINISHED_SEAL_NAME).exists()


def test_a_very_large_file_is_not_sealed(
    closed: Path, open_store: OpenLmdb, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "SEALED_BYTES_MAX", closed.stat().st_size - 1)
    run(open_store().close())
    assert not is_sealed(closed)


def test_who_writes_a_store_at_rest_seals_it_again(
    closed: Path, data_dir: Path, run: Run, clock: ManualClock
) -> None:
    with own_store(data_dir, clock=clock, map_bytes=MAP_BYTES) as store:
        assert not is_sealed(closed)
        run(store.write(lambda txn: txn.put(KEY, b"2")))
    check_seal(closed)
    assert is_sealed(closed)
    with pytest.raises(KeyError), own_store(data_dir, clock=clock, map_bytes=MAP_BYTES):
        raise KeyError
    assert not is_sealed(closed)


def test_who_reads_a_store_at_rest_leaves_the_seal(closed: Path, data_dir: Path) -> None:
    with store_at_rest(data_dir) as snapshots:
        assert snapshots.read(get) == b"1"
    assert is_sealed(closed)


def test_a_shrunk_store_has_another_seal(closed: Path, data_dir: Path) -> None:
    before = closed.with_name(SEAL_NAME).read_bytes()
    shrink(data_dir, map_bytes=MAP_BYTES)
    assert closed.with_name(SEAL_NAME).read_bytes() != before
    check_seal(closed)


def test_a_use_that_nobody_ends_keeps_no_descriptor(closed: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        StoreUse(closed.parent)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_that_is_gone_is_not_sealed(closed: Path) -> None:
    use = StoreUse(closed.parent)
    closed.unlink()
    use.end(closed)
    with pytest.raises(FileNotFoundError):
        put_seal(closed)
