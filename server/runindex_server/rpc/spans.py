"""Spans of OpenTelemetry: one for each call, and two for each of its writes.

They tell what the conventions for RPC name, our reason where a call was refused, and ids of requests and
runs; never what was sent, nor who sent it.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry import trace
from opentelemetry.context import Context as ParentContext
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runindex_server import __version__
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.engine import Engine, MaintainedStore
from runindex_server.logs import get_logger, telling
from runindex_server.rpc.admission import Context
from runindex_server.rpc.metrics import Serve, code_name
from runindex_server.rpc.status import DETAILS_KEY
from runindex_server.rpc.tracing import TracesRefused, Tracing

T = TypeVar("T")

CLOSE_S_MAX: Final = 3.0
"""How long spans may take to be sent when the server stops; the rest is lost."""

ID_CHARS_MAX: Final = 128
"""How much is told of an id that a caller made up."""

FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Codes that the conventions count as errors of a server. The others are errors of its callers."""

_SENDERS: Final = ("opentelemetry.exporter", "opentelemetry.sdk")

_PARENT_KEYS: Final = frozenset({"traceparent", "tracestate"})
_PROPAGATOR: Final = TraceContextTextMapPropagator()

_log: Final = get_logger(__name__)


class Spans:
    """A `rpc.tracing.Tracing`."""

    def __init__(self, provider: TracerProvider, *, on_close: Callable[[], None] = lambda: None) -> None:
        """Take what makes spans, and what is called at the end."""
        self._tracer = provider.get_tracer("runindex_server", __version__)
        self._on_close = on_close

    def of_call(self, descriptor: MethodDescriptor, serve: Serve) -> Serve:
        """Return what serves a method, and makes a span of each call; see `rpc.tracing.Tracing`."""
        name = f"{descriptor.containing_service.full_name}/{descriptor.name}"
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}

        async def traced(data: bytes, context: Context) -> Any:  # noqa: ANN401  # What is passed on.
            span = self._tracer.start_span(
                name, _parent_of(context), kind=SpanKind.SERVER, attributes=attributes
            )
            # Exceptions hold what callers sent, and stay out of it.
            quietly = {"record_exception": False, "set_status_on_exception": False}
            with trace.use_span(span, end_on_exit=True, **quietly), telling(**_ids_of(span)):
                try:
                    answer = await serve(data, context)
                except grpc.aio.AbortError:
                    _end(span, code_name(context.code()), _reason_in(context))
                    raise
                except asyncio.CancelledError:
                    left_s = context.time_remaining()
                    is_late = left_s is not None and left_s <= 0
                    _end(span, "DEADLINE_EXCEEDED" if is_late else "CANCELLED")
                    raise
                _end(span, "OK")
                return answer

        return traced

    def of_method(self, descriptor: MethodDescriptor, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a method that notes which run it is about; see `rpc.tracing.Tracing`."""
        response_class = GetMessageClass(descriptor.output_type)
        shows_run = "run" in descriptor.output_type.fields_by_name

        def begin(request: Any) -> Any:  # noqa: ANN401  # A message of the contract, and what is passed on.
            _note(trace.get_current_span(), request)
            return method(request)

        async def noted(request: Any) -> Any:  # noqa: ANN401  # As above.
            response = await begin(request)
            span = trace.get_current_span()
            if shows_run and span.is_recording() and not getattr(request, "run_id", ""):
                shown: Any = response_class.FromString(response) if isinstance(response, bytes) else response
                span.set_attribute("runindex.run_id", shown.run.run_id)
            return response

        return begin if descriptor.server_streaming else noted

    def of_store(self, store: MaintainedStore) -> MaintainedStore:
        """Return a store whose writes are spans; see `rpc.tracing.Tracing`."""
        return _TracedStore(store, self._tracer)

    def close(self) -> None:
        """Send what has not been sent yet; see `rpc.tracing.Tracing`."""
        self._on_close()


class _TracedStore:
    """A store that tells of each write how long it waited for its turn, and how long its commit took."""

    def __init__(self, inner: MaintainedStore, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    @property
    def engine(self) -> Engine:
        return self._inner.engine

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        return await self._inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        if not trace.get_current_span().is_recording():
            return await self._inner.write(fn)
        begun_ns = time.time_ns()
        turns_ns: list[int] = []  # More than one when its group could not be committed as a whole.

        def in_turn(txn: WriteTxn) -> T:
            turns_ns.append(time.time_ns())
            return fn(txn)

        try:
            return await self._inner.write(in_turn)
        finally:
            turn_ns = turns_ns[-1] if turns_ns else None
            self._tracer.start_span("store.wait", start_time=begun_ns).end(turn_ns)
            if turn_ns is not None:
                self._tracer.start_span("store.commit", start_time=turn_ns).end()

    async def close(self) -> None:
        await self._inner.close()


def open_spans(exporter_module: str, *, worker: int) -> Tracing:
    """Return what makes spans and sends them, on a thread of its own.

    Args:
        exporter_module: What sends them.
        worker: The number of this process among several.

    Raises:
        TracesRefused: A variable of OpenTelemetry makes no sense.
    """
    try:
        exporter = import_module(exporter_module).OTLPSpanExporter()
        processor = BatchSpanProcessor(exporter)
        provider = TracerProvider(resource=_resource(worker), shutdown_on_exit=False)
    except Exception as error:
        msg = f"--traces (RUNINDEX_TRACES): OpenTelemetry refuses its settings (OTEL_*): {error}"
        raise TracesRefused(msg) from error
    provider.add_span_processor(processor)
    logger, handler = logging.getLogger("opentelemetry"), _ToOurLog(logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False

    def close() -> None:
        # The library waits half a minute for the last spans. The thread ends soon after the exporter does.
        sending = threading.Thread(target=provider.shutdown, name="traces-end", daemon=True)
        sending.start()
        sending.join(CLOSE_S_MAX)
        if sending.is_alive():
            exporter.shutdown()
            sending.join(1.0)
            _log.warning("traces lost", reason=f"they were not sent in {CLOSE_S_MAX:.0f} s")
        logger.removeHandler(handler)

    return Spans(provider, on_close=close)


def _resource(worker: int) -> Resource:
    """Return what tells this process from others; what the environment says stands over it."""
    ours = Resource(
        {
            "service.name": "runindex",
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
            "runindex.worker": worker,
        }
    )
    return Resource.create(dict(ours.merge(OTELResourceDetector().detect()).attributes))


class _ToOurLog(logging.Handler):
    """Writes into the log of the server that spans could not be sent.

    What OpenTelemetry says of calls it leaves out: that quotes what callers sent.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(_SENDERS):
            return
        error = record.exc_info[1] if record.exc_info else None
        detail = {} if error is None else {"detail": repr(error)}
        _log.warning("opentelemetry", problem=record.getMessage(), **detail)


def _parent_of(context: Context) -> ParentContext:
    """Return the context in which a caller makes a call; an empty one when they do not tell."""
    told = {key: str(value) for key, value in context.invocation_metadata() or () if key in _PARENT_KEYS}
    return _PROPAGATOR.extract(told, ParentContext()) if told else ParentContext()


def _ids_of(span: Span) -> dict[str, str]:
    """Return what each line of the log tells of a span."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def _note(span: Span, request: Any) -> None:  # noqa: ANN401  # A message of the contract.
    """Tell the ids in a request, as the caller wrote them."""
    if not span.is_recording():
        return
    for name in ("request_id", "run_id"):
        if value := getattr(request, name, ""):
            span.set_attribute(f"runindex.{name}", value[:ID_CHARS_MAX])


def _end(span: Span, code: str, reason: str = "") -> None:
    """Tell how a call ended."""
    span.set_attribute("rpc.response.status_code", code)
    if reason:
        span.set_attribute("runindex.reason", reason)
    if code in FAULTS:
        span.set_attribute("error.type", code)
        span.set_status(Status(StatusCode.ERROR))


def _reason_in(context: Context) -> str:
    """Return the reason with which a call was refused; empty when it cannot be read."""
    for key, value in context.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            info = ErrorInfo()
            try:
                RpcStatus.FromString(value).details[0].Unpack(info)
            except (DecodeError, IndexError):
                return ""
            return info.reason
    return ""
