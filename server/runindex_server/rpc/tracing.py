"""Traces: each call as a span of OpenTelemetry, where that is asked for.

What makes the spans is `rpc.spans`. It is loaded only then, and so is OpenTelemetry: without traces no call
passes anything of either.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Protocol

from google.protobuf.descriptor import MethodDescriptor

from runindex_server.kv.engine import MaintainedStore
from runindex_server.rpc.metrics import Serve

EXPORTERS: Final = {
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "runindex[server,opentelemetry]"),
    "http/protobuf": (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry-exporter-otlp-proto-http",
    ),
}
"""By protocol, as OpenTelemetry's variables name it: the module that sends spans, and what installs it."""

_PROTOCOL_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class TracesRefused(Exception):
    """Traces cannot be sent: the sentence says why, and what to do."""


class Tracing(Protocol):
    """What makes spans, and sends them."""

    def of_call(self, descriptor: MethodDescriptor, serve: Serve) -> Serve:
        """Return what serves a method, as bytes, and makes a span of each call."""
        ...

    def of_method(self, descriptor: MethodDescriptor, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a servicer's method that notes on the call's span of which run it is."""
        ...

    def of_store(self, store: MaintainedStore) -> MaintainedStore:
        """Return a store whose writes are spans in those of calls."""
        ...

    def close(self) -> None:
        """Send what has not been sent yet, for a bounded time; blocks."""
        ...


def exporter_module() -> str:
    """Return the module that sends spans, by the protocol that OpenTelemetry's variables ask for.

    Raises:
        TracesRefused: There is none, or it is not installed.
    """
    variable = next((each for each in _PROTOCOL_VARIABLES if os.environ.get(each)), "")
    protocol = os.environ.get(variable, "grpc")
    if protocol not in EXPORTERS:
        msg = f"{variable} is {protocol!r}; traces are sent by {' or '.join(EXPORTERS)}"
        raise TracesRefused(msg)
    module, package = EXPORTERS[protocol]
    for name in ("opentelemetry.sdk.trace", module):
        try:
            is_there = find_spec(name) is not None
        except ImportError:
            is_there = False
        if not is_there:
            msg = f"--traces (RUNINDEX_TRACES) needs a package that is not installed: pip install '{package}'"
            raise TracesRefused(msg)
    return module


def open_tracing(*, worker: int) -> Tracing:
    """Return what makes spans, and sends them to where OpenTelemetry's variables say.

    Args:
        worker: The number of this process among several.

    Raises:
        TracesRefused: A package is missing, or a variable makes no sense.
    """
    module = exporter_module()
    from runindex_server.rpc.spans import open_spans  # noqa: PLC0415  # Loaded only where it is asked for.

    return open_spans(module, worker=worker)
