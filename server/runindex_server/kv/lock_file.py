"""The lock on a data directory: held for the life of a store, so that no second process opens it.

LMDB's own lock file is not enough: whoever deletes it under a running server lets a second writer in.
"""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

from runindex_server.kv.directory import make_directory
from runindex_server.kv.guard import StoreInUse, StoreRefused, guard_file_system

LOCK_NAME: Final = "LOCK"
"""The file that is locked, in a data directory."""

STORE_NAME: Final = "store"
"""The folder of the store, in a data directory."""

IDENTIFYING_NAMES: Final = (LOCK_NAME, f"{STORE_NAME}/lock.mdb", f"{STORE_NAME}/data.mdb")
"""The files of a store that stay the same as long as somebody has it open."""

HOLDER_BYTES_MAX: Final = 32
"""More than any process id has."""


class StoreAliased(StoreRefused):
    """The store has another name, by which a server can open it under another lock."""

    def __init__(self, path: Path) -> None:
        """Take the file or folder that has one."""
        super().__init__(
            f"{path} is a link, or has another name, by which a second server can open it; name its own data "
            "directory, or copy it."
        )


class StoreInUseUnusually(StoreInUse):
    """A data directory that is held by others than the process that took its lock, or by one out of sight."""

    def __init__(self, path: Path, holder: str, *, who: str, them: str) -> None:
        """Take the path of the lock file, what it says, and who holds it, in words."""
        StoreRefused.__init__(self, f"{path} is held by {who}; stop {them}, or use another data directory.")
        self.holder = holder


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
            StoreAliased: Others can reach the store past it.
            OSError: The file cannot be made.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(fd, HOLDER_BYTES_MAX).decode(errors="replace").strip()
            refusal = _refusal(path, holder, _holders(fd))
            os.close(fd)
            raise refusal from error
        try:
            _refuse_aliases(path.parent / STORE_NAME)
        except StoreAliased:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return cls(fd)

    def release(self) -> None:
        """Give the descriptor up; again does nothing. The file stays: deleting it would let two hold it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def look_at_lock(data_dir: Path) -> StoreInUse | None:
    """Return what who comes second would be told of a data directory; None when nobody holds it. Read-only.

    Where no holder can be seen, the lock is tried: shared, for a few microseconds.
    """
    path = data_dir / LOCK_NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        holder = os.read(fd, HOLDER_BYTES_MAX).decode(errors="replace").strip()
        holders = _holders(fd)
        return _refusal(path, holder, holders) if holders or not _can_share(fd) else None
    finally:
        os.close(fd)


def _can_share(fd: int) -> bool:
    """Tell whether nobody holds the lock on an open file, by sharing it until that is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


FileIdentity: TypeAlias = tuple[int, int] | None
"""What tells a file from any other in its place; None when there is none."""


def store_identity(data_dir: Path) -> tuple[FileIdentity, ...]:
    """Return what tells the files of a store from any others in their place: the lock, and the engine's two.

    Processes that have different ones open do not see each other's writers, and what is written into files
    that lie elsewhere by now is in no store that anybody will open.
    """
    return StoreFiles(data_dir).opened


class StoreFiles:
    """The files of a store as they were when it was opened, to be told from others in their place.

    Attributes:
        opened: What tells them from others.
    """

    def __init__(self, data_dir: Path) -> None:
        """Look at the files of the store of a data directory, which is open."""
        self._paths = tuple(str(data_dir / name) for name in IDENTIFYING_NAMES)
        self.opened = self._look()

    def are_in_place(self) -> bool:
        """Tell whether they are where they were; takes microseconds. Read-only."""
        return self._look() == self.opened

    def _look(self) -> tuple[FileIdentity, ...]:
        return tuple(map(_identity, self._paths))


def _identity(path: str) -> FileIdentity:
    try:
        found = os.stat(path)  # noqa: PTH116  # Looked at with every commit: `Path.stat` takes several times as long.
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _refuse_aliases(store_dir: Path) -> None:
    """Refuse a store that others can open without passing its lock.

    Raises:
        StoreAliased: It is one.
    """
    data_file = store_dir / "data.mdb"
    if store_dir.is_symlink():
        raise StoreAliased(store_dir)
    if data_file.is_symlink() or (data_file.exists() and data_file.stat().st_nlink > 1):
        raise StoreAliased(data_file)


def _refusal(path: Path, holder: str, holders: Mapping[int, Collection[str]]) -> StoreInUse:
    """Return what is told to who comes second.

    Args:
        path: Of the lock file.
        holder: The process id that is in it: of who took the lock, as that process sees itself.
        holders: Who holds it, as far as can be seen, and their ids as others see them.
    """
    known = [pid for pid, ids in holders.items() if holder in ids]
    if known or len(holders) == 1:
        return StoreInUse(path, str((known or list(holders))[0]))
    if holders:
        # Workers outlive a supervisor that was killed, until they have drained.
        who = f"processes {', '.join(map(str, sorted(holders)))}"
        return StoreInUseUnusually(path, holder, who=who, them="them")
    if not holder:
        return StoreInUse(path, holder)
    who = f"process {holder}, which cannot be seen from here: it is another user's, or another container's"
    return StoreInUseUnusually(path, holder, who=who, them="it")


def _holders(fd: int) -> dict[int, list[str]]:
    """Return the processes that hold the lock on an open file, and the ids that each has in any namespace.

    Those of other users, or in namespaces that cannot be seen from here, are left out. Read-only.
    """
    found, own = {}, os.fstat(fd)
    for folder in Path("/proc").glob("[0-9]*/fdinfo"):
        # They come and go, and some are nobody's business.
        with suppress(OSError):
            if any(_is_held_by(entry, own) for entry in folder.iterdir()):
                status = (folder.parent / "status").read_text()
                ids = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
                found[int(folder.parent.name)] = [folder.parent.name, *ids.split()[1:]]
    return found


def _is_held_by(entry: Path, own: os.stat_result) -> bool:
    """Tell whether a descriptor of a process, by its `/proc/N/fdinfo/M`, holds the lock on a file."""
    with suppress(OSError):
        locks = [line for line in entry.read_text().splitlines() if line.startswith("lock:")]
        # A process that has just come second, too, has the file open, but not the lock.
        if any(" FLOCK " in line and f":{own.st_ino} " in line for line in locks):
            return os.path.samestat(own, (entry.parent.parent / "fd" / entry.name).stat())
    return False


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
