"""Decoded postings: only what was decoded from the very same bytes is taken, and not too much is kept."""

import pytest
from pyroaring import BitMap

from runindex_server.errors import StoreCorrupt
from runindex_server.schema import keys
from runindex_server.search import decoded
from runindex_server.search.decoded import DecodedPostings
from runindex_server.search.postings import encode_posting

KEY = keys.posting(b"wa", 1)


def row(*offsets: int) -> bytes:
    return encode_posting(KEY, BitMap(offsets))


def test_the_same_row_is_decoded_once() -> None:
    kept = DecodedPostings()

    assert kept.decode(KEY, row(1, 2)) == BitMap([1, 2])
    assert kept.decode(KEY, row(1, 2)) is kept.decode(KEY, row(1, 2))


def test_another_row_is_decoded_anew() -> None:
    kept = DecodedPostings()
    for offsets in ((1, 2), (1, 3), (1, 2), (2,)):
        assert kept.decode(KEY, row(*offsets)) == BitMap(offsets)


def test_the_same_row_under_another_key_is_corrupt() -> None:
    kept = DecodedPostings()
    kept.decode(KEY, row(1))

    with pytest.raises(StoreCorrupt):
        kept.decode(keys.posting(b"wa", 2), row(1))


def test_a_row_that_is_damaged_later_is_corrupt() -> None:
    kept = DecodedPostings()
    kept.decode(KEY, row(1))

    with pytest.raises(StoreCorrupt):
        kept.decode(KEY, row(1)[:-1] + b"\x05")


def test_no_more_is_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "DECODED_BYTES_MAX", 100_000)
    kept = DecodedPostings()
    wanted = encode_posting(KEY, BitMap([7]))
    first = kept.decode(KEY, wanted)
    for block in range(1_000):
        key = keys.posting(b"wb", block)
        kept.decode(key, encode_posting(key, BitMap(range(0, 3_000, 3))))
        assert kept.decode(KEY, wanted) is first
        rows = [*kept._recent.values(), *kept._older.values()]
        assert sum(len(row) + decoded.ENTRY_BYTES for row, _ in rows) <= 100_000 + 10_000

    assert keys.posting(b"wb", 0) not in {**kept._recent, **kept._older}
    assert keys.posting(b"wb", 999) in kept._recent
