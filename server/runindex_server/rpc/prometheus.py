"""What tells figures to Prometheus; see `rpc.metrics`."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor
from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runindex_server.kv.commit_figures import Distribution
from runindex_server.kv.engine import Engine, MaintainedStore
from runindex_server.maintenance.status import StoreStatus, read_status
from runindex_server.rpc.address import AddressInUse, split_address
from runindex_server.rpc.admission import Context
from runindex_server.rpc.metrics import Serve, code_name
from runindex_server.schema.run import RetentionPolicy

CALL_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0)
READ_S_MAX: Final = 10.0
"""How long the store is waited for when it is asked what it is like."""


class PrometheusMetrics:
    """A `rpc.metrics.Metrics`."""

    def __init__(self) -> None:
        """Begin without any."""
        self._registry = CollectorRegistry()
        self._calls = Histogram(
            "runindex_call_duration_seconds",
            "How long calls took, by method, and by the status code that they ended with.",
            ("method", "code"),
            registry=self._registry,
            buckets=CALL_SECONDS,
        )

    def measuring(self, descriptor: MethodDescriptor, serve: Serve) -> Serve:
        """Return what serves a method, and measures each call; see `rpc.metrics.Metrics`."""
        method = f"{descriptor.containing_service.full_name}/{descriptor.name}"

        async def measured(data: bytes, context: Context) -> Any:  # noqa: ANN401  # What is passed on.
            begun = time.perf_counter()
            code = "CANCELLED"
            try:
                answer = await serve(data, context)
                code = "OK"
            except grpc.aio.AbortError:
                code = code_name(context.code())
                raise
            finally:
                self._calls.labels(method, code).observe(time.perf_counter() - begun)
            return answer

        return measured

    def add_store(
        self,
        store: MaintainedStore,
        *,
        default_policy: RetentionPolicy,
        now_us: Callable[[], int],
        tells_all: bool,
    ) -> None:
        """Tell of a store too; see `rpc.metrics.Metrics`."""
        self._registry.register(_Commits(store.engine))
        if tells_all:
            loop = asyncio.get_running_loop()

            def read() -> StoreStatus:
                status = store.read(
                    lambda txn: read_status(txn, default_policy=default_policy, now_us=now_us()), offload=True
                )
                return asyncio.run_coroutine_threadsafe(status, loop).result(READ_S_MAX)

            self._registry.register(_Store(store.engine, read))

    @contextmanager
    def told_at(self, address: str) -> Iterator[int]:
        """Answer Prometheus at an address; see `rpc.metrics.Metrics`."""
        host, port = split_address(address)
        try:
            server, thread = start_http_server(port, host, self._registry)
        except OSError as error:
            raise AddressInUse(address) from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Commits(Collector):
    """How the commits of a process go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        figures = self._engine.commits()
        yield _histogram(
            "runindex_commit_duration_seconds", "How long commits took, synced to the disk.", figures.seconds
        )
        yield _histogram("runindex_commit_writes", "How many writes shared a commit.", figures.writes)
        yield CounterMetricFamily(
            "runindex_commit_failures", "Commits that failed, as on a full disk.", value=figures.failures
        )
        yield GaugeMetricFamily(
            "runindex_waiting_writes", "Writes that wait for a commit.", value=self._engine.waiting_writes()
        )


class _Store(Collector):
    """What a store is like."""

    def __init__(self, engine: Engine, read: Callable[[], StoreStatus]) -> None:
        self._engine = engine
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        status, sizes, readers = self._read(), self._engine.sizes(), self._engine.readers()
        runs = GaugeMetricFamily("runindex_runs", "Runs, by state.", labels=["state"])
        for state, count in status.runs.items():
            runs.add_metric([state.name], count)
        yield runs
        in_bytes = GaugeMetricFamily(
            "runindex_store_bytes", "The store, by what its bytes are.", labels=["kind"]
        )
        for kind in ("used", "free", "disk", "map"):
            in_bytes.add_metric([kind], getattr(sizes, kind))
        yield in_bytes
        for name, told, value in (
            ("readers", "Snapshots that are open.", readers.count),
            (
                "oldest_reader_lag_commits",
                "How far the oldest snapshot is behind.",
                readers.oldest_lag_commits,
            ),
            ("erasing_runs", "Deleted runs whose data is still being erased.", status.erasing_runs),
            ("unmerged_changes", "Changes of the search index to merge.", status.unmerged_changes),
            ("due_runs", "Runs at which the next compaction looks.", status.due_runs),
            ("revision", "The store's revision.", status.revision),
        ):
            yield GaugeMetricFamily(f"runindex_{name}", told, value=value)


def _histogram(name: str, told: str, distribution: Distribution) -> HistogramMetricFamily:
    """Return a distribution as Prometheus takes it: counts added up, and the last bucket without a bound."""
    buckets, count = [], 0
    for bound, each in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
        count += each
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(count)))
    return HistogramMetricFamily(name, told, buckets=buckets, sum_value=distribution.total)
