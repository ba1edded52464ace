"""What a data directory is refused for, before the engine sees it."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import lmdb
import pytest

from runindex_server.kv.guard import (
    DataFileForeign,
    DataFileMissing,
    DataFileTruncated,
    EngineRefused,
    FileSystemUntrusted,
    StoreRefused,
    guard_data_file,
    guard_file_system,
)
from runindex_server.kv.lmdb_store import LmdbStore

PAGE_BYTES: Final = 4096

OpenLmdb = Callable[..., LmdbStore]


Write = Callable[[lmdb.Transaction, Any], None]


def make_file(directory: Path, *writes: Write, **options: Any) -> Path:
    """Return the data file of a new environment after writes, one commit each."""
    directory.mkdir()
    with lmdb.open(
        str(directory), map_size=64 * 1024 * 1024, max_dbs=2, sync=False, **options
    ) as environment:
        rows = environment.open_db(b"rows")
        for write in writes:
            with environment.begin(write=True) as txn:
                write(txn, rows)
    return directory / "data.mdb"


def fill(txn: lmdb.Transaction, rows: Any) -> None:
    for number in range(1_000):
        txn.put(b"%08d" % number, bytes(200), db=rows)


def put_small(txn: lmdb.Transaction, rows: Any) -> None:
    txn.put(b"small", b"", db=rows)


def put_large(txn: lmdb.Transaction, rows: Any) -> None:
    txn.put(b"large", bytes(40 * PAGE_BYTES), db=rows)


def fill_and_end_free(txn: lmdb.Transaction, rows: Any) -> None:
    """Take pages at the end and free them in one transaction, so that they are never written."""
    fill(txn, rows)
    put_large(txn, rows)
    txn.delete(b"large", db=rows)


def put_many_and_end_free(txn: lmdb.Transaction, rows: Any) -> None:
    for number in range(1_000):
        txn.put(b"many %08d" % number, bytes(2 * PAGE_BYTES), db=rows)
    fill_and_end_free(txn, rows)


def delete_many_and_end_free(txn: lmdb.Transaction, rows: Any) -> None:
    """Free so many pages at once that their list has pages of its own."""
    for number in range(1_000):
        txn.delete(b"many %08d" % number, db=rows)
    fill_and_end_free(txn, rows)


ENDS_FREE: Final = (fill_and_end_free,) * 3
ENDS_FREE_AFTER_MANY: Final = (put_many_and_end_free, delete_many_and_end_free, put_many_and_end_free)
ENDS_IN_USE: Final = (fill, put_small, put_small, put_large, put_small, put_small)
"""Here the list of free pages lies before the end, in pages that were free."""


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    return make_file(tmp_path / "sound", fill)


def test_a_sound_file_is_taken(data_file: Path) -> None:
    guard_data_file(data_file)


@pytest.mark.parametrize("writes", [ENDS_FREE, ENDS_FREE_AFTER_MANY])
def test_a_file_without_its_last_free_pages_is_taken(tmp_path: Path, writes: tuple[Write, ...]) -> None:
    path = make_file(tmp_path / "short", *writes)
    with lmdb.open(str(path.parent), max_dbs=2) as environment:
        last_page = environment.info()["last_pgno"]
    assert path.stat().st_size < (last_page + 1) * PAGE_BYTES
    guard_data_file(path)


@pytest.mark.parametrize("writes", [(fill,), (fill, fill), ENDS_FREE, ENDS_IN_USE])
@pytest.mark.parametrize("bytes_lost", [1, PAGE_BYTES - 1, PAGE_BYTES, 30 * PAGE_BYTES])
def test_a_file_that_was_cut_short_is_refused(
    tmp_path: Path, writes: tuple[Write, ...], bytes_lost: int
) -> None:
    path = make_file(tmp_path / "cut", *writes)
    path.write_bytes(path.read_bytes()[:-bytes_lost])
    with pytest.raises(DataFileTruncated, match=r"data\.mdb was cut short.*restore a backup"):
        guard_data_file(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        bytes(PAGE_BYTES),
        bytes(10 * PAGE_BYTES),
        b"SQLite format 3\x00" * 1_000,
        b"\xff" * 8_192,
    ],
)
def test_a_foreign_file_is_refused(data_file: Path, content: bytes) -> None:
    data_file.write_bytes(content)
    with pytest.raises(DataFileForeign, match=r"data\.mdb is not a data file of RunIndex.*restore a backup"):
        guard_data_file(data_file)


@pytest.mark.parametrize("bytes_kept", [100, 152, PAGE_BYTES, PAGE_BYTES + 151])
def test_a_file_without_both_meta_pages_is_refused(data_file: Path, bytes_kept: int) -> None:
    data_file.write_bytes(data_file.read_bytes()[:bytes_kept])
    with pytest.raises(DataFileForeign):
        guard_data_file(data_file)


def test_a_file_of_lmdb_1_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "newer", fill, lib_version=1)
    with pytest.raises(DataFileForeign):
        guard_data_file(path)


def test_another_data_format_is_refused(data_file: Path) -> None:
    data = bytearray(data_file.read_bytes())
    # The version of both meta pages.
    data[20] = data[PAGE_BYTES + 20] = 2
    data_file.write_bytes(data)
    with pytest.raises(DataFileForeign, match="data format 2, not 1"):
        guard_data_file(data_file)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("change", [1, 4, 2**40])
def test_two_states_that_do_not_follow_each_other_are_refused(
    data_file: Path, place: int, change: int
) -> None:
    """The engine would take the newer one, and a page that the disk kept too long would take back commits."""
    data = bytearray(data_file.read_bytes())
    offset = place * PAGE_BYTES + 144
    (txn_id,) = struct.unpack_from("=Q", data, offset)
    struct.pack_into("=Q", data, offset, txn_id + change)
    data_file.write_bytes(data)
    with pytest.raises(DataFileForeign, match="do not follow each other"):
        guard_data_file(data_file)


def test_a_list_of_free_pages_that_begins_beyond_every_file_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "far", *ENDS_FREE)
    data = bytearray(path.read_bytes())
    for number in range(2):
        struct.pack_into("=Q", data, number * PAGE_BYTES + 80, 2**63)
    path.write_bytes(data)
    with pytest.raises(DataFileTruncated):
        guard_data_file(path)


def test_a_list_of_free_pages_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "circle", *ENDS_FREE)
    data = bytearray(path.read_bytes())
    newest = max((0, PAGE_BYTES), key=lambda offset: struct.unpack_from("=Q", data, offset + 144)[0])
    (root,) = struct.unpack_from("=Q", data, newest + 80)
    # A branch page with one node, which leads to itself.
    page = struct.pack("=Q 2x HHH H HHHH", root, 0x01, 18, 18, 18, root, 0, 0, 0)
    data[root * PAGE_BYTES : root * PAGE_BYTES + len(page)] = page
    path.write_bytes(data)
    with pytest.raises(DataFileForeign, match="circle"):
        guard_data_file(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileMissing):
        guard_data_file(tmp_path / "data.mdb")


def test_a_store_without_its_file_is_refused_and_stays_as_it_is(open_store: OpenLmdb, data_dir: Path) -> None:
    (data_dir / "store").mkdir(parents=True)
    with pytest.raises(DataFileMissing):
        open_store()
    assert list((data_dir / "store").iterdir()) == []


def test_a_database_of_somebody_else_is_refused(
    open_store: OpenLmdb, data_dir: Path, data_file: Path
) -> None:
    shutil.copytree(data_file.parent, data_dir / "store")
    with pytest.raises(DataFileForeign, match="lacks the databases"):
        open_store()


def test_a_file_that_the_engine_refuses_is_refused(
    open_store: OpenLmdb, data_dir: Path, data_file: Path
) -> None:
    data = data_file.read_bytes()
    shutil.copytree(data_file.parent, data_dir / "store")
    meta_pages, rest = data[: 2 * PAGE_BYTES], data[2 * PAGE_BYTES :]
    (data_dir / "store" / "data.mdb").write_bytes(meta_pages + bytes(len(rest)))
    with pytest.raises(EngineRefused, match="MDB_CORRUPTED"):
        open_store()


def test_a_refused_directory_is_not_left_locked(open_store: OpenLmdb, data_dir: Path) -> None:
    (data_dir / "store").mkdir(parents=True)
    with pytest.raises(StoreRefused):
        open_store()
    (data_dir / "store").rmdir()
    open_store()


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:40 / /mnt/nfs rw shared:1 - nfs4 server:/export rw
24 22 0:41 / /mnt/old rw - nfs server:/old rw
25 22 0:42 / /mnt/cifs rw - cifs //server/share rw
26 22 0:43 / /mnt/smb rw - smb3 //server/share rw
27 22 0:44 / /mnt/9p rw - 9p host rw
28 22 0:45 / /mnt/ssh\\040fs rw - fuse.sshfs user@host: rw
29 22 0:46 / /mnt/fuse rw - fuse host rw
30 23 8:1 / /mnt/nfs/local rw - xfs /dev/sdb rw
31 22 0:47 / /mnt/tmp rw - nfs4 server:/tmp rw
32 22 0:48 / /mnt/tmp rw - tmpfs tmpfs rw
33 22 8:2 / /mnt/exfat rw - fuseblk /dev/sdc rw
"""


@pytest.fixture
def mounts_path(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    "data_dir",
    [
        "/mnt/nfs",
        "/mnt/nfs/a/b",
        "/mnt/old/a",
        "/mnt/cifs/a",
        "/mnt/smb/a",
        "/mnt/9p/a",
        "/mnt/ssh fs/a",
        "/mnt/fuse/a",
        "/mnt/nfs/local/../a",
    ],
)
def test_an_untrusted_file_system_is_refused(mounts_path: Path, data_dir: str) -> None:
    with pytest.raises(FileSystemUntrusted, match="use a data directory on a local disk"):
        guard_file_system(Path(data_dir), mounts_path=mounts_path)


@pytest.mark.parametrize(
    "data_dir",
    ["/", "/srv/runindex", "/mnt/nfsx/a", "/mnt/nfs/local/a", "/mnt/tmp/a", "/mnt/exfat/a", "data"],
)
def test_a_local_file_system_is_taken(mounts_path: Path, data_dir: str) -> None:
    guard_file_system(Path(data_dir), mounts_path=mounts_path)


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path: Path) -> None:
    guard_file_system(tmp_path, mounts_path=tmp_path / "absent")
