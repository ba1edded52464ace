"""How often a caller may call, and how long a call may take."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server import limits
from runindex_server.access import rates
from runindex_server.access.caller import Role
from runindex_server.access.rates import Rates
from runindex_server.access.token_file import LOOK_INTERVAL_US, LiveTokens
from runindex_server.errors import RateLimited
from runindex_server.rpc.admission import Admission
from tests.access.conftest import Start, TokenMaker
from tests.support.calls import check_refused
from tests.support.clock import SECOND_US, ManualClock


def calls_let_in(limited: Rates, caller: str = "a") -> int:
    """Return how many calls are let in before one is refused."""
    for number in range(10_000):
        try:
            limited.check(caller)
        except RateLimited:
            return number
    raise AssertionError


@pytest.mark.parametrize("calls_per_s", [1, 2, 10, 1_000])
def test_a_second_s_calls_at_once_and_then_as_many_a_second(calls_per_s: int, clock: ManualClock) -> None:
    limited = Rates(calls_per_s, clock)
    assert calls_let_in(limited) == calls_per_s
    clock.advance(SECOND_US // calls_per_s - 1)
    assert calls_let_in(limited) == 0
    clock.advance(1)
    assert calls_let_in(limited) == 1
    clock.advance(10 * SECOND_US)
    assert calls_let_in(limited) == calls_per_s


def test_callers_are_bounded_one_by_one(clock: ManualClock) -> None:
    limited = Rates(3, clock)
    assert [calls_let_in(limited, caller) for caller in "abab"] == [3, 3, 0, 0]


def test_a_refused_call_does_not_count(clock: ManualClock) -> None:
    limited = Rates(2, clock)
    calls_let_in(limited)
    for _ in range(100):
        with pytest.raises(RateLimited):
            limited.check("a")
    clock.advance(SECOND_US)
    assert calls_let_in(limited) == 2


def test_the_wait_that_is_told_is_enough_and_not_too_long(clock: ManualClock) -> None:
    limited = Rates(8, clock)
    calls_let_in(limited)
    clock.advance(100_000)
    with pytest.raises(RateLimited) as refused:
        limited.check("a")
    assert refused.value.retry_after_ms == 26
    clock.advance(26_000)
    limited.check("a")


def test_few_callers_are_remembered(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    monkeypatch.setattr(rates, "CALLERS_REMEMBERED", 2)
    limited = Rates(1, clock)
    assert [calls_let_in(limited, caller) for caller in "abca"] == [1, 1, 1, 1]
    assert [calls_let_in(limited, caller) for caller in "ca"] == [0, 0]


def test_who_calls_too_often_is_told_when_to_come_back(
    start: Start, tokens: TokenMaker, clock: ManualClock
) -> None:
    """Whoever guesses tokens is bounded too, by their address; health is not refused to others."""
    server = start(admission=Admission(tokens=LiveTokens(tokens.path, clock), rates=Rates(2, clock)))
    texts = [tokens(Role.READER, name=name)[1] for name in ("one", "two")]
    clock.advance(LOOK_INTERVAL_US)
    with grpc.insecure_channel(server.target) as channel:
        stub = pb_grpc.RunIndexStub(channel)

        def count(token: str) -> Any:
            return stub.CountRuns(
                pb.CountRunsRequest(), metadata=[("authorization", f"Bearer {token}")], timeout=30
            )

        for _ in range(2):
            count(texts[0])
            check_refused(lambda: count("guess"), Code.UNAUTHENTICATED, "CREDENTIALS_INVALID")
        refusal = check_refused(lambda: count(texts[0]), Code.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refusal.retry_after_ms == 501
        check_refused(lambda: count("guess"), Code.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        count(texts[1])
        clock.advance(501_000)
        count(texts[0])


def test_a_call_without_a_deadline_is_given_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one with a longer one than any call may take; a write's outcome is not known then."""
    monkeypatch.setattr(limits, "CALL_S_DEFAULT", 0.05)
    monkeypatch.setattr(limits, "CALL_S_MAX", 0.05)
    server = start()
    never = asyncio.Event()

    async def write(_: object) -> Any:
        await never.wait()

    monkeypatch.setattr(server.store, "write", write)
    with grpc.insecure_channel(server.target) as channel:
        stub = pb_grpc.RunIndexStub(channel)
        for timeout in (None, 20):
            check_refused(
                lambda timeout=timeout: stub.CreateRun(pb.CreateRunRequest(), timeout=timeout),
                Code.DEADLINE_EXCEEDED,
                "DEADLINE_PASSED",
            )
        with pytest.raises(grpc.RpcError) as refused:
            stub.CreateRun(pb.CreateRunRequest(), timeout=0.04)
        assert refused.value.code() is Code.DEADLINE_EXCEEDED
