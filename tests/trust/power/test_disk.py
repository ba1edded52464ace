"""The model of a disk: it must lose whatever was not flushed, or the harness proves nothing."""

import os
import random

from tests.trust.power.choose import after_piece, at_rest
from tests.trust.power.disk import PAGE_BYTES, SECTOR_BYTES, Bytes, Disk, Overlay, Pieces, sectors_of, torn
from tests.trust.power.trace import Event, Kind


def event(kind: Kind, file: int = 0, data: bytes = b"", *, offset: int = 0, token: int = 0) -> Event:
    flags = os.O_CREAT if kind is Kind.OPEN else 0
    return Event(kind, flags, file, offset, token, data)


def disk_with(*events: Event) -> Disk:
    disk = Disk()
    for each in events:
        disk.apply(each)
    return disk


def synced(file: int, token: int) -> tuple[Event, Event]:
    return event(Kind.SYNC_BEGIN, file, token=token), event(Kind.SYNC_END, file, token=token)


def held(disk: Disk, path: str, kept: Pieces) -> bytes:
    node = disk.tree(disk.pending)[path]
    assert node is not None
    return content(disk.overlay(node, kept))


def content(file: Overlay) -> bytes:
    pages = b"".join(file.page(number) for number in range(-(-file.size // PAGE_BYTES)))
    return pages[: file.size]


NEW_FILE = (event(Kind.OPEN, 1, b"f"), event(Kind.WRITE, 1, b"new", token=1))
ROOT_SYNCED = (event(Kind.OPEN, 9, b""), *synced(9, 99))


def test_a_file_that_was_synced_has_no_name_before_its_directory_was() -> None:
    assert disk_with(*NEW_FILE, *synced(1, 2)).tree([]) == {}
    assert disk_with(*NEW_FILE, *synced(1, 2), *ROOT_SYNCED).tree([]) == {"f": 1}


def test_a_name_that_was_synced_does_not_make_the_file_so() -> None:
    disk = disk_with(*NEW_FILE, *ROOT_SYNCED)

    assert held(disk, "f", []) == b""
    assert held(disk, "f", disk.pending) == b"new"


def test_a_sync_covers_what_came_before_it_began() -> None:
    begin, end = synced(1, 2)
    late = event(Kind.WRITE, 1, b"NEW", token=3)
    disk = disk_with(*NEW_FILE, begin, late, end, *ROOT_SYNCED)

    assert held(disk, "f", []) == b"new"
    assert held(disk, "f", disk.pending) == b"NEW"


def test_a_rename_without_a_sync_may_be_lost() -> None:
    disk = disk_with(*NEW_FILE, *synced(1, 2), *ROOT_SYNCED, event(Kind.RENAME, data=b"f\0g"))

    assert (set(disk.tree([])), set(disk.tree(disk.pending))) == ({"f"}, {"g"})


def test_a_write_through_is_durable_once_it_is_over() -> None:
    begun = disk_with(*NEW_FILE, *ROOT_SYNCED)
    assert held(begun, "f", []) == b""
    begun.apply(event(Kind.WRITTEN, 1, token=1))
    assert held(begun, "f", []) == b"new"


def test_any_page_of_a_write_may_be_lost() -> None:
    data = b"a" * PAGE_BYTES + b"b" * PAGE_BYTES
    disk = disk_with(event(Kind.OPEN, 1, b"f"), event(Kind.WRITE, 1, data, token=1), *ROOT_SYNCED)
    first, second = disk.pending

    assert held(disk, "f", [first]) == data[:PAGE_BYTES]
    assert held(disk, "f", [second]) == bytes(PAGE_BYTES) + data[PAGE_BYTES:]


def test_a_cut_takes_away_what_lies_behind_it() -> None:
    data = b"a" * PAGE_BYTES + b"b" * PAGE_BYTES
    cut = event(Kind.TRUNCATE, 1, offset=PAGE_BYTES)
    disk = disk_with(event(Kind.OPEN, 1, b"f"), event(Kind.WRITE, 1, data, token=1), cut, *ROOT_SYNCED)
    assert held(disk, "f", disk.pending) == data[:PAGE_BYTES]
    for each in synced(1, 5):
        disk.apply(each)
    assert held(disk, "f", []) == data[:PAGE_BYTES]


def test_a_page_is_torn_at_sectors() -> None:
    page = Bytes(1, offset=PAGE_BYTES, data=bytes(range(256)) * 16)
    kept = list(torn(page, frozenset({8, 10})))

    assert list(sectors_of(page)) == list(range(8, 16))
    assert [(piece.offset, len(piece.data)) for piece in kept] == [
        (PAGE_BYTES, SECTOR_BYTES),
        (PAGE_BYTES + 2 * SECTOR_BYTES, SECTOR_BYTES),
    ]


def test_every_single_loss_is_tried() -> None:
    pieces = [Bytes(1, offset=number * PAGE_BYTES, data=b"x" * PAGE_BYTES) for number in range(5)]
    tried = list(at_rest(pieces, random.Random(1), subsets=3))

    assert [] in tried
    assert pieces in tried
    for lost in pieces:
        assert [piece for piece in pieces if piece is not lost] in tried
    last_torn = [kept for kept in after_piece(pieces, random.Random(1)) if kept[:4] == pieces[:4]]
    lengths = [sum(len(piece.data) for piece in kept[4:] if isinstance(piece, Bytes)) for kept in last_torn]
    assert any(0 < length < PAGE_BYTES for length in lengths)


def test_a_hash_tells_what_is_held() -> None:
    """By whichever way the same bytes came about."""
    one = disk_with(*NEW_FILE, *synced(1, 2), event(Kind.WRITE, 1, b"abc", token=3))
    other = disk_with(*NEW_FILE, event(Kind.WRITE, 1, b"abc", token=3), *synced(1, 2))

    assert one.overlay(1, one.pending[-1:]).total == other.overlay(1, []).total
    assert one.overlay(1, []).total != other.overlay(1, []).total
