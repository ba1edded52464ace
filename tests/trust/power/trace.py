"""The log of a recording, read: what a server did to its files, and what clients were told, in one order."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

_RECORD: Final = struct.Struct("=IIQQQQ")
"""As `iotrace.c` writes it: kind, flags, file, offset, token, length of what follows."""


class Kind(IntEnum):
    """What happened. All but the last two are written by `iotrace.c`."""

    OPEN = 1
    WRITE = 2
    WRITTEN = 3
    SYNC_BEGIN = 4
    SYNC_END = 5
    TRUNCATE = 6
    RENAME = 7
    MKDIR = 8
    UNLINK = 9
    RMDIR = 10
    BEGUN = 20
    ACKNOWLEDGED = 21


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        kind: What.
        flags: Of the opening; for a write, whether it is durable once it is over.
        file: The number of the file as it was opened; of a call, its number.
        offset: Of a write; the new length of what was cut.
        token: Which write or sync was over.
        data: What was written, or the path below the folder, or both paths with a zero between them.
    """

    kind: Kind
    flags: int
    file: int
    offset: int
    token: int
    data: bytes


def mark(kind: Kind, number: int) -> bytes:
    """Return the record by which a client says that it began a call, or had its answer."""
    return _RECORD.pack(kind, 0, number, 0, 0, 0)


def read_log(path: Path) -> Iterator[Event]:
    """Yield all that a log tells.

    Raises:
        struct.error: The log was cut short.
    """
    log = path.read_bytes()
    offset = 0
    while offset < len(log):
        kind, flags, file, at, token, length = _RECORD.unpack_from(log, offset)
        offset += _RECORD.size
        yield Event(Kind(kind), flags, file, at, token, log[offset : offset + length])
        offset += length
