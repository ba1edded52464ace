"""Fixtures: a fresh store behind a real server on a free port, a clock that stands still, and a stub."""

from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from runindex.v1 import insights_pb2_grpc as insights_grpc
from runindex.v1 import run_data_pb2_grpc as data_grpc
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex.v1 import templates_pb2_grpc as templates_grpc
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.logs import configure_logs
from runindex_server.runs.bootstrap import initialise
from tests.support.calls import Restart
from tests.support.clock import ManualClock
from tests.support.server import LoopThread, OpenStore, RunningServer, StartServer
from tests.support.workers import LOOK_INSIDE, Pool, WorkersServer, pool_in

pytest_plugins = ["tests.support.hypothesis_profiles", "tests.support.no_skips", "tests.support.tally"]

MAP_BYTES: Final = 256 * 1024 * 1024


@pytest.fixture(scope="session")
def loop() -> Iterator[LoopThread]:
    """Return the event loop on which the servers of the session run."""
    configure_logs("warning", "json")
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def log(loop: LoopThread) -> Iterator[StringIO]:  # Which sets up the logs of the session.
    """Return what receives the server's log, from before its start."""
    stream = StringIO()
    with redirect_stderr(stream):
        configure_logs("info", "json")
    yield stream
    configure_logs("warning", "json")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests that run on a store on disk run on one that several processes serve."""
    parser.addoption("--store", choices=["workers"], help="serve the store on disk by several processes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests in memory when several processes serve."""
    if not config.getoption("--store"):
        return
    served = [item for item in items if _can_be_served(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _can_be_served(item)])
    items[:] = served


def _can_be_served(item: pytest.Item) -> bool:
    """Tell whether a test can be served by other processes: it runs on disk, and looks at answers."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    return item.callspec.params.get("store_kind") == "lmdb" and item.originalname not in LOOK_INSIDE


@pytest.fixture(scope="session")
def worker_pool(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool | None]:
    """Return the processes that serve; None when the tests' own does."""
    if not request.config.getoption("--store"):
        yield None
        return
    with pool_in(tmp_path_factory.mktemp("workers")) as pool:
        yield pool


@pytest.fixture
def clock(worker_pool: Pool | None) -> ManualClock:
    """Return the clock of the store and the server; it stands still."""
    if worker_pool is None:
        return ManualClock()
    worker_pool.clock.restart()
    return worker_pool.clock


@pytest.fixture(params=["memory", "lmdb"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Return which store the test runs on: once on each, unless the test is parametrized otherwise."""
    kind: str = request.param
    return kind


def _opener(kind: str, clock: ManualClock, data_dir: Path) -> OpenStore:
    """Return what opens a store of a kind, the same one again when it is kept on disk."""

    async def open_memory() -> MaintainedStore:
        return MemoryStore(clock=clock, initialise=initialise)

    async def open_disk() -> MaintainedStore:
        return open_lmdb(data_dir, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=_fatal)

    return open_memory if kind == "memory" else open_disk


def _fatal() -> None:
    msg = "the outcome of a commit is unknown"
    raise AssertionError(msg)


@pytest.fixture
def start(
    loop: LoopThread, store_kind: str, clock: ManualClock, worker_pool: Pool | None, tmp_path: Path
) -> Iterator[StartServer]:
    """Return what starts a server over a new store; all are stopped after the test."""
    servers: list[RunningServer | WorkersServer] = []

    def start_one(**options: Any) -> RunningServer | WorkersServer:
        data_dir = tmp_path / f"store-{len(servers)}"
        if worker_pool is None:
            servers.append(RunningServer(loop, _opener(store_kind, clock, data_dir), clock=clock, **options))
        else:
            servers.append(WorkersServer(loop, worker_pool, data_dir, **options))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: StartServer) -> RunningServer:
    """Return a server over a new store, which holds the default run."""
    return start()


@pytest.fixture
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    """Return a channel to the server, for raw calls."""
    with (
        server.channel()
        if isinstance(server, WorkersServer)
        else grpc.insecure_channel(server.target) as channel
    ):
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> pb_grpc.RunIndexStub:
    """Return the generated stub."""
    return pb_grpc.RunIndexStub(channel)


@pytest.fixture
def data(channel: grpc.Channel) -> data_grpc.RunDataStub:
    """Return the generated stub of RunData."""
    return data_grpc.RunDataStub(channel)


@pytest.fixture
def insights(channel: grpc.Channel) -> insights_grpc.RunInsightsStub:
    """Return the generated stub of RunInsights."""
    return insights_grpc.RunInsightsStub(channel)


@pytest.fixture
def templates(channel: grpc.Channel) -> templates_grpc.RunTemplatesStub:
    """Return the generated stub of RunTemplates."""
    return templates_grpc.RunTemplatesStub(channel)


@pytest.fixture
def restart(server: RunningServer) -> Restart:
    """Return what restarts the server and returns a stub to it; for stores that are kept on disk."""

    def restart_once() -> pb_grpc.RunIndexStub:
        server.restart()
        return server.stub()

    return restart_once
