"""What a data file of LMDB 0.9 says of itself, read without the engine: its newest state and its free pages.

The engine trusts its file: one that was cut short kills the process (SIGBUS) at the first page that is gone.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAGIC: Final = 0xBEEFC0DE
DATA_VERSION: Final = 1
"""The data format of LMDB 0.9. LMDB 1.0 writes 3, and neither reads the other's."""

NO_PAGE: Final = 2**64 - 1
_PAGE_HEADER_BYTES: Final = 16
_IS_BRANCH_PAGE: Final = 0x01
_IS_META_PAGE: Final = 0x08
_IS_BIG_NODE: Final = 0x01

# Native byte order, as the engine writes; offsets of the 64-bit layout in `lmdb.h` and `mdb.c`.
# Of a meta page: flags, magic, version, page bytes, root of the free pages, last page, transaction.
_META: Final = struct.Struct("=10x H 4x I I 16x I 36x Q 48x Q Q")
# Of a page: flags, end of its table of nodes.
_PAGE: Final = struct.Struct("=10x H H 2x")
# Of a node: its number's low and high half, flags, length of its key.
_NODE: Final = struct.Struct("=H H H H")
_U16: Final = struct.Struct("=H")
_U64: Final = struct.Struct("=Q")


class DataFileDamaged(Exception):
    """Not the bytes of a data file of LMDB 0.9. The message is the rest of a sentence after `it`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """A meta page: one committed state of the file.

    Attributes:
        page_bytes: The size of a page.
        free_root: The root page of the list of free pages, or NO_PAGE.
        last_page: The last page that was ever used.
        txn_id: The transaction that wrote it.
    """

    page_bytes: int
    free_root: int
    last_page: int
    txn_id: int


def read_newest_meta(file: BinaryIO) -> Meta:
    """Return the newer of the two meta pages. Read-only.

    Raises:
        DataFileDamaged: One of them is not what LMDB 0.9 writes.
    """
    first = _read_meta(file, 0)
    second = _read_meta(file, first.page_bytes)
    # They are written in turn, and the engine takes the newer one: a stale one would take back commits.
    if abs(first.txn_id - second.txn_id) > 1 or first.txn_id % 2 or not second.txn_id % 2:
        raise DataFileDamaged("has two states that do not follow each other")
    return max(first, second, key=lambda meta: meta.txn_id)


def is_complete(file: BinaryIO, meta: Meta) -> bool:
    """Return whether the file holds every page that is in use. Read-only.

    LMDB leaves out pages at the end that one transaction took and freed again, so that a sound file may be
    shorter than its last page tells: then each page that is missing must be in the list of free pages.

    Raises:
        DataFileDamaged: The list of free pages leads in a circle.
    """
    pages_present = os.fstat(file.fileno()).st_size // meta.page_bytes
    pages_missing = meta.last_page + 1 - pages_present
    if pages_missing <= 0:
        return True
    try:
        pages_free = sum(page >= pages_present for page in _free_pages(file, meta, pages_present))
    except struct.error:
        # The list itself leads out of the file.
        return False
    return pages_free == pages_missing


def _read_meta(file: BinaryIO, offset: int) -> Meta:
    file.seek(offset)
    page = file.read(_META.size)
    if len(page) < _META.size:
        raise DataFileDamaged("is too short to be one" if page else "is empty")
    flags, magic, version, page_bytes, free_root, last_page, txn_id = _META.unpack(page)
    if not flags & _IS_META_PAGE or magic != MAGIC:
        raise DataFileDamaged("does not begin as one")
    if version != DATA_VERSION:
        raise DataFileDamaged(f"has the data format {version}, not {DATA_VERSION}")
    if page_bytes < _META.size:
        raise DataFileDamaged(f"claims pages of {page_bytes} bytes")
    return Meta(page_bytes=page_bytes, free_root=free_root, last_page=last_page, txn_id=txn_id)


def _free_pages(file: BinaryIO, meta: Meta, pages_present: int) -> Iterator[int]:
    """Yield the number of each free page, in no order.

    Raises:
        DataFileDamaged: The list leads in a circle.
        struct.error: It leads out of the file.
    """
    pending = [] if meta.free_root == NO_PAGE else [meta.free_root]
    pages_read = 0
    while pending:
        pages_read += 1
        if pages_read > pages_present:
            raise DataFileDamaged("has a list of free pages that leads in a circle")
        page = _read_at(file, pending.pop() * meta.page_bytes, meta.page_bytes)
        page_flags, lower = _PAGE.unpack_from(page)
        for position in range(_PAGE_HEADER_BYTES, lower, _U16.size):
            (node,) = _U16.unpack_from(page, position)
            low, high, node_flags, key_bytes = _NODE.unpack_from(page, node)
            if page_flags & _IS_BRANCH_PAGE:
                pending.append(low | high << 16 | node_flags << 32)
                continue
            data = page[node + _NODE.size + key_bytes :]
            if node_flags & _IS_BIG_NODE:
                (big_page,) = _U64.unpack_from(data)
                data = _read_at(file, big_page * meta.page_bytes + _PAGE_HEADER_BYTES, low | high << 16)
            (count,) = _U64.unpack_from(data)
            for index in range(1, count + 1):
                yield _U64.unpack_from(data, index * _U64.size)[0]


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    if offset > os.fstat(file.fileno()).st_size:
        # Perhaps so far that no file can be read there.
        return b""
    file.seek(offset)
    return file.read(length)
