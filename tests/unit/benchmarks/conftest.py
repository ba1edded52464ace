"""Fixtures: one kind of store, and connections of the load generator."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from benchmarks.wire import Connection
from tests.support.server import RunningServer

Connect = Callable[..., Connection]


@pytest.fixture
def store_kind() -> str:
    """Return the store's kind: what is tested here is the caller."""
    return "memory"


@pytest.fixture
def connect(server: RunningServer) -> Iterator[Connect]:
    """Return what connects to the server; all connections are closed after the test."""
    with ExitStack() as stack:

        def connect_once(**options: Any) -> Connection:
            host, port = server.target.split(":")
            return stack.enter_context(closing(Connection(host, int(port), **options)))

        yield connect_once
