"""Postings that were decoded a moment ago, so that those of common terms are not decoded by each search."""

from typing import Final

from pyroaring import BitMap

from runindex_server.search.postings import decode_posting

DECODED_BYTES_MAX: Final = 4 * 1024 * 1024
"""Rows that are kept. Their bitmaps take as much again."""

ENTRY_BYTES: Final = 400
"""What a posting takes besides."""


class DecodedPostings:
    """Decoded postings by their key, the rows beside them.

    A row is read by each search, and compared: only what was decoded from the very same bytes is taken. What
    has not been asked for lately is dropped. It may be asked from several threads at once.

    Attributes:
        unmarked_through: By term, `merged_through` of a snapshot in which no posting had it: for terms that
            mark runs of which most stores have none.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.unmarked_through: dict[bytes, int] = {}
        self._recent: dict[bytes, tuple[bytes, BitMap]] = {}
        self._older: dict[bytes, tuple[bytes, BitMap]] = {}
        self._recent_bytes = 0

    def decode(self, key: bytes, row: bytes) -> BitMap:
        """Return the offsets in a posting. The bitmap is shared: nobody changes it.

        Raises:
            StoreCorrupt: The row is not what was written under this key.
        """
        known = self._recent.get(key)
        if known is not None and known[0] == row:
            return known[1]
        known = self._older.get(key)
        if known is None or known[0] != row:
            known = row, decode_posting(key, row)
        self._keep(key, known)
        return known[1]

    def _keep(self, key: bytes, known: tuple[bytes, BitMap]) -> None:
        """Keep a posting; when half of what may be kept is recent, drop what is not."""
        self._recent[key] = known
        self._recent_bytes += len(known[0]) + ENTRY_BYTES
        if self._recent_bytes > DECODED_BYTES_MAX // 2:
            self._older, self._recent, self._recent_bytes = self._recent, {}, 0
