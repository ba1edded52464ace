"""The seal on a store at rest: a checksum of its data file, by which damage is found before it is read.

The engine has no checksums of its pages. A damaged one can hide rows without a trace, or end the process that
comes upon it. So whoever closes a store last seals it, and whoever opens it next holds the file to its seal
and breaks that. An open store has none, nor has one whose last process was killed.
"""

import fcntl
import os
import struct
import weakref
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from runindex_server.kv.directory import sync_path
from runindex_server.kv.guard import DataFileChanged

SEAL_NAME: Final = "data.mdb.seal"
UNFINISHED_SEAL_NAME: Final = "data.mdb.seal.unfinished"

SEALED_BYTES_MAX: Final = 1024**3
"""Of a larger file a checksum would hold up start and stop for too long: it is not sealed."""

_CHUNK_BYTES: Final = 1024 * 1024
_MAGIC: Final = b"RunIndex"
# Magic, bytes of the file, their CRC-32.
_SEAL: Final = struct.Struct(">8sQI")
_CRC: Final = struct.Struct(">I")


class StoreUse:
    """A process's use of the folder of a store, so that the last one that ends knows that it is alone."""

    def __init__(self, store_dir: Path) -> None:
        """Begin. Waits while another process seals the store."""
        fd = os.open(store_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._store_dir = store_dir
        self._fd = fd
        self._close = weakref.finalize(self, os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_SH)

    @classmethod
    def of_unsealed(cls, data_file: Path) -> "StoreUse":
        """Begin, hold a data file to its seal, and break that: before it is written.

        Raises:
            DataFileChanged: It is not what was sealed.
            OSError: It cannot be read, or the seal not be removed.
        """
        use = cls(data_file.parent)
        check_seal(data_file)
        break_seal(data_file)
        return use

    def end(self, data_file: Path | None) -> None:
        """End, and seal a data file if no other process uses its store; again does nothing.

        Args:
            data_file: Closed; None when it is not known to be sound.
        """
        if not self._close.alive:
            return
        # What is full or read-only has no seal: it is no promise, and the store is closed all the same.
        with suppress(OSError):
            if data_file is not None:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                put_seal(data_file)
        self._close()


def put_seal(data_file: Path) -> None:
    """Seal a data file that no process has open.

    A loss of power may take the seal away, and nothing else: the file itself is on the disk already.

    Raises:
        OSError: The file cannot be read, or the seal not be written.
    """
    size = data_file.stat().st_size
    if size > SEALED_BYTES_MAX:
        return
    seal = _SEAL.pack(_MAGIC, size, _crc_of(data_file))
    unfinished = data_file.with_name(UNFINISHED_SEAL_NAME)
    try:
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(seal + _CRC.pack(zlib.crc32(seal)))
        unfinished.replace(data_file.with_name(SEAL_NAME))
    finally:
        unfinished.unlink(missing_ok=True)


def check_seal(data_file: Path) -> None:
    """Hold a data file that nobody writes to its seal, if it has one. Read-only.

    Raises:
        DataFileChanged: It is not what was sealed.
        OSError: It cannot be read.
    """
    seal = _read_seal(data_file)
    if seal is not None and seal != (data_file.stat().st_size, _crc_of(data_file)):
        raise DataFileChanged(data_file, data_file.with_name(SEAL_NAME))


def break_seal(data_file: Path) -> None:
    """Remove the seal of a data file, durably, before anybody writes the file; where there is none, nothing.

    Raises:
        OSError: It cannot be removed.
    """
    seal_path = data_file.with_name(SEAL_NAME)
    data_file.with_name(UNFINISHED_SEAL_NAME).unlink(missing_ok=True)
    if seal_path.exists():
        seal_path.unlink()
        # A seal that came back after a loss of power would be that of an older file.
        sync_path(data_file.parent)


def _read_seal(data_file: Path) -> tuple[int, int] | None:
    """Return the size and the checksum in the seal of a data file; None without one that is whole."""
    try:
        data = data_file.with_name(SEAL_NAME).read_bytes()
    except FileNotFoundError:
        return None
    seal, crc = data[: _SEAL.size], data[_SEAL.size :]
    if crc != _CRC.pack(zlib.crc32(seal)) or len(seal) != _SEAL.size:
        return None
    magic, size, file_crc = _SEAL.unpack(seal)
    return (size, file_crc) if magic == _MAGIC else None


def _crc_of(path: Path) -> int:
    """Return the CRC-32 of a file; half a second for a gigabyte that is in memory."""
    crc, chunk = 0, memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(chunk):
            crc = zlib.crc32(chunk[:length], crc)
    return crc
