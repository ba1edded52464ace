"""Fixtures: a store of each kind, driven without an event loop of the test's own."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from runindex_server.kv.api import Store, WriteTxn
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from tests.support.clock import ManualClock
from tests.support.counting_store import CountingStore

MAP_BYTES: Final = 64 * 1024 * 1024

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OpenLmdb = Callable[..., LmdbStore]


def write_nothing(txn: WriteTxn) -> None:
    """Leave a new store empty."""


@pytest.fixture
def clock() -> ManualClock:
    """Return the wall clock of the stores; it stands still."""
    return ManualClock()


@pytest.fixture
def run() -> Iterator[Run]:
    """Return what runs a coroutine to its end, always on the same event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return where the stores on disk are."""
    return tmp_path / "data"


@pytest.fixture
def open_store(run: Run, clock: ManualClock, data_dir: Path) -> Iterator[OpenLmdb]:
    """Return what opens the store on disk; what a test leaves open is closed."""
    stores: list[LmdbStore] = []

    def open_one(**changed: Any) -> LmdbStore:
        arguments = {
            "clock": clock,
            "map_bytes": MAP_BYTES,
            "initialise": write_nothing,
            "on_fatal": no_fault,
        }
        store = open_lmdb(data_dir, **(arguments | changed))
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        run(store.close())


def no_fault() -> None:
    """Fail the test: the store stopped."""
    msg = "the store stopped for good"
    raise AssertionError(msg)


@pytest.fixture(params=["memory", "lmdb", "counting"])
def store(request: pytest.FixtureRequest, clock: ManualClock) -> Store:
    """Return a new store: the test runs once on each kind."""
    if request.param == "lmdb":
        open_one: OpenLmdb = request.getfixturevalue("open_store")
        return open_one()
    memory = MemoryStore(clock=clock, initialise=write_nothing)
    return CountingStore(memory) if request.param == "counting" else memory
