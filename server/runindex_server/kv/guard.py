"""What is looked at before a data directory is opened, and how it is refused: better than a crash later."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runindex_server.errors import CommitOutcomeUnknown
from runindex_server.kv.data_file import DataFileDamaged, is_complete, read_newest_meta

MOUNTS_PATH: Final = Path("/proc/self/mountinfo")

UNTRUSTED_FILE_SYSTEMS: Final = re.compile(r"nfs.*|cifs|smb3|9p|fuse|fuse\..*")
"""Types on which LMDB's memory map and its locks do not hold what they promise."""

_OCTAL_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class StoreRefused(Exception):
    """A data directory that is not opened. The message names the path and the way out, for the operator."""


class DataFileMissing(StoreRefused):
    """There is a store, but not its data file."""

    def __init__(self, path: Path) -> None:
        """Take the path of the data file."""
        super().__init__(f"{path} is missing; restore a backup, or use another data directory.")


class DataFileForeign(StoreRefused):
    """The data file is not one of this store."""

    def __init__(self, path: Path, problem: str) -> None:
        """Take the path of the data file, and what is wrong as the rest of a sentence after `it`."""
        super().__init__(
            f"{path} is not a data file of RunIndex: it {problem}; restore a backup, or use another data "
            "directory."
        )


class DataFileTruncated(StoreRefused):
    """Pages of the data file that are in use are gone."""

    def __init__(self, path: Path) -> None:
        """Take the path of the data file."""
        super().__init__(f"{path} was cut short: pages in use lie behind its end; restore a backup.")


class DataFileChanged(StoreRefused):
    """The data file is not what it was when its store was closed."""

    def __init__(self, path: Path, seal_path: Path) -> None:
        """Take the path of the data file, and that of its seal."""
        super().__init__(
            f"{path} is damaged: it is not what it was when its store was closed; restore a backup, or "
            f"remove {seal_path} to look at what is left."
        )


class FileSystemUntrusted(StoreRefused):
    """The data directory lies on a file system of a type that LMDB cannot trust."""

    def __init__(self, path: Path, file_system: str) -> None:
        """Take the data directory and the type of its file system."""
        super().__init__(
            f"{path} is on a file system of type {file_system}, on which LMDB's locks and memory map cannot "
            "be trusted; use a data directory on a local disk."
        )


class StoreInUse(StoreRefused):
    """Another process, or another store of this one, has the data directory open.

    Attributes:
        holder: The holder's process id, as the holder sees it; empty while it has not written it yet.
    """

    def __init__(self, path: Path, holder: str) -> None:
        """Take the path of the lock file and the holder's process id."""
        who = f"process {holder}" if holder else "another process"
        super().__init__(f"{path} is held by {who}; stop it, or use another data directory.")
        self.holder = holder


class StoreMissing(StoreRefused):
    """There is no store in the data directory."""

    def __init__(self, path: Path) -> None:
        """Take the data directory."""
        super().__init__(f"{path} holds no store; name the data directory of one.")


class RestoreUnfinished(StoreRefused):
    """The data directory holds what a restore left that did not come to its end."""

    def __init__(self, path: Path) -> None:
        """Take the directory that the restore left."""
        super().__init__(
            f"{path} is what an interrupted restore left; run the restore again, or remove it to begin with "
            "an empty store."
        )


class TargetNotEmpty(StoreRefused):
    """A backup is not restored into a directory that holds something."""

    def __init__(self, path: Path) -> None:
        """Take what is there."""
        super().__init__(f"{path} is in the way: a backup is restored into a new or empty folder only.")


class NoRoom(StoreRefused):
    """The disk has no room for what is to be written."""

    def __init__(self, path: Path, needed_bytes: int) -> None:
        """Take the directory, and how much is needed there."""
        super().__init__(
            f"the disk of {path} has no room for {needed_bytes} bytes; free some, and try again."
        )


class DiskRefused(StoreRefused):
    """The disk refuses what opening a store takes."""

    def __init__(self, path: Path, problem: str) -> None:
        """Take the data directory or the file, and what the disk said."""
        super().__init__(
            f"{path} could not be used ({problem}); look at its permissions, its disk, and the room on that."
        )


class EngineRefused(StoreRefused):
    """The engine could not open the store."""

    def __init__(self, path: Path, problem: str) -> None:
        """Take the directory of the store, and what the engine said."""
        super().__init__(
            f"{path} could not be opened by the engine ({problem}); look at its permissions, its disk, and "
            "the size of the map."
        )


@contextmanager
def disk_errors_told(data_dir: Path) -> Iterator[None]:
    """Tell errors of the disk while a store is opened as a refusal.

    Raises:
        DiskRefused: The disk refused something, or failed.
    """
    try:
        yield
    except OSError as error:
        raise DiskRefused(Path(error.filename or data_dir), error.strerror or str(error)) from error
    except CommitOutcomeUnknown as error:
        raise DiskRefused(data_dir, "it failed while the store was made") from error


def guard_data_file(path: Path) -> None:
    """Refuse a data file that the engine would refuse, misread, or be killed by. Read-only.

    To be called before the engine has the file open: closing a second descriptor of it can end locks.

    Raises:
        DataFileMissing: There is no such file.
        DataFileForeign: It is not a data file of LMDB 0.9.
        DataFileTruncated: Pages of it that are in use are gone.
    """
    if not path.is_file():
        raise DataFileMissing(path)
    try:
        with path.open("rb") as file:
            complete = is_complete(file, read_newest_meta(file))
    except DataFileDamaged as damage:
        raise DataFileForeign(path, str(damage)) from damage
    if not complete:
        raise DataFileTruncated(path)


def guard_file_system(path: Path, *, mounts_path: Path = MOUNTS_PATH) -> None:
    """Refuse a data directory, present or not, on a file system that LMDB cannot trust. Read-only.

    Args:
        path: The data directory.
        mounts_path: The kernel's list of mounts; where there is none, nothing is refused.

    Raises:
        FileSystemUntrusted: It lies on such a file system.
    """
    file_system = file_system_of(path, mounts_path=mounts_path)
    if UNTRUSTED_FILE_SYSTEMS.fullmatch(file_system):
        raise FileSystemUntrusted(path, file_system)


def file_system_of(path: Path, *, mounts_path: Path = MOUNTS_PATH) -> str:
    """Return the type of the file system of a path, present or not; empty when it is not known. Read-only."""
    try:
        mounts = mounts_path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
    path = path.resolve()
    depth, file_system = 0, ""
    for line in mounts.splitlines():
        place, _, source = line.partition(" - ")
        mount_point = Path(_OCTAL_ESCAPE.sub(lambda match: chr(int(match[1], 8)), place.split(" ")[4]))
        # Of two mounts at one place the later one covers the earlier.
        if path.is_relative_to(mount_point) and len(mount_point.parts) >= depth:
            depth, file_system = len(mount_point.parts), source.split(" ")[0]
    return file_system
