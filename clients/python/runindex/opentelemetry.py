"""Links runs to spans of OpenTelemetry: the ids of a span, for the metadata of a run.

    from runindex.opentelemetry import span_metadata

    with client.run(metadata={"model": "large", **span_metadata()}) as run:
        ...

`client.search("meta.trace_id:4bf92f3577b34da6a3ce929d0e0e4736")` then finds the runs of a trace. It needs
OpenTelemetry's API and nothing of its SDK.
"""

try:
    from opentelemetry import trace
except ImportError as missing:
    msg = "runindex.opentelemetry needs opentelemetry-api: pip install 'runindex[opentelemetry]'"
    raise ImportError(msg) from missing

__all__ = ["span_metadata"]


def span_metadata(span: trace.Span | None = None) -> dict[str, str]:
    """Return the metadata that link a run to a span; empty when the span is not being recorded.

    The names are those of OpenTelemetry for trace context outside of its own protocol, the values those of
    the header `traceparent` of W3C Trace Context: all in lower-case hexadecimal digits.

    Args:
        span: The span; the current one when None.

    Returns:
        `trace_id` (32 digits), `span_id` (16 digits) and `trace_flags` (2 digits); or nothing at all.
    """
    linked = trace.get_current_span() if span is None else span
    context = linked.get_span_context()
    if not (linked.is_recording() and context.is_valid):
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
        "trace_flags": f"{context.trace_flags:02x}",
    }
