"""Figures for Prometheus: what is counted of calls, of commits and of the store, and how it is told."""

import asyncio
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Final

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runindex.v1 import maintenance_pb2 as maintenance_pb
from runindex.v1 import maintenance_pb2_grpc as maintenance_grpc
from runindex.v1 import run_index_pb2 as pb
from runindex_server.kv.commit_figures import SECONDS, WRITES, CommitFigures, Distribution
from runindex_server.rpc.address import AddressInUse
from runindex_server.rpc.metrics import Metrics, open_metrics
from runindex_server.schema.run import KEEP_ALL
from tests.support.calls import close, create, delete
from tests.support.clock import ManualClock
from tests.support.repository import ROOT
from tests.support.server import LoopThread, RunningServer, StartServer

WAIT_S: Final = 30.0
INDEX: Final = "runindex.v1.RunIndex"

Samples = dict[tuple[str, tuple[str, ...]], float]
Told = Callable[[], Samples]


def told_at(port: int) -> Samples:
    """Return all samples that Prometheus would read, by name and by the values of labels in their order."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return open_metrics()


@pytest.fixture
def measured(start: StartServer, metrics: Metrics) -> RunningServer:
    return start(metrics=metrics)


@pytest.fixture
def told(measured: RunningServer, metrics: Metrics, loop: LoopThread, clock: ManualClock) -> Iterator[Told]:
    """Return what reads all figures."""

    async def add() -> None:
        metrics.add_store(measured.store, default_policy=KEEP_ALL, now_us=clock.now_us, tells_all=True)

    loop.run(add())
    with metrics.told_at("127.0.0.1:0") as port:
        yield lambda: told_at(port)


def test_calls_are_counted_by_method_and_by_how_they_ended(measured: RunningServer, told: Told) -> None:
    stub = measured.stub()
    run = create(stub)
    close(stub, run.run_id)
    for _ in range(3):
        with pytest.raises(grpc.RpcError):
            stub.CloseRun(pb.CloseRunRequest(run_id=run.run_id), timeout=WAIT_S)
    with grpc.insecure_channel(measured.target) as channel:
        list(maintenance_grpc.MaintenanceStub(channel).Verify(maintenance_pb.VerifyRequest(), timeout=WAIT_S))

    counted = {
        labels: value
        for (name, labels), value in told().items()
        if name == "runindex_call_duration_seconds_count"
    }
    assert counted == {
        ("OK", f"{INDEX}/CreateRun"): 1,
        ("OK", f"{INDEX}/CloseRun"): 1,
        ("FAILED_PRECONDITION", f"{INDEX}/CloseRun"): 3,
        ("OK", "runindex.v1.Maintenance/Verify"): 1,
    }


def test_a_call_that_its_caller_gave_up_is_counted(
    measured: RunningServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_ended = threading.Event()

    async def write(_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            # When the call has ended, too: it ends in this very step of the loop.
            asyncio.get_running_loop().call_soon(has_ended.set)

    monkeypatch.setattr(measured.store, "write", write)
    with pytest.raises(grpc.RpcError) as refused:
        measured.stub().CreateRun(pb.CreateRunRequest(), timeout=0.2)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert has_ended.wait(WAIT_S)
    assert told()["runindex_call_duration_seconds_count", ("CANCELLED", f"{INDEX}/CreateRun")] == 1


def test_the_store_is_told_as_it_is(measured: RunningServer, told: Told) -> None:
    stub = measured.stub()
    first, _ = create(stub), create(stub)
    close(stub, first.run_id)
    delete(stub, first.run_id)
    found = told()

    assert found["runindex_runs", ("ACTIVE",)] == 2
    assert found["runindex_runs", ("COMPLETED",)] == 0
    assert found["runindex_erasing_runs", ()] == 1
    assert found["runindex_revision", ()] == stub.CountRuns(pb.CountRunsRequest()).revision
    assert found["runindex_store_bytes", ("used",)] > 0
    assert found["runindex_waiting_writes", ()] == 0
    measured.run_jobs()
    assert told()["runindex_erasing_runs", ()] == 0


def test_commits_are_counted(measured: RunningServer, told: Told) -> None:
    stub = measured.stub()
    before = told()
    for _ in range(5):
        create(stub)
    found = told()

    def grown(name: str, *labels: str) -> float:
        return found[name, labels] - before[name, labels]

    assert grown("runindex_commit_duration_seconds_count") == 5
    assert grown("runindex_commit_writes_count") == grown("runindex_commit_writes_sum") == 5
    assert grown("runindex_commit_writes_bucket", "1.0") == 5
    assert 0 < grown("runindex_commit_duration_seconds_sum") < WAIT_S
    assert grown("runindex_commit_failures_total") == 0


def test_the_guide_names_what_is_told(measured: RunningServer, told: Told) -> None:
    create(measured.stub())
    guide = (ROOT / "docs" / "guides" / "operating.md").read_text()
    named = set(re.findall(r"`(runindex_\w+)`", guide))
    suffix = re.compile("_(bucket|count|sum|created|total)$")
    assert {suffix.sub("", name) for name, _ in told()} == named


def test_a_process_that_runs_no_jobs_tells_its_own_figures_only(
    measured: RunningServer, metrics: Metrics, loop: LoopThread, clock: ManualClock
) -> None:
    async def add() -> None:
        metrics.add_store(measured.store, default_policy=KEEP_ALL, now_us=clock.now_us, tells_all=False)

    loop.run(add())
    with metrics.told_at("127.0.0.1:0") as port:
        names = {name for name, _ in told_at(port)}
    assert "runindex_commit_writes_count" in names
    assert "runindex_runs" not in names


def test_an_address_that_is_taken_is_refused(metrics: Metrics) -> None:
    with (
        metrics.told_at("127.0.0.1:0") as port,
        pytest.raises(AddressInUse),
        metrics.told_at(f"127.0.0.1:{port}"),
    ):
        pass


def test_numbers_lie_in_the_first_bucket_that_holds_them() -> None:
    numbers = Distribution((1.0, 2.0))
    for number in (0.5, 1.0, 1.5, 2.0, 2.5, 100.0):
        numbers.add(number)
    assert (numbers.counts, numbers.total) == ([2, 2, 2], 107.5)
    figures = CommitFigures()
    assert (figures.seconds.bounds, figures.writes.bounds) == (SECONDS, WRITES)
