"""Postings: blocks and offsets, and rows that are damaged."""

import pytest
from pyroaring import BitMap

from runindex_server.errors import StoreCorrupt
from runindex_server.schema import keys, records
from runindex_server.search.postings import (
    BLOCK_SIZE,
    decode_posting,
    encode_posting,
    encode_single,
    split_ordinal,
)

KEY = keys.posting(b"wa", 1)


@pytest.mark.parametrize("offsets", [[0], [65_535], range(65_536), range(0, 65_536, 2), [1, 5, 60_000]])
def test_a_posting_reads_back(offsets: list[int]) -> None:
    row = encode_posting(KEY, BitMap(offsets))

    assert decode_posting(KEY, row) == BitMap(offsets)
    assert len(row) <= 8_300


def test_no_row_is_no_run() -> None:
    assert decode_posting(KEY, None) == BitMap()


def test_equal_postings_have_equal_rows() -> None:
    grown = BitMap(range(100))
    grown.discard(50)
    grown.add(50)

    assert encode_posting(KEY, grown) == encode_posting(KEY, BitMap(range(100)))


@pytest.mark.parametrize("offset", [0, 1, 255, 256, 4_711, BLOCK_SIZE - 1])
def test_a_single_offset_has_the_row_of_any_posting(offset: int) -> None:
    assert encode_single(KEY, offset) == encode_posting(KEY, BitMap([offset]))


@pytest.mark.parametrize(
    "value", [b"", b"\x01", records.seal(KEY, b"no bitmap"), records.seal(b"another key", b"")]
)
def test_a_damaged_row_is_corrupt(value: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_posting(KEY, value)


def test_ordinals_are_split_at_the_block() -> None:
    assert [split_ordinal(ordinal) for ordinal in (0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, 2 * BLOCK_SIZE + 3)] == [
        (0, 0),
        (0, 1),
        (0, 65_535),
        (1, 0),
        (2, 3),
    ]
