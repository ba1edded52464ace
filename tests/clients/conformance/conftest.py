"""Fixtures of the conformance suite: a server with the machine's own clock, and what calls it."""

from collections.abc import Iterator

import pytest

from runindex import AsyncClient, Client
from runindex_server.clock import SystemClock
from tests.clients.conformance.runner import AsyncCaller, Caller, SyncCaller
from tests.support.server import LoopThread, StartServer


@pytest.fixture
def store_kind() -> str:
    """Return the store that ordinary servers have."""
    return "lmdb"


@pytest.fixture
def clock() -> SystemClock:
    """Return the clock that ordinary servers have: a scenario holds whatever the time."""
    return SystemClock()


@pytest.fixture(params=["sync", "async"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Return which client is tested."""
    kind: str = request.param
    return kind


@pytest.fixture
def caller(flavour: str, start: StartServer, loop: LoopThread) -> Iterator[Caller]:
    """Return what calls a server with an empty store."""
    target = start().target
    if flavour == "sync":
        with Client(target) as client:
            yield SyncCaller(client)
    else:
        twin = AsyncClient(target)
        yield AsyncCaller(twin, loop)
        loop.run(twin.close())
