"""Restoring a store from a backup: beside its place, and moved there when all of it is on the disk.

Until then no server opens the data directory: what an interrupted restore left is refused, and discarded by
the next restore.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runindex_server.clock import Clock
from runindex_server.errors import CommitOutcomeUnknown
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.directory import make_directory, sync_path
from runindex_server.kv.guard import NoRoom, TargetNotEmpty, guard_data_file, guard_file_system
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_file import LmdbFile
from runindex_server.kv.lmdb_offline import holding_owner
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME
from runindex_server.kv.lmdb_store import RESTORING_NAME, LmdbStore
from runindex_server.kv.lock_file import LOCK_NAME, STORE_NAME, held

REVISIONS_SKIPPED: Final = 2**30
"""The lost store may have given out revisions after the backup; none of them is given out again. More than a
store gives out between two backups, and 2^53, the largest number of some clients, is still far."""

_CHUNK_BYTES: Final = 8 * 1024 * 1024


class Restoration:
    """A store that is being restored into a data directory that `restoring` holds."""

    def __init__(self, data_dir: Path, *, clock: Clock, map_bytes: int) -> None:
        """Take the data directory, the wall clock, and what the data file can grow to."""
        self._directory = data_dir / RESTORING_NAME
        self._store_dir = data_dir / STORE_NAME
        self._clock = clock
        self._map_bytes = map_bytes

    def copy_in(self, file: Path, *, progress: Callable[[int], None]) -> None:
        """Copy a backup into the data directory; blocks.

        Args:
            file: The backup, or the data file of a store at rest.
            progress: Told how many bytes were copied, again and again.

        Raises:
            StoreRefused: It is no data file of LMDB 0.9, has lost pages, or is that of a store in use; or the
                disk has no room for it.
            OSError: It cannot be read, or not be written.
        """
        with holding_owner(file):
            guard_data_file(file)
            total_bytes = file.stat().st_size
            if total_bytes > shutil.disk_usage(self._directory.parent).free:
                raise NoRoom(self._directory.parent, total_bytes)
            self._directory.mkdir(mode=0o700)
            copied_bytes = 0
            target = os.open(self._directory / DATA_FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with file.open("rb") as source, os.fdopen(target, "wb") as copy:
                while chunk := source.read(_CHUNK_BYTES):
                    copied_bytes += copy.write(chunk)
                    progress(copied_bytes)

    def open(self) -> LmdbStore:
        """Open what was copied, to bring it up to date; to be closed before anything else.

        Raises:
            StoreRefused: The engine refuses it.
        """
        return LmdbStore(
            self._open(), self._directory, None, clock=self._clock, on_fatal=_leave_it_to_the_caller
        )

    def open_to_verify(self) -> LmdbFile:
        """Open what was copied, only to be read; to be closed before `finish`.

        Raises:
            StoreRefused, StoreCorrupt: As `LmdbFile`.
        """
        return LmdbFile(self._directory / DATA_FILE_NAME)

    def finish(self, renew: Callable[[WriteTxn], None]) -> None:
        """Make it the store of the data directory, in one step, durably; blocks.

        Args:
            renew: Written in the transaction that sets its revision far ahead. Must write something.

        Raises:
            StoreFull, StoreCorrupt: As `LmdbEnvironment.write`.
            OSError: The disk failed.
        """
        environment = self._open()
        try:
            environment.write(renew, clock=self._clock, revisions_skipped=REVISIONS_SKIPPED)
        except CommitOutcomeUnknown as error:
            msg = "the disk failed while the store was written"
            raise OSError(msg) from error
        finally:
            environment.close()
        sync_path(self._directory / DATA_FILE_NAME)
        sync_path(self._directory)
        self._directory.rename(self._store_dir)
        sync_path(self._store_dir.parent)

    def discard(self) -> None:
        """Remove what there is of it; once it is finished, nothing is."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _open(self) -> LmdbEnvironment:
        return LmdbEnvironment(self._directory, map_bytes=self._map_bytes, create=False)


@contextmanager
def restoring(data_dir: Path, *, clock: Clock, map_bytes: int) -> Iterator[Restoration]:
    """Hold a data directory for a restore, and discard what is not finished at the end.

    Args:
        data_dir: Made when it is missing. May hold what an interrupted restore left, and nothing else.
        clock: The wall clock.
        map_bytes: What the data file can grow to. Address space, not disk.

    Raises:
        StoreRefused: It is in use, holds something, or lies on a file system that cannot be trusted.
        OSError: It cannot be read or written.
    """
    guard_file_system(data_dir)
    lock_path = data_dir / LOCK_NAME
    if not lock_path.exists():
        # Nothing is written into somebody's folder, not even a lock.
        _refuse_when_not_empty(data_dir)
    make_directory(data_dir)
    with held(lock_path):
        _refuse_when_not_empty(data_dir)
        restoration = Restoration(data_dir, clock=clock, map_bytes=map_bytes)
        restoration.discard()
        try:
            yield restoration
        finally:
            restoration.discard()


def _refuse_when_not_empty(data_dir: Path) -> None:
    """Refuse a data directory that holds more than what a restore may have left.

    Raises:
        TargetNotEmpty: It does.
    """
    present = sorted(data_dir.iterdir()) if data_dir.exists() else []
    for path in present:
        if path.name not in {LOCK_NAME, RESTORING_NAME}:
            raise TargetNotEmpty(path)


def _leave_it_to_the_caller() -> None:
    """Do nothing about a commit that failed: who wrote learns it too."""
