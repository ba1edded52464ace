"""When calls are made again, against a server that fails as it is told."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

import runindex
from runindex import RetryPolicy
from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer, refusal

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
MADE = pb.CreateRunResponse(run=pb.Run(run_id="made"))

Connect = Callable[..., Any]
Faulty = Callable[..., FaultyServer]


class Time:
    """A clock that moves with each look at it."""

    def __init__(self, step_s: float = 0) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def policy(**options: Any) -> RetryPolicy:
    return RetryPolicy(random=lambda: 1.0, **options)


def test_unavailable_is_tried_again_under_the_same_request_id(
    connect: Connect, faulty: Faulty, sleeps: list[float]
) -> None:
    server = faulty(UNAVAILABLE, refusal(UNAVAILABLE, "COMMIT_OUTCOME_UNKNOWN"), MADE)

    assert connect(server.target, retries=policy()).create(tags=["a"]).run_id == "made"

    first, second, third = server.requests(pb.CreateRunRequest)
    assert first == second == third
    assert len(first.request_id) == 32
    assert sleeps == [0.1, 0.2]


def test_each_mutation_has_a_request_id_of_its_own(connect: Connect, faulty: Faulty) -> None:
    server = faulty(MADE)
    client = connect(server.target)

    client.create()
    client.create()
    client.create(request_id="mine")

    first, second, third = (request.request_id for request in server.requests(pb.CreateRunRequest))
    assert first != second
    assert third == "mine"


def test_reads_carry_no_request_id(connect: Connect, faulty: Faulty) -> None:
    server = faulty(data_pb.GetValueResponse(item=data_pb.KeyValue()))

    connect(server.target).data("r").get("k")

    assert server.requests(data_pb.GetValueRequest) == [data_pb.GetValueRequest(run_id="r", key="k")]


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in {UNAVAILABLE, grpc.StatusCode.OK}]
)
def test_nothing_else_is_tried_again(
    connect: Connect, faulty: Faulty, sleeps: list[float], code: grpc.StatusCode
) -> None:
    server = faulty(code, MADE)

    with pytest.raises(runindex.RunIndexError) as caught:
        connect(server.target).create()

    assert caught.value.code is code
    assert len(server.calls) == 1
    assert sleeps == []


def test_retries_are_bounded_in_number(connect: Connect, faulty: Faulty, sleeps: list[float]) -> None:
    server = faulty(UNAVAILABLE)

    with pytest.raises(runindex.Unavailable):
        connect(server.target, retries=policy(retries=6)).create()

    assert len(server.calls) == 7
    assert sleeps == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


def test_no_retries_at_all(connect: Connect, faulty: Faulty) -> None:
    server = faulty(UNAVAILABLE)

    with pytest.raises(runindex.Unavailable):
        connect(server.target, retries=0).create()

    assert len(server.calls) == 1


def test_pauses_are_drawn_from_half_to_whole(connect: Connect, faulty: Faulty, sleeps: list[float]) -> None:
    server = faulty(UNAVAILABLE, UNAVAILABLE, MADE)

    connect(server.target, retries=RetryPolicy(random=lambda: 0.0)).create()

    assert sleeps == [0.05, 0.1]


def test_a_server_that_says_when_is_not_asked_before(
    connect: Connect, faulty: Faulty, sleeps: list[float]
) -> None:
    server = faulty(refusal(UNAVAILABLE, "SHUTTING_DOWN", retry_s=1.5), UNAVAILABLE, MADE)

    connect(server.target, retries=policy()).create()

    assert sleeps == [1.5, 0.2]


def test_no_retry_is_waited_for_beyond_the_deadline(
    connect: Connect, faulty: Faulty, sleeps: list[float]
) -> None:
    server = faulty(refusal(UNAVAILABLE, "MIGRATING", retry_s=60))

    with pytest.raises(runindex.Unavailable) as caught:
        connect(server.target, timeout_s=30).create()

    assert caught.value.retry_after.total_seconds() == 60
    assert caught.value.reason == "MIGRATING"
    assert (len(server.calls), sleeps) == (1, [])


def test_attempts_share_one_deadline(connect: Connect, faulty: Faulty) -> None:
    server = faulty(UNAVAILABLE)

    with pytest.raises(runindex.Unavailable):
        connect(server.target, timeout_s=10, retries=policy(retries=99, monotonic=Time(2.5))).create()

    assert (
        len(server.calls) == 2
    )  # The clock moves by 2.5 s with each look: nothing is left for a second pause.


def test_a_call_that_takes_too_long(connect: Connect, faulty: Faulty, sleeps: list[float]) -> None:
    may_go_on = threading.Event()

    def wait() -> pb.CreateRunResponse:
        may_go_on.wait(30)
        return MADE

    server = faulty(wait)

    with pytest.raises(runindex.DeadlineExceeded):
        connect(server.target, timeout_s=0.5).create()

    may_go_on.set()
    assert (len(server.calls), sleeps) == (1, [])


def test_a_server_that_is_not_there(connect: Connect, faulty: Faulty, sleeps: list[float]) -> None:
    server = faulty(MADE)
    server.stop()

    with pytest.raises(runindex.Unavailable) as caught:
        connect(server.target, retries=policy()).create()

    assert caught.value.reason == ""
    assert len(sleeps) == 4


def test_an_unknown_reason_is_told_by_its_code(connect: Connect, faulty: Faulty) -> None:
    server = faulty(refusal(grpc.StatusCode.NOT_FOUND, "MOON_NOT_FOUND", {"moon": "x", "revision": "7"}))

    with pytest.raises(runindex.NotFound) as caught:
        connect(server.target).get("x")

    error = caught.value
    assert (type(error), error.reason, error.metadata["moon"], error.revision) == (
        runindex.NotFound,
        "MOON_NOT_FOUND",
        "x",
        7,
    )


def test_anothers_details_are_not_ours(connect: Connect, faulty: Faulty) -> None:
    server = faulty(refusal(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", {"runId": "x"}, domain="elsewhere"))

    with pytest.raises(runindex.NotFound) as caught:
        connect(server.target).get("x", default=None)

    assert (caught.value.reason, caught.value.metadata) == ("", {})


def test_a_token_is_sent(connect: Connect, faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    server = faulty(MADE)

    connect(server.target, token="one").create()
    monkeypatch.setenv("RUNINDEX_TOKEN", "two")
    connect(server.target).create()
    connect(server.target, token="").create()

    assert [call.get("authorization") for call in server.metadata] == ["Bearer one", "Bearer two", None]


def test_the_address_comes_from_the_environment(
    connect: Connect, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = faulty(MADE)
    monkeypatch.setenv("RUNINDEX_ADDRESS", server.target)

    assert connect(None).create().run_id == "made"


def test_a_closed_client(connect: Connect, faulty: Faulty) -> None:
    client = connect(faulty(MADE).target)
    client.create()
    client.close()
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        client.create()


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"retries": -1}, {"timeout_s": float("nan")}])
def test_options_that_cannot_be(connect: Connect, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        connect("127.0.0.1:1", **options)
