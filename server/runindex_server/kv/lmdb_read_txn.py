"""One snapshot of an LMDB environment, as a function that reads it sees it."""

from collections.abc import Iterator, Sequence
from itertools import islice

import lmdb

from runindex_server.kv.api import check_row, decode_counter


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
        return [self.get(key) for key in keys]

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it has no row."""
        row = self.get(key)
        return 0 if row is None else decode_counter(row)

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows with keys in `[start, end)`, lazily.

        Raises:
            RuntimeError: It is read on after the transaction has ended.
        """
        return islice(self._scan(start, end, reverse=reverse), limit)

    def _scan(self, start: bytes, end: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
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
        for key, value in rows:
            if not start <= key < end:
                return
            yield key, value
            self._refuse_when_ended()

    def _refuse_when_ended(self) -> None:
        if self._has_ended:
            msg = "a scan was read on after its transaction had ended"
            raise RuntimeError(msg)

    def end(self) -> None:
        """Say that the transaction ends, so that no scan goes on after it."""
        self._has_ended = True
