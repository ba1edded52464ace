"""Answers that nobody takes are bounded, for one connection and for all; small ones never."""

from collections.abc import Callable
from typing import Any

import pytest

from runindex_server.errors import Overloaded
from runindex_server.rpc.untaken import BYTES_MAX, CONNECTION_BYTES_MAX, SMALL_BYTES, Untaken


class FakeContext:
    """A call of gRPC's, over some connection."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._callbacks: list[Callable[[Any], None]] = []

    def peer(self) -> str:
        return self._peer

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def added(untaken: Untaken, size: int, peer: str = "a") -> FakeContext:
    context: Any = FakeContext(peer)
    untaken.add(size, context)
    return context


def test_one_connection_leaves_a_bounded_number_of_bytes() -> None:
    untaken = Untaken()
    held = added(untaken, CONNECTION_BYTES_MAX)
    with pytest.raises(Overloaded):
        added(untaken, SMALL_BYTES + 1)
    added(untaken, SMALL_BYTES + 1, "b")
    held.end()
    added(untaken, CONNECTION_BYTES_MAX)


def test_all_connections_together_do() -> None:
    untaken = Untaken()
    held = [
        added(untaken, CONNECTION_BYTES_MAX, str(number))
        for number in range(BYTES_MAX // CONNECTION_BYTES_MAX)
    ]
    with pytest.raises(Overloaded):
        added(untaken, SMALL_BYTES + 1, "another")
    held[0].end()
    added(untaken, CONNECTION_BYTES_MAX, "another")


def test_small_answers_are_not_counted() -> None:
    untaken = Untaken()
    for _ in range(2 * BYTES_MAX // SMALL_BYTES):
        added(untaken, SMALL_BYTES)
    added(untaken, CONNECTION_BYTES_MAX)
