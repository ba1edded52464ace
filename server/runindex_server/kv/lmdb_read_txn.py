"""One snapshot of an LMDB environment, as a function that reads it sees it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import lmdb

from runindex_server.kv.api import check_keys, check_row, decode_counter

FIRST_ROWS_AT_ONCE: Final = 4
"""Rows that a scan takes from the engine at first; then twice as many each time, up to the maximum. One by
one they take twice the time, and those that nobody asks for are copied in vain."""

ROWS_AT_ONCE_MAX: Final = 128


class LmdbReadTxn:
    """A `kv.api.ReadTxn` on one of the engine's transactions: a read's, or that of a write for its reads."""

    __slots__ = ("_has_ended", "_revision", "_rows", "_txn")

    def __init__(self, txn: "lmdb.Transaction[bytes]", rows: lmdb._Database, revision: int) -> None:
        """Read `rows` in `txn`, which sees the revision."""
        self._txn = txn
        self._rows = rows
        self._revision = revision
        self._has_ended = False

    @property
    def revision(self) -> int:
        """The newest revision in this snapshot."""
        return self._revision

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        check_row(key, b"")
        return self._txn.get(key, db=self._rows)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, index-aligned with them."""
        check_keys(keys)
        # All in one call of the engine, which leaves out those that have no row.
        with self._txn.cursor(db=self._rows) as cursor:
            found = cursor.getmulti(keys)
        if len(found) == len(keys):
            return [value for _, value in found]
        values = dict(found)
        return [values.get(key) for key in keys]

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it has no row."""
        return decode_counter(self.get(key))

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows with keys in `[start, end)`, lazily.

        Raises:
            RuntimeError: It is read on after the transaction has ended.
        """
        # One who says how many they want gets them at once, as far as they are not very many.
        at_once = FIRST_ROWS_AT_ONCE if limit is None else min(limit, ROWS_AT_ONCE_MAX)
        return islice(self._scan(start, end, reverse=reverse, at_once=at_once), limit)

    def _scan(
        self, start: bytes, end: bytes, *, reverse: bool, at_once: int
    ) -> Iterator[tuple[bytes, bytes]]:
        if start >= end:
            return
        self._refuse_when_ended()
        cursor = self._txn.cursor(db=self._rows)
        if reverse:
            # To the last row before `end`.
            is_placed = cursor.prev() if cursor.set_range(end) else cursor.last()
            rows = cursor.iterprev()
        else:
            is_placed = cursor.set_range(start)
            rows = cursor.iternext()
        if not is_placed:
            return
        while chunk := list(islice(rows, at_once)):
            if not start <= chunk[-1][0] < end:
                chunk = [row for row in chunk if start <= row[0] < end]
                at_once = 0
            for row in chunk:
                if self._has_ended:
                    self._refuse_when_ended()
                yield row
            self._refuse_when_ended()
            at_once = min(2 * at_once, ROWS_AT_ONCE_MAX)

    def _refuse_when_ended(self) -> None:
        if self._has_ended:
            msg = "a scan was read on after its transaction had ended"
            raise RuntimeError(msg)

    def end(self) -> None:
        """Say that the transaction ends, so that no scan goes on after it."""
        self._has_ended = True
