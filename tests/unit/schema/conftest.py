"""Frozen stores of older versions, in memory."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest

from runindex_server.errors import StoreFull
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys, migration_3, migrations
from runindex_server.schema.header import (
    STORAGE_VERSION,
    StoreHeader,
    read_header,
)
from runindex_server.schema.migrations import migrate
from tests.support.busy_store import all_rows, put_rows
from tests.support.clock import ManualClock
from tests.support.frozen import thaw

MAP_BYTES: Final = 64 * 1024 * 1024

Rows = dict[bytes, bytes]


def run(work: Any) -> Any:
    return asyncio.run(work)


def no_progress(_: str) -> None:
    """Take no notice."""


class Frozen:
    """The rows of a frozen store, in memory, as often as they are wanted."""

    def __init__(self, version: int, rows: Rows, revision: int) -> None:
        self.version = version
        self.rows = rows
        self._revision = revision

    def store(self, rows: Rows | None = None) -> MemoryStore:
        """Return a store that holds some rows, or those of the frozen one."""
        held = self.rows if rows is None else rows

        def fill(txn: WriteTxn) -> None:
            put_rows(held)(txn)
            for _ in range(self._revision):
                txn.next_revision()

        return MemoryStore(clock=ManualClock(), initialise=fill)


@pytest.fixture(scope="module", params=range(1, STORAGE_VERSION))
def frozen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """Return the frozen store of each older version."""
    data_dir = tmp_path_factory.mktemp("frozen")
    thaw(data_dir, request.param)

    async def read() -> tuple[Rows, int]:
        store = open_lmdb(
            data_dir,
            clock=ManualClock(),
            map_bytes=MAP_BYTES,
            initialise=lambda _: None,
            on_fatal=lambda: None,
        )
        try:
            return await store.read(lambda txn: (all_rows(txn), txn.revision))
        finally:
            await store.close()

    return Frozen(request.param, *run(read()))


@pytest.fixture
def in_small_steps(monkeypatch: Any) -> None:
    """Read few runs at a time."""
    monkeypatch.setattr(migrations, "RUNS_MAX", 7)
    monkeypatch.setattr(migration_3, "RUNS_MAX", 7)
    monkeypatch.setattr(migration_3, "ROWS_MAX", 5)


@pytest.fixture(scope="module")
def migrated(frozen: Frozen) -> Rows:
    """Return the rows of the frozen store, migrated."""
    store = frozen.store()
    run(migrate(store, progress=no_progress))
    return run(store.read(all_rows))


def header_of(store: Store) -> StoreHeader:
    """Return the header of a store of any version."""
    return run(store.read(lambda txn: read_header(txn, accept_older=True)))


def of(rows: Rows, subspace: keys.Subspace) -> Rows:
    """Return the rows of a subspace."""
    return {key: value for key, value in rows.items() if key.startswith(subspace.prefix)}


class Dying:
    """A store that fails before or after one of its writes."""

    def __init__(self, inner: Store, *, writes: int, after: bool = False) -> None:
        self.inner = inner
        self.writes = 0
        self._last = writes
        self._after = after

    async def read(self, fn: Callable[[ReadTxn], Any], *, offload: bool = False) -> Any:
        return await self.inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], Any]) -> Any:
        self.writes += 1
        dies = self.writes == self._last
        if dies and not self._after:
            raise StoreFull
        result = await self.inner.write(fn)
        if dies:
            raise StoreFull
        return result

    async def close(self) -> None:
        await self.inner.close()
