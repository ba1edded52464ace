"""A store that counts the rows it touches, for proofs that a cost does not grow with the number of runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.engine import Engine, MaintainedStore

T = TypeVar("T")


class CountingStore:
    """A `kv.api.Store` around another one.

    Attributes:
        rows_touched: Rows and counters read since the last `reset`: each asked for by `get`, `get_many` and
            `get_counter`, present or not, and each that a scan yielded.
        rows_written: Rows and counters written since then: by `insert`, `put`, `delete` and `add`.
    """

    def __init__(self, inner: MaintainedStore) -> None:
        """Pass everything on to the inner store."""
        self._inner = inner
        self.rows_touched = 0
        self.rows_written = 0

    @property
    def engine(self) -> Engine:
        """That of the inner store; what it does is not counted."""
        return self._inner.engine

    def reset(self) -> None:
        """Count from 0 again."""
        self.rows_touched = 0
        self.rows_written = 0

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Read, and count."""
        return await self._inner.read(lambda txn: fn(_CountingReadTxn(txn, self)), offload=offload)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Write, and count."""
        return await self._inner.write(lambda txn: fn(_CountingWriteTxn(txn, self)))

    async def close(self) -> None:
        """Close the inner store."""
        await self._inner.close()


class _CountingReadTxn:
    def __init__(self, inner: ReadTxn, counts: CountingStore) -> None:
        self._inner = inner
        self._counts = counts

    @property
    def revision(self) -> int:
        return self._inner.revision

    def get(self, key: bytes) -> bytes | None:
        self._counts.rows_touched += 1
        return self._inner.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._counts.rows_touched += len(keys)
        return self._inner.get_many(keys)

    def get_counter(self, key: bytes) -> int:
        self._counts.rows_touched += 1
        return self._inner.get_counter(key)

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        for row in self._inner.scan(start, end, reverse=reverse, limit=limit):
            self._counts.rows_touched += 1
            yield row


class _CountingWriteTxn:
    def __init__(self, inner: WriteTxn, counts: CountingStore) -> None:
        self._inner = inner
        self._counts = counts

    @property
    def revision(self) -> int:
        return self._inner.revision

    def next_revision(self) -> int:
        return self._inner.next_revision()

    def next_ordinal(self) -> int:
        return self._inner.next_ordinal()

    def issue_time_us(self, *, strictly_later: bool = False) -> int:
        return self._inner.issue_time_us(strictly_later=strictly_later)

    def get(self, key: bytes) -> bytes | None:
        self._counts.rows_touched += 1
        return self._inner.get(key)

    def get_counter(self, key: bytes) -> int:
        self._counts.rows_touched += 1
        return self._inner.get_counter(key)

    def insert(self, key: bytes, value: bytes) -> None:
        self._counts.rows_written += 1
        self._inner.insert(key, value)

    def put(self, key: bytes, value: bytes) -> None:
        self._counts.rows_written += 1
        self._inner.put(key, value)

    def delete(self, key: bytes) -> None:
        self._counts.rows_written += 1
        self._inner.delete(key)

    def add(self, key: bytes, delta: int) -> None:
        self._counts.rows_written += 1
        self._inner.add(key, delta)

    def add_many(self, deltas: Mapping[bytes, int]) -> None:
        self._counts.rows_written += len(deltas)
        self._inner.add_many(deltas)
