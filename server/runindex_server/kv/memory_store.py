"""A store in memory, for tests. One suite holds it and the LMDB store to the same behaviour."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import TypeVar

from runindex_server.clock import Clock
from runindex_server.errors import StoreClosed
from runindex_server.kv.api import ReadTxn, WriteTxn, check_row, decode_counter
from runindex_server.kv.commit_figures import CommitFigures
from runindex_server.kv.engine import Engine, Readers, Sizes, StoreCopy
from runindex_server.kv.transaction import run_transaction
from runindex_server.kv.write_buffer import Changes, Sequences, WriteBuffer, counter_rows

T = TypeVar("T")


class _SortedRows:
    """Rows by key, and their keys in order."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []

    def copy(self) -> "_SortedRows":
        rows = _SortedRows()
        rows.values, rows.keys = dict(self.values), list(self.keys)
        return rows

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.values:
            insort(self.keys, key)
        self.values[key] = value

    def delete(self, key: bytes) -> None:
        if self.values.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]


class _MemoryReadTxn:
    """A snapshot, because nothing is written while a function runs."""

    def __init__(self, rows: _SortedRows, revision: int) -> None:
        self._rows = rows
        self._revision = revision
        self._has_ended = False

    @property
    def revision(self) -> int:
        return self._revision

    def get(self, key: bytes) -> bytes | None:
        check_row(key, b"")
        return self._rows.values.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def get_counter(self, key: bytes) -> int:
        return decode_counter(self.get(key))

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        return islice(self._scan(start, end, reverse=reverse), limit)

    def _scan(self, start: bytes, end: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        keys = self._rows.keys
        indexes = range(bisect_left(keys, start), bisect_left(keys, end))
        for index in reversed(indexes) if reverse else indexes:
            if self._has_ended:
                msg = "a scan was read on after its transaction had ended"
                raise RuntimeError(msg)
            yield keys[index], self._rows.values[keys[index]]

    def end(self) -> None:
        self._has_ended = True


class _MemoryCopy:
    """A copy of the rows. Its bytes are those of each key and value, behind their lengths in 4 bytes."""

    def __init__(self, rows: _SortedRows, revision: int) -> None:
        self._rows = rows
        self._revision = revision
        parts = (part for key in rows.keys for part in (key, rows.values[key]))
        self._bytes = b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    @property
    def total_bytes(self) -> int:
        return len(self._bytes)

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        txn = _MemoryReadTxn(self._rows, self._revision)
        try:
            return run_transaction(fn, txn)
        finally:
            txn.end()

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        for offset in range(0, self.total_bytes, chunk_bytes):
            yield self._bytes[offset : offset + chunk_bytes]


class _MemoryEngine:
    """What can be told of rows in memory: there is no file, and no reader stays."""

    def __init__(self, snapshot: Callable[[], _MemoryCopy]) -> None:
        self._snapshot = snapshot
        self._commits = CommitFigures()

    def sizes(self) -> Sizes:
        return Sizes(used=self._snapshot().total_bytes, free=0, disk=0, map=0)

    def readers(self) -> Readers:
        return Readers(count=0, oldest_lag_commits=0)

    def commits(self) -> CommitFigures:
        return self._commits

    def is_in_place(self) -> bool:
        """Tell that there are no files; see `kv.engine.Engine`."""
        return True

    def is_read_only(self) -> bool:
        return False

    def waiting_writes(self) -> int:
        return 0

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[StoreCopy]:
        yield self._snapshot()


class MemoryStore:
    """A `kv.engine.MaintainedStore` that lasts as long as its process. Belongs to one event loop."""

    def __init__(self, *, clock: Clock, initialise: Callable[[WriteTxn], None]) -> None:
        """Make a store, and run `initialise` as its first write.

        Args:
            clock: The wall clock.
            initialise: What a new store is to hold.
        """
        self._clock = clock
        self._rows = _SortedRows()
        self._sequences = Sequences()
        self._is_closed = False
        self._engine = _MemoryEngine(self._copy)
        self._write(initialise)

    @property
    def engine(self) -> Engine:
        """What stands in for an engine; see `kv.engine`."""
        return self._engine

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:  # noqa: ARG002  # The interface.
        """Run `fn` on one snapshot, always on the event loop; see `kv.api.Store`."""
        self._refuse_when_closed()
        txn = _MemoryReadTxn(self._rows, self._sequences.revision)
        try:
            return run_transaction(fn, txn)
        finally:
            txn.end()

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Run `fn` in one transaction; see `kv.api.Store`."""
        self._refuse_when_closed()
        # As with an engine, other calls go on in between.
        await asyncio.sleep(0)
        with self._engine.commits().counting() as commit:
            commit.writes = 1
            return self._write(fn)

    async def close(self) -> None:
        """Refuse calls from now on."""
        self._is_closed = True

    def _copy(self) -> _MemoryCopy:
        self._refuse_when_closed()
        return _MemoryCopy(self._rows.copy(), self._sequences.revision)

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise StoreClosed

    def _write(self, fn: Callable[[WriteTxn], T]) -> T:
        reads = _MemoryReadTxn(self._rows, self._sequences.revision)
        buffer = WriteBuffer(reads, self._sequences, clock=self._clock)
        result = run_transaction(fn, buffer)
        changes = buffer.finish()
        if changes is not None:
            self._apply(changes, counter_rows(changes.deltas, reads))
        return result

    def _apply(self, changes: Changes, counters: dict[bytes, bytes | None]) -> None:
        rows = {**dict.fromkeys(changes.deletes), **changes.puts, **counters}
        for key, value in rows.items():
            if value is None:
                self._rows.delete(key)
            else:
                self._rows.put(key, value)
        self._sequences = changes.sequences
