"""Fixtures of the Python client: both clients, by one name, and servers that fail."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runindex import AsyncClient, Client
from tests.clients.python.drive import Driven, Driver
from tests.clients.python.faulty import FaultyServer, faulty_servers
from tests.support.server import LoopThread, RunningServer


@pytest.fixture
def store_kind() -> str:
    """Return the store of the real server: what it stores is tested elsewhere."""
    return "memory"


@pytest.fixture(params=["sync", "async"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Return which client is tested."""
    return request.param


@pytest.fixture
def driver(loop: LoopThread) -> Driver:
    """Return what drives a client for asyncio."""
    return Driver(loop)


@pytest.fixture
def here(flavour: str, driver: Driver) -> Callable[..., Any]:
    """Return what calls a function where the client's blocks are open."""
    return driver.call if flavour == "async" else lambda function, *args: function(*args)


@pytest.fixture
def sleeps() -> list[float]:
    """Return what clients would have waited for, in seconds."""
    return []


@pytest.fixture
def connect(flavour: str, driver: Driver, sleeps: list[float]) -> Iterator[Callable[..., Any]]:
    """Return what makes clients that do not sleep; they are closed after the test."""
    clients = []

    async def doze(seconds: float) -> None:
        sleeps.append(seconds)

    def connect_one(address: str, **options: Any) -> Any:
        if flavour == "sync":
            client: Any = Client(address, sleep=sleeps.append, **options)
        else:
            client = Driven(AsyncClient(address, sleep=doze, **options), driver)
        clients.append(client)
        return client

    yield connect_one
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., Any], server: RunningServer) -> Any:
    """Return a client of a real server."""
    return connect(server.target)


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Return what starts servers that answer as they are told; they are stopped after the test."""
    with faulty_servers() as start:
        yield start
