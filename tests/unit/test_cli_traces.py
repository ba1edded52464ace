"""`serve --traces`: the real processes, and what reaches a collector, or what happens where there is none."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from typer.testing import CliRunner

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server import __version__
from runindex_server.cli import exits
from runindex_server.cli.app import app
from runindex_server.rpc.spans import CLOSE_S_MAX

WAIT_S: Final = 60.0
CALL: Final = "runindex.v1.RunIndex/CreateRun"
TRACE: Final = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
CALLER: Final = bytes.fromhex("00f067aa0ba902b7")
TRACEPARENT: Final = ("traceparent", f"00-{TRACE.hex()}-{CALLER.hex()}-01")
ILL_FORMED: Final = ("tracestate", "what the caller sent")
"""OpenTelemetry logs this as it is; the server does not."""

Serve = Callable[..., subprocess.Popen[str]]


class Collector(otlp_grpc.TraceServiceServicer):
    """Takes spans as a collector of OpenTelemetry does."""

    def __init__(self) -> None:
        self.taken: queue.SimpleQueue[ResourceSpans] = queue.SimpleQueue()

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802  # The contract's name.
        for spans in request.resource_spans:
            self.taken.put(spans)
        return otlp.ExportTraceServiceResponse()

    def all_taken(self) -> Iterator[tuple[dict[str, Any], Span]]:
        """Yield the spans that came, each with the attributes of its process."""
        while not self.taken.empty():
            of_process = self.taken.get()
            told = {pair.key: value_of(pair.value) for pair in of_process.resource.attributes}
            for of_library in of_process.scope_spans:
                for span in of_library.spans:
                    yield told, span


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@dataclass
class Receiver:
    """A collector that listens."""

    collector: Collector
    endpoint: str
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    otlp_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Receiver(collector, f"http://127.0.0.1:{port}")
    server.stop(None).wait(WAIT_S)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith(("RUNINDEX_", "OTEL_")):
            monkeypatch.delenv(name)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what starts a server that traces; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "runindex_server",
                "serve",
                "--traces",
                "--address",
                "127.0.0.1:0",
                *flags,
            ],
            env={**os.environ, "RUNINDEX_DATA_DIR": str(tmp_path / "data"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=WAIT_S)


def create_run(process: subprocess.Popen[str], count: int = 1) -> None:
    """Create runs, each over a connection of its own, and so by any worker."""
    assert process.stdout is not None
    address = process.stdout.readline().split(" listens on ")[1].split(";")[0]
    for number in range(count):
        options = [("grpc.channel_id", number), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options=options) as channel:
            stub = pb_grpc.RunIndexStub(channel)
            stub.CreateRun(pb.CreateRunRequest(), metadata=[TRACEPARENT, ILL_FORMED], timeout=WAIT_S)


def stopped(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Stop a server, and return the lines of its log, each of which is JSON."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, log
    return [json.loads(line) for line in log.splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_spans_reach_the_collector_before_the_server_has_ended(
    serve: Serve, receiver: Receiver, workers: int
) -> None:
    calls = 40 if workers > 1 else 1
    process = serve("--workers", str(workers), **receiver.environment)
    create_run(process, calls)
    lines = stopped(process)

    taken = list(receiver.collector.all_taken())
    of_calls = [(told, span) for told, span in taken if span.name == CALL]
    assert len(of_calls) == calls
    for told, span in of_calls:
        assert (span.kind, span.trace_id, span.parent_span_id) == (Span.SPAN_KIND_SERVER, TRACE, CALLER)
        assert (told["service.name"], told["service.version"]) == ("runindex", __version__)
    # By the odds, 40 connections reach both of two workers.
    processes = {(told["runindex.worker"], told["service.instance.id"]) for told, _ in taken}
    assert sorted(worker for worker, _ in processes) == list(range(workers))
    assert len({instance for _, instance in processes}) == workers
    children = {
        span.name for _, span in taken if span.parent_span_id in {call.span_id for _, call in of_calls}
    }
    assert children == {"store.wait", "store.commit"}
    assert [line for line in lines if line["event"] in {"traces lost", "opentelemetry"}] == []


def test_the_environment_names_the_service(serve: Serve, receiver: Receiver) -> None:
    process = serve(
        **receiver.environment,
        OTEL_SERVICE_NAME="index",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=here",
    )
    create_run(process)
    stopped(process)

    (told, _), *_ = receiver.collector.all_taken()
    assert (told["service.name"], told["deployment.environment.name"]) == ("index", "here")


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_collector_that_is_away_holds_up_neither_calls_nor_the_end(
    serve: Serve, *, is_silent: bool
) -> None:
    """Whether it refuses connections, or takes them and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if is_silent:
            silent.listen()
        process = serve(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        create_run(process)
        begun_s = time.monotonic()
        lines = stopped(process)
        took_s = time.monotonic() - begun_s

    assert took_s < CLOSE_S_MAX + WAIT_S / 2
    problems = [line for line in lines if line["event"] in {"opentelemetry", "traces lost"}]
    assert problems
    assert {line["level"] for line in problems} == {"warning"}


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env=environment)
    return result.exit_code, result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("module", "protocol", "package"),
    [
        ("opentelemetry.sdk.trace", "grpc", "runindex[server,opentelemetry]"),
        (
            "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
            "grpc",
            "runindex[server,opentelemetry]",
        ),
        (
            "opentelemetry.exporter.otlp.proto.http.trace_exporter",
            "http/protobuf",
            "opentelemetry-exporter-otlp-proto-http",
        ),
    ],
)
def test_a_missing_package_is_told_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, protocol: str, package: str, workers: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    data_dir = tmp_path / "data"
    told = run(
        *("serve", "--traces", "--workers", workers, "--data-dir", str(data_dir)),
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )

    assert told == (
        exits.EXIT_REFUSED,
        f"--traces (RUNINDEX_TRACES) needs a package that is not installed: pip install '{package}'\n",
    )
    assert not data_dir.exists()


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"])
def test_a_protocol_that_is_none_is_refused(variable: str) -> None:
    assert run("serve", "--traces", **{variable: "http/json"}) == (
        exits.EXIT_REFUSED,
        f"{variable} is 'http/json'; traces are sent by grpc or http/protobuf\n",
    )


def test_what_opentelemetry_cannot_use_is_refused_by_name(serve: Serve) -> None:
    process = serve(OTEL_EXPORTER_OTLP_TIMEOUT="soon")
    _, told = process.communicate(timeout=WAIT_S)

    assert process.returncode == exits.EXIT_REFUSED
    assert told == (
        "--traces (RUNINDEX_TRACES): OpenTelemetry refuses its settings (OTEL_*): "
        "could not convert string to float: 'soon'\n"
    )


def test_nothing_of_opentelemetry_is_loaded_without_traces() -> None:
    code = (
        "import sys; import runindex_server.cli.alone, runindex_server.cli.supervising; "
        "print([m for m in sys.modules if 'opentelemetry' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("address", "workers", "told"),
    [
        ("9464", "1", "'9464' is not host:port, such as 127.0.0.1:50051 or [::1]:50051"),
        ("127.0.0.1:65535", "2", "127.0.0.1:65535 leaves no port for each of 2 workers"),
    ],
)
def test_an_address_of_figures_that_is_none_is_refused(address: str, workers: str, told: str) -> None:
    assert run("serve", "--metrics-address", address, "--workers", workers) == (
        exits.EXIT_REFUSED,
        f"--metrics-address (RUNINDEX_METRICS_ADDRESS): {told}\n",
    )
