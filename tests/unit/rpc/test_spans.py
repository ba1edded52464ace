"""Traces: which spans a call leaves, with which parents, attributes and codes, and what is never in them."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from typing import Any, Final

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from runindex.v1 import maintenance_pb2 as maintenance_pb
from runindex.v1 import maintenance_pb2_grpc as maintenance_grpc
from runindex.v1 import run_index_pb2 as pb
from runindex_server.errors import StoreCorrupt, StoreFull
from runindex_server.logs import configure_logs
from runindex_server.rpc.metrics import open_metrics
from runindex_server.rpc.spans import FAULTS, ID_CHARS_MAX, Spans
from tests.support.calls import close, create
from tests.support.server import RunningServer, StartServer

WAIT_S: Final = 30.0
INDEX: Final = "runindex.v1.RunIndex"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER: Final = "00f067aa0ba902b7"
TRACEPARENT: Final = ("traceparent", f"00-{TRACE}-{CALLER}-01")
SECRET: Final = "what-the-caller-sent"

Made = Callable[[str], ReadableSpan]


class Kept(InMemorySpanExporter):
    """Keeps spans, and lets a test wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._has_more = threading.Condition()

    def export(self, spans: Any) -> SpanExportResult:
        with self._has_more:
            result = super().export(spans)
            self._has_more.notify_all()
            return result

    def named(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Wait until so many spans of a name have ended, and return all of that name, in their order."""

        def found() -> list[ReadableSpan]:
            return [span for span in self.get_finished_spans() if span.name == name]

        with self._has_more:
            assert self._has_more.wait_for(lambda: len(found()) >= count, WAIT_S)
        return found()


def tracing_into(exporter: SpanExporter, **options: Any) -> Spans:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def traced(start: StartServer, kept: Kept) -> RunningServer:
    return start(tracing=tracing_into(kept))


@pytest.fixture
def made(kept: Kept) -> Made:
    """Return what waits for the span of a method, the only one of its name."""

    def one(method: str) -> ReadableSpan:
        (span,) = kept.named(f"{INDEX}/{method}")
        return span

    return one


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def all_text(spans: Any) -> str:
    """Return all that spans tell."""
    return "\n".join(span.to_json() for span in spans)


def test_a_call_is_a_span_of_the_server_with_the_attributes_of_the_conventions(
    traced: RunningServer, made: Made
) -> None:
    request = pb.CreateRunRequest(request_id="r-1", tags=[SECRET], metadata={"key": SECRET})
    run = traced.stub().CreateRun(request, timeout=WAIT_S).run

    span = made("CreateRun")
    assert span.kind is SpanKind.SERVER
    assert attributes_of(span) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{INDEX}/CreateRun",
        "rpc.response.status_code": "OK",
        "runindex.request_id": "r-1",
        "runindex.run_id": run.run_id,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None


def test_the_span_of_a_caller_is_the_parent(traced: RunningServer, made: Made) -> None:
    metadata = (TRACEPARENT, ("tracestate", "vendor=told"), ("authorization", f"Bearer {SECRET}"))
    traced.stub().CountRuns(pb.CountRunsRequest(), metadata=metadata, timeout=WAIT_S)

    span = made("CountRuns")
    assert span.context is not None
    assert (f"{span.context.trace_id:032x}", parent_of(span)) == (TRACE, CALLER)
    assert span.parent is not None
    assert span.parent.is_remote
    assert dict(span.context.trace_state) == {"vendor": "told"}
    assert SECRET not in all_text([span])


@pytest.mark.parametrize("told", ["", "00-zz-zz-01", f"00-{TRACE}", " ", f"00-{'0' * 32}-{CALLER}-01"])
def test_what_is_no_parent_is_none(traced: RunningServer, made: Made, told: str) -> None:
    traced.stub().CountRuns(pb.CountRunsRequest(), metadata=[("traceparent", told)], timeout=WAIT_S)

    assert made("CountRuns").parent is None


def test_a_write_is_its_wait_and_its_commit(traced: RunningServer, kept: Kept, made: Made) -> None:
    create(traced.stub())

    of_call, (wait,), (commit,) = made("CreateRun"), kept.named("store.wait"), kept.named("store.commit")
    assert of_call.context is not None
    for span in (wait, commit):
        assert parent_of(span) == f"{of_call.context.span_id:016x}"
        assert span.kind is SpanKind.INTERNAL
    assert wait.end_time == commit.start_time
    times = [of_call.start_time, wait.start_time, wait.end_time, commit.end_time, of_call.end_time]
    assert times == sorted(filter(None, times))


def test_calls_that_only_read_write_nothing(traced: RunningServer, kept: Kept, made: Made) -> None:
    traced.stub().GetRun(pb.GetRunRequest(run_id="default"), timeout=WAIT_S)

    assert attributes_of(made("GetRun"))["runindex.run_id"] == "default"
    assert [span.name for span in kept.get_finished_spans()] == [f"{INDEX}/GetRun"]


def test_a_refusal_tells_its_code_and_its_reason_and_is_no_error_of_the_server(
    traced: RunningServer, made: Made
) -> None:
    with pytest.raises(grpc.RpcError):
        traced.stub().AddRunTags(pb.AddRunTagsRequest(run_id="no such run", tags=[SECRET]), timeout=WAIT_S)

    span = made("AddRunTags")
    assert attributes_of(span) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{INDEX}/AddRunTags",
        "rpc.response.status_code": "INVALID_ARGUMENT",
        "runindex.reason": "INVALID_RUN_ID",
        "runindex.run_id": "no such run",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StoreFull(), "RESOURCE_EXHAUSTED", "STORE_FULL"),
        (StoreCorrupt(SECRET), "DATA_LOSS", "STORE_CORRUPT"),
        (ZeroDivisionError(SECRET), "INTERNAL", "INTERNAL_ERROR"),
    ],
)
@pytest.mark.parametrize("store_kind", ["memory"], indirect=True)
def test_faults_are_errors_without_what_was_sent(
    traced: RunningServer, made: Made, error: Exception, code: str, reason: str
) -> None:
    configure_logs("error", "json")
    traced.store.error = error
    with pytest.raises(grpc.RpcError):
        traced.stub().CreateRun(pb.CreateRunRequest(tags=[SECRET]), timeout=WAIT_S)
    configure_logs("warning", "json")

    span = made("CreateRun")
    found = attributes_of(span)
    assert (found["rpc.response.status_code"], found["runindex.reason"]) == (code, reason)
    assert found.get("error.type") == (code if code in FAULTS else None)
    assert span.status.status_code is (StatusCode.ERROR if code in FAULTS else StatusCode.UNSET)
    assert SECRET not in all_text([span])


def test_what_does_not_parse_is_told_without_it(traced: RunningServer, made: Made) -> None:
    with grpc.insecure_channel(traced.target) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(f"/{INDEX}/GetRun", None, None)(b"\xff" + SECRET.encode(), timeout=WAIT_S)

    span = made("GetRun")
    assert attributes_of(span)["runindex.reason"] == "UNPARSABLE_REQUEST"
    assert SECRET not in all_text([span])


def test_ids_that_callers_make_up_are_bounded(traced: RunningServer, made: Made) -> None:
    with pytest.raises(grpc.RpcError):
        traced.stub().GetRun(pb.GetRunRequest(run_id="x" * 1_000), timeout=WAIT_S)

    assert attributes_of(made("GetRun"))["runindex.run_id"] == "x" * ID_CHARS_MAX


def test_a_stream_is_one_span_to_its_end(traced: RunningServer, kept: Kept) -> None:
    create(traced.stub())
    with grpc.insecure_channel(traced.target) as channel:
        stub = maintenance_grpc.MaintenanceStub(channel)
        list(stub.Verify(maintenance_pb.VerifyRequest(), metadata=[TRACEPARENT], timeout=WAIT_S))
        refused = stub.Compact(maintenance_pb.CompactRequest(dry_run=True, trust_clock=True), timeout=WAIT_S)
        with pytest.raises(grpc.RpcError):
            list(refused)

    (verify,) = kept.named("runindex.v1.Maintenance/Verify")
    assert parent_of(verify) == CALLER
    assert attributes_of(verify)["rpc.response.status_code"] == "OK"
    (compact,) = kept.named("runindex.v1.Maintenance/Compact")
    found = attributes_of(compact)
    assert found["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert found["runindex.reason"] == "INVALID_FIELD"


@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize("store_kind", ["memory"], indirect=True)
def test_a_call_that_its_caller_gave_up_tells_why(
    traced: RunningServer, kept: Kept, made: Made, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    """By its deadline, which is the server's error too, or before it."""
    has_begun = threading.Event()

    async def write(_: object) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(traced.store, "write", write)
    call = traced.stub().CreateRun.future(
        pb.CreateRunRequest(request_id="r-2"), timeout=0.5 if is_late else WAIT_S
    )
    assert has_begun.wait(WAIT_S)
    if not is_late:
        call.cancel()
    with suppress(grpc.RpcError, grpc.FutureCancelledError):
        call.result(WAIT_S)

    span = made("CreateRun")
    code = "DEADLINE_EXCEEDED" if is_late else "CANCELLED"
    found = attributes_of(span)
    assert (found["rpc.response.status_code"], found["runindex.request_id"]) == (code, "r-2")
    assert span.status.status_code is (StatusCode.ERROR if is_late else StatusCode.UNSET)
    # Its turn never came.
    assert [each.name for each in kept.get_finished_spans()] == ["store.wait", f"{INDEX}/CreateRun"]


def test_what_is_not_sampled_leaves_nothing(start: StartServer, kept: Kept) -> None:
    server = start(tracing=tracing_into(kept, sampler=ParentBased(ALWAYS_OFF)))
    stub = server.stub()
    create(stub)
    close(stub, create(stub).run_id)
    assert kept.get_finished_spans() == ()
    stub.CountRuns(pb.CountRunsRequest(), metadata=[TRACEPARENT], timeout=WAIT_S)
    assert parent_of(kept.named(f"{INDEX}/CountRuns")[0]) == CALLER


class Broken(SpanExporter):
    """Fails."""

    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002  # The interface.
        msg = "no collector"
        raise ConnectionError(msg)

    def shutdown(self) -> None:
        """Nothing."""


def test_an_exporter_that_fails_fails_no_call(start: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    stub = start(tracing=tracing_into(Broken())).stub()
    with caplog.at_level("CRITICAL", logger="opentelemetry"):
        run = create(stub)
        assert stub.GetRun(pb.GetRunRequest(run_id=run.run_id), timeout=WAIT_S).run.run_id == run.run_id


def test_traces_and_metrics_go_together(start: StartServer, kept: Kept) -> None:
    metrics = open_metrics()
    stub = start(tracing=tracing_into(kept), metrics=metrics).stub()
    create(stub)

    kept.named(f"{INDEX}/CreateRun")
    with (
        metrics.told_at("127.0.0.1:0") as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer,
    ):
        told = answer.read().decode()
    assert f'runindex_call_duration_seconds_count{{code="OK",method="{INDEX}/CreateRun"}} 1.0' in told


@pytest.mark.parametrize("store_kind", ["memory"], indirect=True)
def test_lines_of_the_log_tell_the_trace(log: StringIO, start: StartServer, kept: Kept) -> None:
    server = start(tracing=tracing_into(kept))
    server.store.error = StoreCorrupt("checksum")
    with pytest.raises(grpc.RpcError):
        server.stub().GetRun(pb.GetRunRequest(run_id="default"), metadata=[TRACEPARENT], timeout=WAIT_S)

    (span,) = kept.named(f"{INDEX}/GetRun")
    (line,) = [
        line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "call refused"
    ]
    assert span.context is not None
    assert (line["trace_id"], line["span_id"]) == (TRACE, f"{span.context.span_id:016x}")


def test_without_traces_there_are_none(start: StartServer, kept: Kept) -> None:
    create(start().stub())
    assert kept.get_finished_spans() == ()
