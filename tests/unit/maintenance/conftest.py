"""Fixtures: a busy store of each kind, for tests that tamper with it and mend it again."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest

from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from tests.support.busy_store import BusyStore
from tests.support.clock import ManualClock
from tests.support.tampering import Subject

MAP_BYTES: Final = 64 * 1024 * 1024

SAMPLES: Final = {"memory": 3, "lmdb": 1}
"""Rows of each kind that are tampered with."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Return what runs coroutines on one event loop."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["memory", "lmdb"])
def subject(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    """Return a busy store, once of each kind."""
    clock = ManualClock()
    if request.param == "memory":
        store: Any = MemoryStore(clock=clock, initialise=initialise)
    else:
        store = open_lmdb(
            tmp_path_factory.mktemp("busy"),
            clock=clock,
            map_bytes=MAP_BYTES,
            initialise=initialise,
            on_fatal=lambda: None,
        )
    busy = BusyStore(store, clock)
    runner.run(busy.fill())
    yield Subject(runner, store, busy, samples=SAMPLES[request.param])
    runner.run(store.close())
