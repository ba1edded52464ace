"""Shrinking a store: its data file is written anew without free pages, and takes the place of the old one."""

import os
from pathlib import Path

from runindex_server.errors import StoreCorrupt, StoreFull
from runindex_server.kv.directory import sync_path
from runindex_server.kv.engine import Sizes
from runindex_server.kv.guard import NoRoom
from runindex_server.kv.lmdb_copy import open_read_only
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_offline import held_store, used_store
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME, LmdbSnapshots
from runindex_server.kv.lmdb_store import SHRUNK_NAME, remove_leftovers


def shrink(data_dir: Path, *, map_bytes: int) -> tuple[Sizes, Sizes]:
    """Write the data file of a store that no server holds anew; blocks.

    Args:
        data_dir: Of the store.
        map_bytes: What the data file can grow to. Address space, not disk.

    Returns:
        How large the store was, and is.

    Raises:
        StoreRefused: There is no store, it is in use, it cannot be trusted, or the disk has no room for both
            files.
        StoreCorrupt: The engine found its file damaged; it stays as it is.
        OSError: It cannot be read or written.
    """
    with held_store(data_dir) as store_dir, used_store(store_dir):
        try:
            before = _write_anew(store_dir, map_bytes=map_bytes)
            (store_dir / SHRUNK_NAME).replace(store_dir / DATA_FILE_NAME)
            sync_path(store_dir)
        finally:
            remove_leftovers(store_dir)
        environment = LmdbEnvironment(store_dir, map_bytes=map_bytes, create=False)
        try:
            return before, environment.sizes()
        finally:
            environment.close()


def _write_anew(store_dir: Path, *, map_bytes: int) -> Sizes:
    """Write the store into another file, durably, see that it is the same, and return how large it was."""
    environment = LmdbEnvironment(store_dir, map_bytes=map_bytes, create=False)
    try:
        sizes = environment.sizes()
        fd = os.open(store_dir / SHRUNK_NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            environment.copy_to(fd)
            os.fsync(fd)
        except StoreFull as error:
            raise NoRoom(store_dir, sizes.used) from error
        finally:
            os.close(fd)
        copy = open_read_only(store_dir / SHRUNK_NAME)
        try:
            if _contents(copy) != _contents(environment):
                raise StoreCorrupt("the shrunk file does not hold what the store holds")
        finally:
            copy.close()
    finally:
        environment.close()
    return sizes


def _contents(snapshots: LmdbSnapshots) -> tuple[int, tuple[int, int]]:
    """Return the revision, and how many rows there are."""
    return snapshots.read(lambda txn: txn.revision), snapshots.entry_counts()
