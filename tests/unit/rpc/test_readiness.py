"""Whether a server is ready: health tells what its writer, its disk and its last commit are like."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runindex.v1 import run_index_pb2 as pb
from runindex_server.errors import StoreFull
from runindex_server.kv.commit_figures import CommitFigures
from runindex_server.kv.engine import Engine
from runindex_server.rpc.readiness import COMMIT_S_MAX
from tests.support.calls import create
from tests.support.server import RunningServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WAIT_S = 30.0

Health = Callable[[], set[int]]


@pytest.fixture
def health(server: RunningServer) -> Iterator[Health]:
    """Return what looks, and asks for the health of the server and of one of its services."""
    with grpc.insecure_channel(server.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def ask() -> set[int]:
            server.look_whether_ready()
            return {
                stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S).status
                for service in ("", "runindex.v1.RunIndex")
            }

        yield ask


@pytest.fixture
def commits(server: RunningServer) -> CommitFigures:
    return server.store.engine.commits()


def test_a_server_that_works_is_ready(server: RunningServer, health: Health) -> None:
    assert health() == {SERVING}
    create(server.stub())
    assert health() == {SERVING}


def test_a_commit_that_does_not_end(health: Health, commits: CommitFigures, log: StringIO) -> None:
    commits.begun_s = time.perf_counter() - COMMIT_S_MAX - 1
    assert health() == {NOT_SERVING}
    assert health() == {NOT_SERVING}
    assert log.getvalue().count("a commit takes longer than 10 seconds") == 1
    commits.begun_s = None
    assert health() == {SERVING}
    assert '"ready again"' in log.getvalue()


def test_a_disk_that_takes_no_writes(
    server: RunningServer, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(server.store.engine), "is_read_only", lambda _: True)
        assert health() == {NOT_SERVING}
    assert health() == {SERVING}


def test_a_commit_that_failed_until_one_works(
    server: RunningServer, health: Health, commits: CommitFigures
) -> None:
    """It is tried again without anybody's call, and reads go on."""
    create(server.stub())
    with failing(commits, StoreFull()):
        server.store.error = StoreFull()
        assert health() == {NOT_SERVING}
        server.store.error = None
    revision = server.stub().CountRuns(pb.CountRunsRequest(), timeout=WAIT_S).revision
    assert health() == {SERVING}
    assert not commits.last_failed
    # What was tried changed nothing that callers see.
    assert server.stub().CountRuns(pb.CountRunsRequest(), timeout=WAIT_S).revision == revision


@contextmanager
def failing(commits: CommitFigures, error: Exception) -> Iterator[None]:
    """Let a commit fail."""
    failures = commits.failures
    with pytest.raises(StoreFull), commits.counting():
        raise error
    assert (commits.failures, commits.last_failed) == (failures + 1, True)
    yield


def test_engines_know_their_disk(server: RunningServer) -> None:
    engine: Engine = server.store.engine
    assert not engine.is_read_only()
