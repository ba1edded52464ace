"""The lock on a data directory: held for the life of a store, so that no second process opens it.

LMDB's own lock file is not enough: whoever deletes it under a running server lets a second writer in.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runindex_server.kv.directory import make_directory
from runindex_server.kv.guard import StoreInUse, guard_file_system

LOCK_NAME: Final = "LOCK"
"""The file that is locked, in a data directory."""

STORE_NAME: Final = "store"
"""The folder of the store, in a data directory."""

HOLDER_BYTES_MAX: Final = 32
"""More than any process id has."""


class LockFile:
    """A held lock. It ends with `release`, or with the last process that has the descriptor."""

    def __init__(self, fd: int) -> None:
        """Own a descriptor of the locked file."""
        self._fd: int | None = fd

    @classmethod
    def take_directory(cls, data_dir: Path) -> "LockFile":
        """Take the lock on a data directory, which is made with mode 0700 when it is missing.

        Raises:
            StoreRefused: It is held, or lies on a file system that cannot be trusted.
            OSError: It cannot be made.
        """
        guard_file_system(data_dir)
        make_directory(data_dir)
        return cls.take(data_dir / LOCK_NAME)

    @classmethod
    def take(cls, path: Path) -> "LockFile":
        """Take the lock at once, and write this process's id into the file.

        Raises:
            StoreInUse: It is held.
            OSError: The file cannot be made.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(fd, HOLDER_BYTES_MAX).decode(errors="replace").strip()
            os.close(fd)
            raise StoreInUse(path, holder) from error
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return cls(fd)

    def fileno(self) -> int:
        """Return the descriptor: a process that inherits it holds the lock too.

        Raises:
            ValueError: The lock is released.
        """
        if self._fd is None:
            msg = "the lock is released"
            raise ValueError(msg)
        return self._fd

    def release(self) -> None:
        """Give the descriptor up; again does nothing. The file stays: deleting it would let two hold it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def store_identity(data_dir: Path) -> tuple[int, int] | None:
    """Return what tells the engine's own lock file from any other in its place; None when there is none.

    Processes that have different ones open do not see each other's writers.
    """
    try:
        found = (data_dir / STORE_NAME / "lock.mdb").stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock for a while.

    Raises:
        StoreInUse: It is held already.
        OSError: The file cannot be made.
    """
    lock = LockFile.take(path)
    try:
        yield
    finally:
        lock.release()
