"""A server over a store of an older storage version answers as the one that wrote it did."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from runindex.v1 import run_index_pb2 as pb
from runindex_server.kv.api import Store
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.header import STORAGE_VERSION
from runindex_server.schema.migrations import migrate
from tests.support.calls import Stub
from tests.support.clock import ManualClock
from tests.support.consistency import check_store
from tests.support.frozen import recorded_calls, thaw
from tests.support.server import LoopThread, RunningServer

MAP_BYTES = 64 * 1024 * 1024


@pytest.fixture(params=range(1, STORAGE_VERSION))
def version(request: pytest.FixtureRequest) -> int:
    """Return each older version."""
    older: int = request.param
    return older


@pytest.fixture
def migrated(loop: LoopThread, clock: ManualClock, tmp_path: Path, version: int) -> Iterator[RunningServer]:
    """Return a server over the frozen store of an older version, migrated."""
    thaw(tmp_path, version)

    async def open_store() -> Store:
        store = open_lmdb(
            tmp_path, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None
        )
        await migrate(store, progress=lambda _: None)
        return store

    server = RunningServer(loop, open_store, clock=clock)
    yield server
    server.stop()


def answer_of(stub: Stub, call: dict[str, Any]) -> dict[str, Any]:
    """Return what a call answers."""
    request = ParseDict(call["request"], getattr(pb, f"{call['method']}Request")())
    answer = getattr(stub, call["method"])(request)
    return MessageToDict(answer, preserving_proto_field_name=True)


def check_answers(stub: Stub, version: int) -> int:
    """Check that every call is answered as it was, and return how many runs say when they expire."""
    expiring = 0
    for call in recorded_calls(version):
        answer = answer_of(stub, call)
        run = answer.get("run", {})
        if "expire_time" in run:
            assert "end_time" in run
            expiring += 1
            if version == 1:
                del run["expire_time"]
        assert answer == call["answer"], call
    return expiring


def test_a_migrated_store_answers_as_before(loop: LoopThread, migrated: RunningServer, version: int) -> None:
    stub = migrated.stub()
    expiring = check_answers(stub, version)
    assert expiring > 0
    migrated.run_jobs()
    assert check_answers(migrated.stub(), version) == expiring
    loop.run(check_store(migrated.store))
    migrated.restart()
    assert check_answers(migrated.stub(), version) == expiring


def test_an_expire_time_is_the_end_and_what_the_policy_adds(migrated: RunningServer) -> None:
    stub = migrated.stub()
    found = 0
    for run in stub.ListRuns(pb.ListRunsRequest(include_archived=True, page_size=1000)).runs:
        policy = stub.GetRunRetention(pb.GetRunRetentionRequest(run_id=run.run_id)).policy
        expires = policy.HasField("delete_after") and run.HasField("end_time")
        assert run.HasField("expire_time") == expires
        if expires:
            found += 1
            assert run.expire_time.seconds == run.end_time.seconds + policy.delete_after.seconds
    assert found > 0
