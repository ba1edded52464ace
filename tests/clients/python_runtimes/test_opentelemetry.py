"""Runs are linked to the spans that OpenTelemetry records."""

import pytest
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from runindex import Client
from runindex.langchain import RunIndexCallbackHandler
from runindex.opentelemetry import span_metadata
from tests.clients.python_runtimes.trees import recorded
from tests.support.server import RunningServer


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Return what keeps the spans that have ended."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> trace.Tracer:
    """Return what makes spans."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("tests")


def exported(exporter: InMemorySpanExporter, name: str) -> dict[str, str]:
    """Return the ids of a span as they were exported."""
    (span,) = [span for span in exporter.get_finished_spans() if span.name == name]
    assert span.context is not None
    return {
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "trace_flags": f"{span.context.trace_flags:02x}",
    }


def test_a_run_tells_its_span(client: Client, tracer: trace.Tracer, exporter: InMemorySpanExporter) -> None:
    with (
        tracer.start_as_current_span("outer"),
        client.run(metadata={"model": "large", **span_metadata()}) as outer,
        tracer.start_as_current_span("inner"),
        client.run(metadata=span_metadata()) as inner,
    ):
        pass

    of_outer, of_inner = exported(exporter, "outer"), exported(exporter, "inner")
    assert client.get(outer).metadata == {"model": "large", **of_outer}
    assert client.get(inner).metadata == of_inner
    assert of_inner["trace_id"] == of_outer["trace_id"]
    assert set(client.search(f"meta.trace_id:{of_outer['trace_id']}").ids()) == {outer.run_id, inner.run_id}


def test_a_span_may_be_named(tracer: trace.Tracer, exporter: InMemorySpanExporter) -> None:
    span = tracer.start_span("named")
    metadata = span_metadata(span)
    span.end()

    assert metadata == exported(exporter, "named")
    assert span_metadata(span) == {}  # It has ended.


def test_without_a_span_there_is_nothing() -> None:
    assert span_metadata() == {}


def test_a_span_that_is_not_recorded_is_no_link() -> None:
    with TracerProvider(sampler=ALWAYS_OFF).get_tracer("tests").start_as_current_span("dropped") as span:
        assert span.get_span_context().is_valid
        assert span_metadata() == {}


def test_a_handler_links_all_its_runs(
    server: RunningServer, client: Client, tracer: trace.Tracer, exporter: InMemorySpanExporter
) -> None:
    mine = RunIndexCallbackHandler(server.target, metadata=span_metadata)

    with tracer.start_as_current_span("outer"):
        RunnableLambda(len).invoke("four", {"callbacks": [mine]})

    assert recorded(mine, client).metadata == {"name": "len", "kind": "chain", **exported(exporter, "outer")}
