"""A copy of an LMDB environment in a file without a name: nothing of it is left, however the process ends."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb

from runindex_server.errors import StoreClosed, StoreCorrupt, StoreFull
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.lmdb_snapshots import (
    DAMAGE,
    ENGINE_0_9,
    FULL_CODES,
    ROWS_NAME,
    SEQUENCES_NAME,
    LmdbSnapshots,
)

T = TypeVar("T")


class LmdbCopy:
    """A `kv.engine.StoreCopy` in a file that only this process can reach."""

    def __init__(self, path: Path, write: Callable[[int], None]) -> None:
        """Make the copy; blocks, as long as it takes.

        Args:
            path: Where the file is made, to lose its name at once; what a killed process left there goes.
            write: Writes the copy into the descriptor of an empty file.

        Raises:
            StoreFull: As `write`, or there is no room for the file.
            StoreCorrupt: As `write`, or the disk makes no file.
        """
        fd = _make_file(path)
        self._file = os.fdopen(fd, "rb", buffering=0)
        self._snapshots: LmdbSnapshots | None = None
        self._lock = threading.Lock()
        self._users = 0
        self._is_given_up = False
        try:
            path.unlink()
            write(fd)
            self._total_bytes = os.fstat(fd).st_size
        except BaseException:
            self._file.close()
            raise

    @property
    def total_bytes(self) -> int:
        """The size of the copy."""
        return self._total_bytes

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        """Run `fn` on the copy, as long as it takes; see `kv.engine.StoreCopy`."""
        with self._use():
            return self._open().read(fn)

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield the bytes of the copy; see `kv.engine.StoreCopy`."""
        for offset in range(0, self.total_bytes, chunk_bytes):
            with self._use():
                chunk = os.pread(self._file.fileno(), chunk_bytes, offset)
            yield chunk

    def close(self) -> None:
        """Give up the copy, and the room that it takes, as soon as no thread uses it; again does nothing."""
        with self._lock:
            self._is_given_up = True
            self._release_when_unused()

    @contextmanager
    def _use(self) -> Iterator[None]:
        """Keep the copy while a thread uses it, although its owner may have been cancelled meanwhile.

        Raises:
            StoreClosed: It was given up.
        """
        with self._lock:
            if self._is_given_up:
                raise StoreClosed
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._release_when_unused()

    def _open(self) -> LmdbSnapshots:
        with self._lock:
            if self._snapshots is None:
                self._snapshots = open_read_only(Path(f"/proc/self/fd/{self._file.fileno()}"))
            return self._snapshots

    def _release_when_unused(self) -> None:
        if not self._is_given_up or self._users:
            return
        if self._snapshots is not None:
            self._snapshots.close()
        self._file.close()


def _make_file(path: Path) -> int:
    """Return a descriptor of a new file.

    Raises:
        StoreFull, StoreCorrupt: As `LmdbCopy`.
    """
    try:
        path.unlink(missing_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in FULL_CODES:
            raise StoreFull from error
        raise StoreCorrupt(f"the copy failed: {error}") from error


def open_read_only(path: Path) -> LmdbSnapshots:
    """Open a data file that nobody writes.

    Raises:
        StoreCorrupt: It is none of ours.
    """
    try:
        env = lmdb.open(
            str(path),
            subdir=False,
            readonly=True,
            create=False,
            lock=False,
            max_dbs=2,
            lib_version=ENGINE_0_9,
        )
    except lmdb.Error as error:
        raise StoreCorrupt(f"a copy that does not open: {error}") from error
    try:
        rows, sequences = (env.open_db(name, create=False) for name in (ROWS_NAME, SEQUENCES_NAME))
    except (lmdb.NotFoundError, *DAMAGE) as error:
        env.close()
        raise StoreCorrupt(f"a copy without its databases: {error}") from error
    return LmdbSnapshots(env, rows, sequences)
