"""The lock on a data directory: held for the life of a store, so that no second process opens it.

LMDB's own lock file is not enough: whoever deletes it under a running server lets a second writer in.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runindex_server.kv.guard import StoreInUse

HOLDER_BYTES_MAX: Final = 32
"""More than any process id has."""


class LockFile:
    """A held lock. It ends with `release`, or with the process."""

    def __init__(self, fd: int) -> None:
        """Own a descriptor of the locked file."""
        self._fd: int | None = fd

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

    def release(self) -> None:
        """Release the lock; again does nothing. The file stays: deleting it would let two hold it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


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
