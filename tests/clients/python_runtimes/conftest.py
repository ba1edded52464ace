"""Fixtures of what records agent runtimes: a client that looks, and a handler that must not leak."""

from collections.abc import Iterator

import pytest

from runindex import Client
from runindex.langchain import RunIndexCallbackHandler
from tests.support.server import RunningServer


@pytest.fixture
def store_kind() -> str:
    """Return the store of the real server: what it stores is tested elsewhere."""
    return "memory"


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """Return a client of the server."""
    with Client(server.target) as client:
        yield client


@pytest.fixture
def handler(server: RunningServer) -> Iterator[RunIndexCallbackHandler]:
    """Return a handler that records on the server, and knows of nothing under way after the test."""
    handler = RunIndexCallbackHandler(server.target)
    yield handler
    assert len(handler._tree) == 0
