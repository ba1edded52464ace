"""The boundary of a call: what goes in, what comes out, and what is logged of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any

import grpc
import pytest
import structlog
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from structlog.testing import capture_logs

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex_server import limits
from runindex_server.errors import RunIndexError, RunNotFound, StoreCorrupt
from runindex_server.rpc.boundary import Boundary
from runindex_server.rpc.gate import Gate

METHOD = pb.DESCRIPTOR.services_by_name["RunIndex"].methods_by_name["GetRun"]
STREAM = maintenance_pb2.DESCRIPTOR.services_by_name["Maintenance"].methods_by_name["Backup"]
NAME = "runindex.v1.RunIndex.GetRun"
SECRET = "what the caller sent"

Log = MutableMapping[str, Any]


class Aborted(Exception):
    """gRPC ended the call."""


class FakeContext:
    """A call of gRPC's."""

    def __init__(self, left_s: float | None) -> None:
        self.code: grpc.StatusCode | None = None
        self.info = ErrorInfo()
        self.has_gone = False
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        """Return how long the caller will wait; None for ever."""
        return self._left_s

    def peer(self) -> str:
        """Return over which connection it came."""
        return "ipv4:127.0.0.1:1"

    def done(self) -> bool:
        """Tell whether the caller has gone."""
        return self.has_gone

    async def write(self, _: bytes) -> None:
        """Fail, as for a caller who has gone."""
        raise RuntimeError(SECRET)

    def add_done_callback(self, _: Callable[..., None]) -> None:
        """Call nothing: it never ends."""

    async def abort(self, code: grpc.StatusCode, _details: str, trailing: Any) -> None:
        """End the call."""
        ((_, status),) = trailing
        self.code = code
        Status.FromString(status).details[0].Unpack(self.info)
        raise Aborted


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """Log everything, and leave the logs of other tests as they were."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


def serve(
    method: Callable[[Any], Awaitable[Any]], data: bytes, *, left_s: float | None = None
) -> tuple[bytes, FakeContext, list[Log]]:
    """Serve one call: return its answer, how it was ended, and what was logged of it."""
    handler = Boundary(gate=Gate()).handler_of(METHOD, method)
    context, answer = FakeContext(left_s), b""
    with capture_logs() as logs, suppress(Aborted):
        answer = asyncio.run(handler.unary_unary(data, context))
    return answer, context, logs


def raising(error: Exception) -> Callable[[Any], Awaitable[Any]]:
    """Return a method that fails."""

    async def method(_request: Any) -> Any:
        raise error

    return method


async def echo(request: pb.GetRunRequest) -> pb.GetRunResponse:
    return pb.GetRunResponse(run=pb.Run(run_id=request.run_id))


def test_an_answer_goes_out_as_it_is_on_the_wire() -> None:
    answer, context, logs = serve(echo, pb.GetRunRequest(run_id=SECRET).SerializeToString())

    assert pb.GetRunResponse.FromString(answer).run.run_id == SECRET
    assert context.code is None
    assert logs == []


def test_bytes_pass_as_they_are() -> None:
    async def method(_request: Any) -> bytes:
        return b"wire form"

    assert serve(method, b"")[0] == b"wire form"


def test_fields_that_are_not_known_are_dropped() -> None:
    async def method(request: pb.GetRunRequest) -> bytes:
        return request.SerializeToString()

    known = pb.GetRunRequest(run_id="default").SerializeToString()

    assert serve(method, known + b"\xba\x3e\x03abc")[0] == known


@pytest.mark.parametrize("left_s", [0.0, -1.0])
def test_a_call_whose_deadline_has_passed_is_not_begun(left_s: float) -> None:
    _, context, _ = serve(raising(AssertionError()), b"", left_s=left_s)

    assert (context.code, context.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "NOT_EXECUTED")


def test_a_call_whose_deadline_is_to_come_is_served() -> None:
    assert serve(echo, b"", left_s=0.1)[1].code is None


@pytest.mark.parametrize(
    ("error", "code", "level"),
    [
        (RunNotFound("default"), grpc.StatusCode.NOT_FOUND, "debug"),
        (StoreCorrupt("checksum"), grpc.StatusCode.DATA_LOSS, "error"),
    ],
)
def test_a_refusal_is_logged_with_its_reason(error: RunIndexError, code: grpc.StatusCode, level: str) -> None:
    _, context, (log,) = serve(raising(error), b"")

    assert context.code is code
    assert (log["event"], log["log_level"], log["method"]) == ("call refused", level, NAME)
    assert log["reason"] == context.info.reason == error.reason


def test_damage_is_told_by_the_id_of_the_call_and_what_it_is_by_the_log() -> None:
    _, context, (log,) = serve(raising(StoreCorrupt("checksum of 0102")), b"")

    assert dict(context.info.metadata) == {"callId": log["call_id"]}
    assert log["detail"] == "checksum of 0102"


def test_a_fault_is_told_by_the_id_of_the_call_and_what_it_is_by_the_log() -> None:
    _, context, (log,) = serve(raising(ZeroDivisionError("inner")), b"")

    assert context.code is grpc.StatusCode.INTERNAL
    assert dict(context.info.metadata) == {"errorId": log["call_id"]}
    assert (log["event"], log["log_level"], log["exc_info"]) == ("call failed", "error", True)


@pytest.mark.parametrize("data", [b"\x0a", b"\xff", b"\x0a\x01\xff", b"\x07"])
def test_what_does_not_parse_is_an_argument_at_fault(data: bytes) -> None:
    _, context, _ = serve(echo, data)

    assert (context.code, context.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")


@pytest.mark.parametrize(("excess", "refused"), [(-1, False), (0, False), (1, True)])
def test_a_request_is_bounded_before_it_is_parsed(excess: int, refused: bool) -> None:  # noqa: FBT001
    data = pb.GetRunRequest(run_id="a" * (limits.REQUEST_BYTES_MAX + excess - 4)).SerializeToString()
    assert len(data) == limits.REQUEST_BYTES_MAX + excess

    answer, context, _ = serve(echo, data)

    assert (answer == b"") is refused
    assert context.info.reason == ("REQUEST_TOO_LARGE" if refused else "")


@pytest.mark.parametrize("has_gone", [True, False])
def test_a_stream_whose_caller_has_gone_just_ends(*, has_gone: bool) -> None:
    given_up = []

    async def pieces(_request: Any) -> AsyncGenerator[pb.GetRunResponse, None]:
        try:
            yield pb.GetRunResponse()
            yield pb.GetRunResponse()
        finally:
            given_up.append(True)

    handler = Boundary(gate=Gate()).handler_of(STREAM, pieces)
    context = FakeContext(None)
    context.has_gone = has_gone
    with capture_logs() as logs, suppress(Aborted):
        asyncio.run(handler.unary_stream(b"", context))

    assert given_up == [True]
    assert context.code is (None if has_gone else grpc.StatusCode.INTERNAL)
    assert len(logs) == (not has_gone)
