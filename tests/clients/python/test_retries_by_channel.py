"""When the client without asyncio makes calls again, on a channel that answers by hand, without a network.

The channel knows no deadlines: those are tested against servers.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing  # type: ignore[import-untyped]  # It has neither types nor stubs.
import pytest

import runindex
from runindex import Client, RetryPolicy
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import refusal

WAIT_S = 30
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
METHODS = pb.DESCRIPTOR.services_by_name["RunIndex"].methods_by_name


class Hand:
    """A client's other end: takes its calls one after another."""

    def __init__(self) -> None:
        self.time = grpc_testing.strict_fake_time(0)
        self.channel = grpc_testing.channel(pb.DESCRIPTOR.services_by_name.values(), self.time)
        self.threads = ThreadPoolExecutor(1)

    def begin(self, call: Callable[[], Any]) -> Future[Any]:
        """Begin a call of the client, which waits for its answers."""
        return self.threads.submit(call)

    def take(self, method: str) -> tuple[dict[str, Any], Any, Any]:
        """Return the next attempt: its metadata, its request, and what ends it."""
        metadata, request, rpc = self.channel.take_unary_unary(METHODS[method])
        rpc.send_initial_metadata(())
        return dict(metadata), request, rpc


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    """Return the other end of all channels that are opened."""
    hand = Hand()
    monkeypatch.setattr(grpc, "insecure_channel", lambda *_, **__: hand.channel)
    yield hand
    hand.threads.shutdown()


@pytest.fixture
def client(hand: Hand, sleeps: list[float]) -> Client:
    policy = RetryPolicy(random=lambda: 1.0, monotonic=hand.time.time)
    return Client(retries=policy, timeout_s=10, token="secret", sleep=sleeps.append)


def test_unavailable_is_tried_again_with_the_same_bytes(
    hand: Hand, client: Client, sleeps: list[float]
) -> None:
    answer = hand.begin(lambda: client.create(tags=["a"]))
    seen = []

    for code in (UNAVAILABLE, UNAVAILABLE, grpc.StatusCode.OK):
        metadata, request, rpc = hand.take("CreateRun")
        seen.append((metadata["authorization"], request.SerializeToString(deterministic=True)))
        rpc.terminate(pb.CreateRunResponse(run=pb.Run(run_id="made")), (), code, "")

    assert answer.result(WAIT_S).run_id == "made"
    assert len(set(seen)) == 1
    assert seen[0][0] == "Bearer secret"
    assert len(request.request_id) == 32
    assert sleeps == [0.1, 0.2]


def test_a_server_that_says_when_is_not_asked_before(hand: Hand, client: Client, sleeps: list[float]) -> None:
    answer = hand.begin(lambda: client.exists("default"))
    details = (
        ("grpc-status-details-bin", refusal(UNAVAILABLE, "OVERLOADED", retry_s=1.5).SerializeToString()),
    )

    hand.take("RunExists")[2].terminate(None, details, UNAVAILABLE, "busy")
    hand.take("RunExists")[2].terminate(pb.RunExistsResponse(exists=True), (), grpc.StatusCode.OK, "")

    assert answer.result(WAIT_S) is True
    assert sleeps == [1.5]


@pytest.mark.parametrize("code", [grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL])
def test_nothing_else_is_tried_again(
    hand: Hand, client: Client, sleeps: list[float], code: grpc.StatusCode
) -> None:
    answer = hand.begin(lambda: client.close_run("default"))

    hand.take("CloseRun")[2].terminate(None, (), code, "no")

    with pytest.raises(runindex.RunIndexError, match="no") as caught:
        answer.result(WAIT_S)
    assert caught.value.code is code
    assert sleeps == []


def test_no_retry_when_the_attempts_have_used_up_the_time(
    hand: Hand, client: Client, sleeps: list[float]
) -> None:
    answer = hand.begin(lambda: client.exists("default"))

    _, _, rpc = hand.take("RunExists")
    hand.time.sleep_for(9.95)
    rpc.terminate(None, (), UNAVAILABLE, "no")

    with pytest.raises(runindex.Unavailable):
        answer.result(WAIT_S)
    assert sleeps == []
