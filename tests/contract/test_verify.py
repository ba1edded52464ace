"""Verify: what operators are told of a store, sound or not."""

from typing import Any

import grpc
import pytest

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server import limits
from runindex_server.schema import keys
from runindex_server.schema.run import DEFAULT_RUN_ID, RunState
from tests.support.calls import STATES, Stub, add_tags, create_in, delete, set_retention
from tests.support.methods import KEEP_3
from tests.support.server import LoopThread, RunningServer


@pytest.fixture
def maintenance(channel: grpc.Channel) -> MaintenanceStub:
    return MaintenanceStub(channel)


def verify(maintenance: MaintenanceStub) -> list[pb.VerifyResponse]:
    return list(maintenance.Verify(pb.VerifyRequest()))


def fill(stub: Stub) -> None:
    """Create runs in all states, and delete one."""
    runs = [create_in(stub, state, tags=["a"], metadata={"k": "word"}) for state in STATES]
    set_retention(stub, runs[0].run_id, KEEP_3)
    add_tags(stub, runs[1].run_id, "late")
    delete(stub, runs[2].run_id)


def tamper(loop: LoopThread, server: RunningServer, change: Any) -> None:
    """Change rows behind the server's back."""
    loop.run(server.store.write(change))


def test_a_sound_store(maintenance: MaintenanceStub, stub: Stub, server: RunningServer) -> None:
    fill(stub)
    for _ in range(2):
        *pieces, last = verify(maintenance)
        assert {piece.WhichOneof("piece") for piece in pieces} <= {"progress"}
        assert last.WhichOneof("piece") == "summary"
        assert last.summary.runs == len(STATES)
        assert last.summary.rows > last.summary.runs
        assert last.summary.drifts == 0
        assert last.summary.HasField("duration")
        server.run_jobs()


def test_it_changes_nothing_and_tells_the_revision(maintenance: MaintenanceStub, stub: Stub) -> None:
    fill(stub)
    first, second = verify(maintenance), verify(maintenance)
    assert {piece.revision for piece in first + second} == {first[-1].revision}
    assert create_in(stub, STATES[0]).revision == first[-1].revision + 1


def test_a_drift_is_told_by_its_key(
    maintenance: MaintenanceStub, stub: Stub, server: RunningServer, loop: LoopThread
) -> None:
    fill(stub)
    key = keys.by_state(RunState.FAILED, 99)
    tamper(loop, server, lambda txn: txn.put(key, DEFAULT_RUN_ID))
    *pieces, last = verify(maintenance)
    (drift,) = [piece.drift for piece in pieces if piece.HasField("drift")]
    assert (drift.subspace, bytes.fromhex(drift.key)) == ("runs by state", key)
    assert drift.problem.endswith(".")
    assert last.summary.drifts == 1


def test_it_repairs_nothing(maintenance: MaintenanceStub, server: RunningServer, loop: LoopThread) -> None:
    tamper(loop, server, lambda txn: txn.add(keys.state_count(RunState.ACTIVE), 1))
    for _ in range(2):
        assert verify(maintenance)[-1].summary.drifts == 1


def test_a_thousand_drifts_are_told_and_all_are_counted(
    maintenance: MaintenanceStub, server: RunningServer, loop: LoopThread
) -> None:
    count = limits.DRIFTS_TOLD_MAX + 1

    def leave_over(txn: Any) -> None:
        for ordinal in range(1_000, 1_000 + count):
            txn.put(keys.by_state(RunState.FAILED, ordinal), DEFAULT_RUN_ID)

    tamper(loop, server, leave_over)
    *pieces, last = verify(maintenance)
    assert sum(piece.HasField("drift") for piece in pieces) == limits.DRIFTS_TOLD_MAX
    assert last.summary.drifts == count
