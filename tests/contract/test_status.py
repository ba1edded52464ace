"""GetStatus: what the store is like, as operators are told."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server import __version__, limits
from runindex_server.schema.header import STORAGE_VERSION
from runindex_server.schema.run import RetentionPolicy
from tests.support.calls import Stub
from tests.support.clock import DAY_US, HOUR_US, SECOND_US, ManualClock
from tests.support.server import RunningServer, StartServer
from tests.support.stores import ON_DISK

KEEP_A_DAY = index_pb.RetentionPolicy(delete_after={"seconds": 86_400})


@pytest.fixture
def maintenance(channel: grpc.Channel) -> MaintenanceStub:
    return MaintenanceStub(channel)


def status(maintenance: MaintenanceStub) -> pb.GetStatusResponse:
    return maintenance.GetStatus(pb.GetStatusRequest())


def create(stub: Stub, count: int = 1) -> list[str]:
    return [stub.CreateRun(index_pb.CreateRunRequest()).run.run_id for _ in range(count)]


def create_ended(stub: Stub, policy: index_pb.RetentionPolicy | None = None) -> str:
    (run_id,) = create(stub)
    if policy is not None:
        stub.SetRunRetention(index_pb.SetRunRetentionRequest(run_id=run_id, policy=policy))
    stub.CloseRun(index_pb.CloseRunRequest(run_id=run_id))
    return run_id


def us(time: Any) -> int:
    return time.ToMicroseconds()


# The store.


def test_it_tells_which_store_it_is(maintenance: MaintenanceStub, clock: ManualClock) -> None:
    store = status(maintenance).store

    assert len(bytes.fromhex(store.store_id)) == 16
    assert len(bytes.fromhex(store.epoch)) == 8
    assert (store.storage_version, store.server_version) == (STORAGE_VERSION, __version__)
    assert us(store.create_time) == clock.now_us()


def test_it_tells_the_revision_and_changes_nothing(maintenance: MaintenanceStub, stub: Stub) -> None:
    revision = stub.CreateRun(index_pb.CreateRunRequest()).revision

    assert [status(maintenance).revision for _ in range(3)] == [revision] * 3


@ON_DISK
def test_it_tells_how_large_the_store_is(
    maintenance: MaintenanceStub, stub: Stub, tmp_path: Path, server: RunningServer
) -> None:
    before = status(maintenance).sizes
    create(stub, 300)
    after = status(maintenance).sizes

    assert after.used_bytes > before.used_bytes + 300 * 100
    assert after.disk_bytes == (tmp_path / "store-0" / "store" / "data.mdb").stat().st_size
    assert after.used_bytes + after.free_bytes <= after.map_bytes


def test_nobody_reads_between_calls(maintenance: MaintenanceStub, stub: Stub) -> None:
    create(stub)

    assert status(maintenance).readers == pb.StoreReaders()


# Runs.


def test_it_counts_the_runs_of_each_state_archived_ones_included(
    maintenance: MaintenanceStub, stub: Stub
) -> None:
    active, paused, archived, failed = create(stub, 4)
    stub.PauseRun(index_pb.PauseRunRequest(run_id=paused))
    stub.ArchiveRun(index_pb.ArchiveRunRequest(run_id=archived))
    stub.FailRun(index_pb.FailRunRequest(run_id=failed, error="it broke"))

    assert [(row.state, row.count) for row in status(maintenance).runs] == [
        # The default run beside ours.
        (index_pb.RUN_STATE_ACTIVE, 2),
        (index_pb.RUN_STATE_PAUSED, 1),
        (index_pb.RUN_STATE_COMPLETED, 0),
        (index_pb.RUN_STATE_FAILED, 1),
        (index_pb.RUN_STATE_CANCELLED, 0),
        (index_pb.RUN_STATE_ARCHIVED, 1),
    ]
    assert active


# What waits.


def test_it_counts_deleted_runs_until_they_are_erased(
    maintenance: MaintenanceStub, stub: Stub, server: RunningServer
) -> None:
    for run_id in create(stub, 3):
        stub.DeleteRun(index_pb.DeleteRunRequest(run_id=run_id))

    assert status(maintenance).backlog.erasing_runs == 3
    server.run_jobs()
    assert status(maintenance).backlog.erasing_runs == 0


def test_it_counts_changes_until_they_are_merged(
    maintenance: MaintenanceStub, stub: Stub, server: RunningServer
) -> None:
    create(stub, 3)

    # The default run's creation is one, too.
    assert status(maintenance).backlog.unmerged_changes == 4
    server.run_jobs()
    assert status(maintenance).backlog.unmerged_changes == 0


def test_it_counts_runs_that_are_due(maintenance: MaintenanceStub, stub: Stub, clock: ManualClock) -> None:
    for _ in range(2):
        create_ended(stub, KEEP_A_DAY)
    create_ended(stub)

    clock.advance(DAY_US - 1)
    assert status(maintenance).backlog.due_runs == 0
    clock.advance(HOUR_US)
    assert status(maintenance).backlog.due_runs == 2


def test_runs_without_a_policy_are_due_by_the_default(start: StartServer, clock: ManualClock) -> None:
    server = start(default_retention=RetentionPolicy(delete_after_us=DAY_US))
    with grpc.insecure_channel(server.target) as channel:
        maintenance = MaintenanceStub(channel)
        create_ended(server.stub())
        clock.advance(DAY_US - 1)
        assert status(maintenance).backlog.due_runs == 0
        clock.advance(HOUR_US)
        assert status(maintenance).backlog.due_runs == 1


# Retention.


def test_nothing_is_told_of_retention_that_there_is_not(start: StartServer) -> None:
    server = start(retention_interval_s=0)
    with grpc.insecure_channel(server.target) as channel:
        assert status(MaintenanceStub(channel)).retention == pb.RetentionStatus()


def test_it_tells_the_default_policy(start: StartServer) -> None:
    server = start(default_retention=RetentionPolicy(keep_latest_n=7))
    with grpc.insecure_channel(server.target) as channel:
        policy = status(MaintenanceStub(channel)).retention.default_policy
        assert policy == index_pb.RetentionPolicy(keep_latest_n=7)


def test_it_tells_the_last_compaction_and_the_next(
    maintenance: MaintenanceStub, stub: Stub, clock: ManualClock
) -> None:
    before = status(maintenance).retention
    assert not before.HasField("last")
    assert us(before.next_time) == clock.now_us() + limits.RETENTION_INTERVAL_S * SECOND_US

    create_ended(stub, KEEP_A_DAY)
    clock.advance(DAY_US + HOUR_US)
    *_, told = maintenance.Compact(pb.CompactRequest(trust_clock=True))
    after = status(maintenance).retention

    assert after.last == told.summary
    assert (after.last.runs_deleted, after.last.dry_run) == (1, False)
    assert us(after.last.start_time) == clock.now_us()
    assert us(after.next_time) == clock.now_us() + limits.RETENTION_INTERVAL_S * SECOND_US


def test_a_dry_run_is_no_compaction(maintenance: MaintenanceStub) -> None:
    list(maintenance.Compact(pb.CompactRequest(dry_run=True)))

    assert not status(maintenance).retention.HasField("last")


def test_it_tells_that_the_clock_jumped(maintenance: MaintenanceStub, clock: ManualClock) -> None:
    assert not status(maintenance).retention.HasField("clock_jump")
    clock.set(clock.now_us() + 3 * HOUR_US)
    jump = status(maintenance).retention.clock_jump

    assert us(jump.resume_time) == clock.now_us() + jump.ahead.ToMicroseconds()
    assert jump.ahead.ToMicroseconds() == 3 * HOUR_US
