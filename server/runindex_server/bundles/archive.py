"""The file of a bundle: entries in frames, between a head that tells the format and a checksum of it all.

    head     89 52 49 42 0d 0a 1a 0a | format version u32
    frame    length u32 | BundleEntry
    end      SHA-256[32] of all before it

Integers are big-endian. `docs/reference/bundles.md` has a worked example, which a test evaluates.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from google.protobuf.message import DecodeError

from runindex_server.schema._generated import bundle_pb2 as pb

MAGIC: Final = b"\x89RIB\r\n\x1a\n"
"""As that of PNG: what takes a file for text damages it."""

FORMAT_VERSION: Final = 1
"""The version that is written, and the newest that is read."""

ENTRY_BYTES_MAX: Final = 512 * 1024
"""One entry. A value of 256 KiB and the largest record fit; it bounds what a damaged length asks for."""

_VERSION: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">I")
_HEAD_BYTES: Final = len(MAGIC) + _VERSION.size
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_CHUNK_BYTES: Final = 1024 * 1024


class BundleRefused(Exception):
    """A file that is no sound bundle. The message is the rest of a sentence after `it`."""


@dataclass(slots=True)
class Counts:
    """How much a bundle holds.

    Attributes:
        versions: Of keys, state cells and documents.
    """

    runs: int = 0
    transitions: int = 0
    versions: int = 0
    events: int = 0

    def add(self, entry: pb.BundleEntry) -> None:
        """Count an entry."""
        match entry.WhichOneof("entry"):
            case "run":
                self.runs += 1
            case "transition":
                self.transitions += 1
            case "version":
                self.versions += 1
            case "event":
                self.events += 1
            case _:  # What stands around them.
                pass

    def trailer(self) -> pb.BundleTrailer:
        """Return the trailer of a bundle that holds so much."""
        return pb.BundleTrailer(
            runs=self.runs, transitions=self.transitions, versions=self.versions, events=self.events
        )


class ArchiveWriter:
    """Writes a bundle, entry by entry.

    Attributes:
        counts: What was written.
        written_bytes: How much that is.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Begin a bundle in an empty file.

        Raises:
            OSError: The file cannot be written.
        """
        self.counts = Counts()
        self.written_bytes = 0
        self._file = file
        self._digest = hashlib.sha256()
        self._write(MAGIC + _VERSION.pack(FORMAT_VERSION))

    def add(self, entry: pb.BundleEntry) -> None:
        """Write an entry: the header first, no trailer.

        Raises:
            OSError: The file cannot be written.
        """
        self.counts.add(entry)
        message = entry.SerializeToString()
        self._write(_LENGTH.pack(len(message)) + message)

    def end(self) -> None:
        """Write the trailer and the checksum.

        Raises:
            OSError: The file cannot be written.
        """
        self.add(pb.BundleEntry(trailer=self.counts.trailer()))
        self._write(self._digest.digest())

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.written_bytes += len(data)


def check_digest(file: BinaryIO) -> bytes:
    """Read a file whole, see that it is a bundle as it was written, and return its checksum.

    Raises:
        BundleRefused: It is no bundle, of a newer format, cut short, or damaged.
        OSError: It cannot be read.
    """
    end = _end_of_entries(file)
    digest = hashlib.sha256()
    head = file.read(_HEAD_BYTES)
    _check_head(head)
    digest.update(head)
    left = end - _HEAD_BYTES
    while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    found = file.read(_DIGEST_BYTES)
    if found != digest.digest():
        problem = "is damaged" if _lead_to(file, end) else "was cut short or is damaged"
        raise BundleRefused(f"{problem}: its checksum is not that of what it holds")
    return found


def read_entries(file: BinaryIO, digest: bytes) -> Iterator[pb.BundleEntry]:
    """Yield the entries of a bundle but for its trailer, the header first.

    Args:
        file: As `check_digest` has seen it.
        digest: Its checksum.

    Raises:
        BundleRefused: It changed since, or holds something else than its trailer says. What was yielded
            before counts for nothing then.
        OSError: It cannot be read.
    """
    reader = _FrameReader(file)
    counts = Counts()
    while True:
        offset = reader.offset
        try:
            entry = pb.BundleEntry.FromString(reader.frame())
        except DecodeError as error:
            raise BundleRefused(f"holds no entry at byte {offset}") from error
        kind = entry.WhichOneof("entry")
        if kind is None:
            raise BundleRefused(f"holds an entry of no known kind at byte {offset}")
        if kind == "trailer":
            break
        counts.add(entry)
        yield entry
    if entry.trailer != counts.trailer():
        raise BundleRefused("holds another number of entries than its trailer says")
    reader.check_end(digest)


class _FrameReader:
    """Reads frames one after the other.

    Attributes:
        offset: Where the next one begins.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = _end_of_entries(file)
        self._digest = hashlib.sha256()
        self.offset = 0
        _check_head(self._read(_HEAD_BYTES))

    def frame(self) -> bytes:
        """Return what is in the next frame."""
        offset = self.offset
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > ENTRY_BYTES_MAX:
            raise BundleRefused(f"holds an entry of {length} bytes at byte {offset}, which none has")
        return self._read(length)

    def check_end(self, digest: bytes) -> None:
        """See that nothing follows but the checksum, which is that of what was read."""
        if self.offset < self._end:
            raise BundleRefused("goes on behind its trailer")
        if self._digest.digest() != digest:
            raise BundleRefused("changed while it was read")

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if self.offset + size > self._end or len(data) < size:
            raise BundleRefused("has no trailer")
        self._digest.update(data)
        self.offset += size
        return data


def _check_head(head: bytes) -> None:
    """Refuse the head of a file that is no bundle of a format that is read."""
    if len(head) < _HEAD_BYTES or not head.startswith(MAGIC):
        raise BundleRefused("is no bundle of RunIndex")
    (version,) = _VERSION.unpack_from(head, len(MAGIC))
    if version > FORMAT_VERSION:
        raise BundleRefused(
            f"has format version {version}, and this server reads up to {FORMAT_VERSION}: use the version of "
            "the server that made it, or a newer one"
        )
    if version < 1:
        raise BundleRefused(f"has format version {version}, which there never was")


def _end_of_entries(file: BinaryIO) -> int:
    """Return where the checksum of a file begins, which is to be read from its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size - _DIGEST_BYTES


def _lead_to(file: BinaryIO, end: int) -> bool:
    """Tell whether the frames of a file lead to a place: they do when what is wrong is within one."""
    offset = _HEAD_BYTES
    while offset < end:
        file.seek(offset)
        length = file.read(_LENGTH.size)
        if len(length) < _LENGTH.size:
            return False
        offset += _LENGTH.size + _LENGTH.unpack(length)[0]
    return offset == end
