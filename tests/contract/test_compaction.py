"""Compact: retention enforced on demand, previewed, reported, and never by a clock that has jumped."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex_server.schema.run import RetentionPolicy
from tests.support.calls import (
    DEFAULT,
    Stub,
    archive,
    check_refused,
    close,
    create,
    get,
    set_retention,
)
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, ManualClock
from tests.support.server import RunningServer, StartServer
from tests.support.stores import ON_DISK

LATEST = index_pb.RetentionPolicy(keep_latest_n=2)
DURATION = index_pb.RetentionPolicy(keep_duration={"seconds": 60})
DELETE = index_pb.RetentionPolicy(delete_after={"seconds": 60})
INTERVAL_S = 600


@pytest.fixture
def maintenance(channel: grpc.Channel) -> MaintenanceStub:
    return MaintenanceStub(channel)


def compact(
    maintenance: MaintenanceStub, **request: Any
) -> tuple[list[pb.CompactedRun], pb.CompactionSummary]:
    """Compact, and return what went of each run, and the summary."""
    pieces = list(maintenance.Compact(pb.CompactRequest(**request)))
    assert [piece.WhichOneof("piece") for piece in pieces] == ["run"] * (len(pieces) - 1) + ["summary"]
    revisions = [piece.revision for piece in pieces]
    assert revisions == sorted(revisions)
    return [piece.run for piece in pieces[:-1]], pieces[-1].summary


def put(data: RunDataStub, run_id: str, key: str = "k", count: int = 1) -> None:
    """Write versions of a key: each 3 bytes as a value, and so more as it is kept."""
    for number in range(count):
        data.PutValue(data_pb.PutValueRequest(run_id=run_id, key=key, value={"binary": b"%03d" % number}))


def append(data: RunDataStub, run_id: str, stream: str = "s", count: int = 1) -> None:
    """Append events."""
    events = [{"stream": stream, "value": {"binary": b"%03d" % number}} for number in range(count)]
    data.AppendEvents(data_pb.AppendEventsRequest(run_id=run_id, events=events))


def versions(data: RunDataStub, run_id: str, key: str = "k") -> list[int]:
    """Return the kept versions of a key, newest first."""
    request = data_pb.GetValueHistoryRequest(run_id=run_id, key=key)
    return [version.version for version in data.GetValueHistory(request).items]


def sequences(data: RunDataStub, run_id: str) -> list[int]:
    """Return the kept events."""
    return [event.sequence for event in data.ReadEvents(data_pb.ReadEventsRequest(run_id=run_id)).events]


def exists(stub: Stub, run_id: str) -> bool:
    """Tell whether a run exists."""
    return stub.RunExists(index_pb.RunExistsRequest(run_id=run_id)).exists


def test_a_store_without_policies_keeps_all(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    run_id = create(stub).run_id
    put(data, run_id, count=3)
    append(data, run_id, count=3)
    close(stub, run_id)
    clock.advance(DAY_US)

    runs, summary = compact(maintenance, trust_clock=True)

    assert runs == []
    assert summary.start_time.ToMicroseconds() == clock.now_us()
    assert (summary.runs_deleted, summary.runs_trimmed, summary.bytes) == (0, 0, 0)
    assert versions(data, run_id) == [3, 2, 1]


def test_keep_latest_n_keeps_the_newest(stub: Stub, data: RunDataStub, maintenance: MaintenanceStub) -> None:
    run_id = create(stub).run_id
    put(data, run_id, count=5)
    put(data, run_id, key="other", count=2)
    append(data, run_id, "s", count=4)
    append(data, run_id, "t", count=1)
    before = get(stub, run_id)
    set_retention(stub, run_id, LATEST)

    (run,), summary = compact(maintenance)

    assert (run.run_id, run.policy, run.is_default_policy) == (run_id, LATEST, False)
    assert (run.run_deleted, run.versions, run.events) == (False, 3, 2)
    assert run.bytes > 5 * 3
    assert not run.HasField("end_time")
    assert (summary.runs_trimmed, summary.versions, summary.events) == (1, 3, 2)
    assert summary.bytes == run.bytes
    assert versions(data, run_id) == [5, 4]
    assert versions(data, run_id, "other") == [2, 1]
    assert sequences(data, run_id) == [2, 3, 4]
    assert get(stub, run_id).version == before.version + 1, "of setting the policy, and nothing else"
    assert compact(maintenance)[0] == []


def test_keep_duration_counts_from_being_superseded(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    run_id = create(stub).run_id
    set_retention(stub, run_id, DURATION)
    put(data, run_id)
    append(data, run_id)
    clock.advance(10 * MINUTE_US)
    put(data, run_id)
    append(data, run_id)
    clock.advance(MINUTE_US - 1)
    compact(maintenance)
    assert versions(data, run_id) == [2, 1], "version 1 was superseded less than a minute ago"
    assert sequences(data, run_id) == [1]

    clock.advance(1)
    compact(maintenance)

    assert versions(data, run_id) == [2]
    assert sequences(data, run_id) == []
    clock.advance(30 * MINUTE_US)
    assert compact(maintenance)[0] == [], "what is current stays"
    append(data, run_id)
    assert sequences(data, run_id) == [2], "the sequence goes on"


@pytest.mark.parametrize("end", [close, archive])
def test_delete_after_deletes_the_run_with_all_it_holds(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, clock: ManualClock, end: Callable[..., Any]
) -> None:
    run_id, child, unfinished = create(stub).run_id, None, create(stub).run_id
    child = stub.CreateChildRun(index_pb.CreateChildRunRequest(parent_run_id=run_id)).run.run_id
    put(data, run_id)
    for each in (run_id, unfinished):
        set_retention(stub, each, DELETE)
    end(stub, run_id)
    ended = get(stub, run_id)
    clock.advance(MINUTE_US - SECOND_US)
    assert compact(maintenance)[0] == []
    clock.advance(2 * SECOND_US)

    (run,), summary = compact(maintenance)

    assert (run.run_id, run.policy, run.run_deleted) == (run_id, DELETE, True)
    assert run.end_time == ended.end_time
    assert run.bytes > 0
    assert (summary.runs_deleted, summary.runs_trimmed, summary.bytes) == (1, 0, run.bytes)
    assert [exists(stub, each) for each in (run_id, child, unfinished)] == [False, True, True]
    assert get(stub, child).parent_run_id == run_id
    create(stub, run_id=run_id)
    assert versions(data, run_id) == []


def test_a_dry_run_tells_the_same_and_removes_nothing(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    for policy in (LATEST, DURATION, DELETE):
        run_id = create(stub).run_id
        set_retention(stub, run_id, policy)
        put(data, run_id, count=4)
        append(data, run_id, count=4)
        close(stub, run_id)
    clock.advance(10 * MINUTE_US)

    preview, preview_summary = compact(maintenance, dry_run=True)
    again, _ = compact(maintenance, dry_run=True)
    runs, summary = compact(maintenance)

    assert preview == again == runs
    assert len(runs) == 3
    assert preview_summary.dry_run
    assert not summary.dry_run
    preview_summary.dry_run = False
    assert preview_summary == summary
    assert compact(maintenance, dry_run=True)[0] == []


def test_the_default_policy_acts_on_runs_without_their_own(start: StartServer, clock: ManualClock) -> None:
    server = start(default_retention=RetentionPolicy(delete_after_us=MINUTE_US))
    stub = server.stub()
    kept, gone = create(stub).run_id, create(stub).run_id
    set_retention(stub, kept, index_pb.RetentionPolicy(keep_all={}))
    for run_id in (kept, gone):
        close(stub, run_id)
    retention = stub.GetRunRetention(index_pb.GetRunRetentionRequest(run_id=gone)).policy
    assert retention.WhichOneof("policy") == "keep_all", "the default is not reported as the run's own"
    clock.advance(MINUTE_US + SECOND_US)

    with grpc.insecure_channel(server.target) as channel:
        (run,), _ = compact(MaintenanceStub(channel))

    assert (run.run_id, run.policy, run.is_default_policy) == (gone, DELETE, True)
    assert [exists(stub, run_id) for run_id in (kept, gone)] == [True, False]


def test_the_default_run_is_trimmed_but_never_deleted(start: StartServer, clock: ManualClock) -> None:
    server = start(default_retention=RetentionPolicy(keep_latest_n=2))
    with grpc.insecure_channel(server.target) as channel:
        data = RunDataStub(channel)
        put(data, DEFAULT, count=5)
        (run,), _ = compact(MaintenanceStub(channel))
        assert (run.run_id, run.versions) == (DEFAULT, 3)
        assert versions(data, DEFAULT) == [5, 4]


def test_what_is_due_is_removed_on_schedule(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, server: RunningServer, clock: ManualClock
) -> None:
    run_id = create(stub).run_id
    set_retention(stub, run_id, LATEST)
    put(data, run_id, count=5)
    server.run_jobs()
    assert versions(data, run_id) == [5, 4, 3, 2, 1]
    status = maintenance.GetStatus(pb.GetStatusRequest()).retention
    assert status.next_time.ToMicroseconds() == clock.now_us() + INTERVAL_S * SECOND_US
    assert not status.HasField("last")

    clock.advance(INTERVAL_S * SECOND_US)
    server.run_jobs()

    assert versions(data, run_id) == [5, 4]
    status = maintenance.GetStatus(pb.GetStatusRequest()).retention
    assert (status.last.versions, status.last.runs_trimmed) == (3, 1)
    assert status.last.start_time.ToMicroseconds() == clock.now_us()


def test_nothing_is_removed_by_a_clock_that_has_jumped(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    run_id = create(stub).run_id
    set_retention(stub, run_id, DURATION)
    put(data, run_id, count=5)
    clock.set(clock.now_us() + DAY_US)

    def refused() -> None:
        check_refused(
            lambda: compact(maintenance), Code.FAILED_PRECONDITION, "CLOCK_JUMPED", aheadSeconds="86400"
        )

    refused()
    jump = maintenance.GetStatus(pb.GetStatusRequest()).retention.clock_jump
    assert jump.ahead.seconds == 86_400
    assert jump.resume_time.ToMicroseconds() == clock.now_us() + DAY_US
    assert compact(maintenance, dry_run=True)[1].versions == 4
    assert versions(data, run_id) == [5, 4, 3, 2, 1]
    for _ in range(2):
        clock.advance(12 * HOUR_US - 1)
        check_refused(lambda: compact(maintenance), Code.FAILED_PRECONDITION, "CLOCK_JUMPED")
    clock.advance(2)

    assert compact(maintenance)[1].versions == 4


def test_the_caller_can_say_that_the_clock_is_right(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub, clock: ManualClock
) -> None:
    run_id = create(stub).run_id
    set_retention(stub, run_id, DURATION)
    put(data, run_id, count=5)
    clock.set(clock.now_us() + DAY_US)

    assert compact(maintenance, trust_clock=True)[1].versions == 4
    assert compact(maintenance)[1].versions == 0


@ON_DISK
def test_a_server_that_was_down_for_long_asks_first(start: StartServer, clock: ManualClock) -> None:
    server = start()
    clock.advance(DAY_US)
    server.restart()
    with grpc.insecure_channel(server.target) as channel:
        maintenance = MaintenanceStub(channel)
        check_refused(lambda: compact(maintenance), Code.FAILED_PRECONDITION, "CLOCK_JUMPED")
        compact(maintenance, trust_clock=True)
        compact(maintenance)


def test_a_dry_run_has_no_clock_to_trust(maintenance: MaintenanceStub) -> None:
    check_refused(
        lambda: compact(maintenance, dry_run=True, trust_clock=True),
        Code.INVALID_ARGUMENT,
        "INVALID_FIELD",
        field="trust_clock",
    )


def test_a_call_that_is_cut_off_loses_nothing(
    stub: Stub, data: RunDataStub, maintenance: MaintenanceStub
) -> None:
    for _ in range(3):
        run_id = create(stub).run_id
        set_retention(stub, run_id, LATEST)
        put(data, run_id, count=3)
    call = maintenance.Compact(pb.CompactRequest())
    first = next(iter(call))
    call.cancel()
    runs, _ = compact(maintenance)

    assert len({first.run.run_id, *(run.run_id for run in runs)}) <= 3
    for run in stub.ListRuns(index_pb.ListRunsRequest()).runs:
        if run.run_id != DEFAULT:
            assert versions(data, run.run_id) == [3, 2]


@ON_DISK
def test_a_changed_default_reaches_what_was_there(start: StartServer, clock: ManualClock) -> None:
    server = start()
    stub = server.stub()
    run_ids = [create(stub).run_id for _ in range(3)]
    with grpc.insecure_channel(server.target) as channel:
        for run_id in run_ids:
            put(RunDataStub(channel), run_id, count=4)
    server._options["default_retention"] = RetentionPolicy(keep_latest_n=1)
    server.restart()
    with grpc.insecure_channel(server.target) as channel:
        preview, _ = compact(MaintenanceStub(channel), dry_run=True)
        runs, summary = compact(MaintenanceStub(channel))
        assert sorted(run.run_id for run in runs) == sorted(run_ids)
        assert sorted(preview, key=str) == sorted(runs, key=str)
        assert summary.versions == 9
