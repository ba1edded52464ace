"""Fixtures: a run in a store of each kind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from tests.support.clock import ManualClock
from tests.unit.data.world import World

MAP_BYTES = 64 * 1024 * 1024


def _fatal() -> None:
    msg = "the outcome of a commit is unknown"
    raise AssertionError(msg)


@pytest.fixture
def world(store_kind: str, clock: ManualClock, tmp_path: Path) -> Iterator[World]:
    """Return a store with a run: the test runs once on each kind of store."""
    with asyncio.Runner() as runner:
        if store_kind == "memory":
            yield World(MemoryStore(clock=clock, initialise=initialise), clock, runner)
            return
        store = open_lmdb(
            tmp_path / "data", clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=_fatal
        )
        yield World(store, clock, runner)
        runner.run(store.close())
