"""The file of a bundle: frames, the trailer, the checksum, and what passes for none of them."""

import hashlib
from io import BytesIO

import pytest

from runindex_server.bundles.archive import (
    ENTRY_BYTES_MAX,
    MAGIC,
    ArchiveWriter,
    BundleRefused,
    check_digest,
    read_entries,
)
from runindex_server.schema._generated import bundle_pb2 as pb

HEAD = MAGIC + b"\0\0\0\1"
HEADER = pb.BundleEntry(header=pb.BundleHeader(create_time_us=1, created_by="test"))
EVENT = pb.BundleEntry(event=pb.BundleEvent(sequence=3, stream="out", value=b"\x0a\x00"))
RUN = pb.BundleEntry(run=pb.BundleRun(run=b"r"))
TRANSITION = pb.BundleEntry(transition=pb.BundleTransition(to_state=3))
VERSION = pb.BundleEntry(version=pb.BundleVersion(kind=1, name="key"))
TRAILER = pb.BundleEntry(trailer=pb.BundleTrailer(events=1))


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def framed(*entries: pb.BundleEntry) -> bytes:
    return b"".join(frame(entry.SerializeToString()) for entry in entries)


def sealed(body: bytes) -> BytesIO:
    """Return a file with a right checksum, whatever is in it."""
    return BytesIO(HEAD + body + hashlib.sha256(HEAD + body).digest())


def read(file: BytesIO) -> list[pb.BundleEntry]:
    return list(read_entries(file, check_digest(file)))


def test_what_was_written_is_read() -> None:
    file = BytesIO()
    writer = ArchiveWriter(file)
    entries = [HEADER, RUN, TRANSITION, VERSION, VERSION, EVENT, EVENT, EVENT]
    for entry in entries:
        writer.add(entry)
    writer.end()

    assert read(file) == entries
    assert writer.written_bytes == len(file.getvalue())
    assert writer.counts.trailer() == pb.BundleTrailer(runs=1, transitions=1, versions=2, events=3)


def test_the_bytes_are_those_of_the_format() -> None:
    file = BytesIO()
    writer = ArchiveWriter(file)
    writer.add(HEADER)
    writer.add(EVENT)
    writer.end()

    assert file.getvalue() == sealed(framed(HEADER, EVENT, TRAILER)).getvalue()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "has no trailer"),
        (b"\0\0", "has no trailer"),
        (framed(HEADER, EVENT), "has no trailer"),
        (framed(HEADER, EVENT, TRAILER)[:-1], "has no trailer"),
        (framed(HEADER, EVENT, EVENT, TRAILER), "holds another number of entries than its trailer says"),
        (framed(HEADER, TRAILER), "holds another number of entries than its trailer says"),
        (framed(HEADER, EVENT, TRAILER, EVENT), "goes on behind its trailer"),
        (framed(HEADER, EVENT, TRAILER) + b"x", "goes on behind its trailer"),
        (
            framed(HEADER) + frame(b"\xff") + framed(TRAILER),
            f"holds no entry at byte {12 + len(framed(HEADER))}",
        ),
        (framed(HEADER) + frame(b""), f"holds an entry of no known kind at byte {12 + len(framed(HEADER))}"),
        (framed(HEADER) + frame(b"\x98\x06\x01"), "holds an entry of no known kind"),
        (
            (ENTRY_BYTES_MAX + 1).to_bytes(4, "big"),
            f"holds an entry of {ENTRY_BYTES_MAX + 1} bytes at byte 12",
        ),
    ],
)
def test_a_file_with_a_right_checksum_that_is_no_bundle(body: bytes, problem: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        read(sealed(body))

    assert problem in str(refused.value)


@pytest.mark.parametrize("place", [0, 8, 11, 12, 15, 16, 40, -33, -32, -1])
def test_any_changed_byte_is_found(place: int) -> None:
    data = bytearray(sealed(framed(HEADER, EVENT, TRAILER)).getvalue())
    data[place] ^= 0x10
    with pytest.raises(BundleRefused):
        check_digest(BytesIO(bytes(data)))


def test_any_length_but_the_whole_is_refused() -> None:
    data = sealed(framed(HEADER, EVENT, TRAILER)).getvalue()
    for length in range(len(data)):
        with pytest.raises(BundleRefused):
            check_digest(BytesIO(data[:length]))


def test_a_file_that_changes_between_two_readings_is_refused() -> None:
    file = sealed(framed(HEADER, EVENT, TRAILER))
    digest = check_digest(file)
    other = pb.BundleEntry(event=pb.BundleEvent(sequence=4, stream="out", value=b"\x0a\x00"))
    entries = read_entries(sealed(framed(HEADER, other, TRAILER)), digest)
    with pytest.raises(BundleRefused, match="changed while it was read"):
        list(entries)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_largest_entry(over: int) -> None:
    empty = pb.BundleEntry(event=pb.BundleEvent(value=b"x")).ByteSize()
    # Above 2^16 the lengths within take a fixed number of bytes.
    room = ENTRY_BYTES_MAX - empty - 4
    entry = pb.BundleEntry(event=pb.BundleEvent(value=bytes(room)))
    entry = pb.BundleEntry(
        event=pb.BundleEvent(value=bytes(room + ENTRY_BYTES_MAX - entry.ByteSize() + over))
    )
    assert entry.ByteSize() == ENTRY_BYTES_MAX + over
    file = sealed(framed(entry, TRAILER))
    if over <= 0:
        assert read(file) == [entry]
    else:
        with pytest.raises(BundleRefused):
            read(file)
