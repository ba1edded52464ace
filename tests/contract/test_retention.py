"""Retention policies, declared here and enforced elsewhere: the plan's tests, and ours beside them."""

from typing import Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Restart,
    Stub,
    archive,
    check_refused,
    close,
    create,
    create_in,
    get,
    get_retention,
    list_ids,
    micros,
    search_ids,
    set_retention,
    struct,
    update,
)
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.server import RunningServer
from tests.support.stores import IN_MEMORY, ON_DISK

KEEP_ALL: Final = pb.RetentionPolicy(keep_all=pb.KeepAll())
KEEP_3: Final = pb.RetentionPolicy(keep_latest_n=3)
KEEP_HOUR: Final = pb.RetentionPolicy(keep_duration=Duration(seconds=3_600))
DELETE_AFTER_DAY: Final = pb.RetentionPolicy(delete_after=Duration(seconds=86_400))
DURATION_MAX: Final = Duration(seconds=315_576_000_000)


def test_set_retention_keep_all(stub: Stub, clock: ManualClock) -> None:
    """Keeping everything takes the place of another policy."""
    run = create(stub)
    set_retention(stub, run.run_id, KEEP_3)
    now_us = clock.advance(SECOND_US)

    answer = set_retention(stub, run.run_id, KEEP_ALL)

    assert answer.version == 3
    assert micros(answer.update_time) == now_us
    assert get_retention(stub, run.run_id) == KEEP_ALL


def test_set_retention_keep_latest(stub: Stub, clock: ManualClock) -> None:
    """A policy moves version, update time and revision of the run, and nothing else of it."""
    run = create(stub, metadata={"k": 1}, tags=["t"])
    now_us = clock.advance(SECOND_US)

    answer = set_retention(stub, run.run_id, KEEP_3)

    assert answer.version == 2
    assert answer.revision > run.revision
    assert micros(answer.update_time) == now_us
    assert get_retention(stub, run.run_id) == KEEP_3
    expected = pb.Run()
    expected.CopyFrom(run)
    expected.version = 2
    expected.revision = answer.revision
    expected.update_time.CopyFrom(answer.update_time)
    assert get(stub, run.run_id) == expected


@pytest.mark.parametrize("kind", ["keep_duration", "delete_after"])
@pytest.mark.parametrize(
    "duration",
    [Duration(nanos=1_000), Duration(seconds=1), Duration(seconds=90, nanos=123_456_000), DURATION_MAX],
    ids=lambda duration: f"{duration.seconds}.{duration.nanos:09}",
)
def test_set_retention_keep_duration(stub: Stub, kind: str, duration: Duration) -> None:
    """Durations come back to the microsecond."""
    run_id = create(stub).run_id
    policy = pb.RetentionPolicy(**{kind: duration})  # type: ignore[arg-type] # one of two fields

    assert set_retention(stub, run_id, policy).version == 2

    assert get_retention(stub, run_id) == policy


def test_get_retention_default(stub: Stub) -> None:
    """A run on which none was set keeps everything, and the answer says so."""
    run = create(stub)

    answer = stub.GetRunRetention(pb.GetRunRetentionRequest(run_id=run.run_id))

    assert answer.policy == KEEP_ALL
    assert answer.policy.WhichOneof("policy") == "keep_all"
    assert answer.revision == run.revision


@pytest.mark.parametrize(
    "policy", [KEEP_3, KEEP_HOUR, DELETE_AFTER_DAY, KEEP_ALL], ids=lambda policy: policy.WhichOneof("policy")
)
def test_get_retention_after_set(stub: Stub, policy: pb.RetentionPolicy) -> None:
    """The last policy that was set holds, of whatever kind the one before was."""
    run_id = create(stub).run_id

    for before in (KEEP_HOUR, KEEP_3, DELETE_AFTER_DAY, KEEP_3):
        set_retention(stub, run_id, before)
        set_retention(stub, run_id, policy)
        assert get_retention(stub, run_id) == policy


@pytest.mark.parametrize("metadata", [{"k": 2}, {"k": None}, {}])
@pytest.mark.parametrize("merge", [False, True])
def test_retention_persists_metadata(stub: Stub, metadata: dict[str, Any], *, merge: bool) -> None:
    """A policy leaves metadata, and a replace or merge of metadata leaves the policy."""
    run_id = create(stub, metadata={"k": 1}).run_id
    set_retention(stub, run_id, KEEP_3)
    assert get(stub, run_id).metadata == struct({"k": 1})

    update(stub, run_id, metadata, merge=merge)

    assert get_retention(stub, run_id) == KEEP_3


def test_retention_not_found_error(stub: Stub) -> None:
    """A missing run has no policy and takes none."""
    for call in (lambda: get_retention(stub, UNKNOWN_ID), lambda: set_retention(stub, UNKNOWN_ID, KEEP_3)):
        check_refused(call, Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID)


# Beside the plan's.


def test_a_policy_is_out_of_sight(stub: Stub) -> None:
    """No view, listing or search shows the reserved key under which it is kept."""
    run_id = create(stub, metadata={"k": 1}).run_id
    bare = create(stub).run_id
    for each in (run_id, bare):
        set_retention(stub, each, KEEP_3)

    for run in (get(stub, run_id), *stub.ListRuns(pb.ListRunsRequest()).runs):
        assert set(run.metadata.fields) <= {"k"}
    assert not get(stub, bare).HasField("metadata")
    for query in ("_strata_retention", "meta._strata_retention:3", "_strata*", "keep_latest_n"):
        assert search_ids(stub, query) == []


@pytest.mark.parametrize("key", ["_strata_retention", "_strata_", "_strata_anything"])
def test_reserved_keys_are_refused(stub: Stub, key: str) -> None:
    """Nobody can forge a policy: not by a create, a replace, a merge, or a null that would remove it."""
    run_id = create(stub).run_id
    set_retention(stub, run_id, KEEP_3)
    forged = {"k": 1, key: {"keep_latest_n": 1}}

    for call in (
        lambda: create(stub, metadata=forged),
        lambda: create(stub, metadata=forged, parent=DEFAULT),
        lambda: update(stub, run_id, forged),
        lambda: update(stub, run_id, forged, merge=True),
        lambda: update(stub, run_id, {key: None}, merge=True),
    ):
        check_refused(
            call,
            Code.INVALID_ARGUMENT,
            "RESERVED_METADATA_KEY",
            field="metadata",
            key=key,
            reservedPrefix="_strata_",
        )
    assert get_retention(stub, run_id) == KEEP_3


def test_the_prefix_is_reserved_at_the_top_level_only(stub: Stub) -> None:
    """Nested keys, other cases and keys that only hold the prefix are the caller's."""
    metadata = {"nested": {"_strata_retention": 1}, "_Strata_x": 2, "my_strata_x": 3, "_strata": 4}

    assert create(stub, metadata=metadata).metadata == struct(metadata)


@pytest.mark.parametrize(
    "policy", [KEEP_3, KEEP_HOUR, DELETE_AFTER_DAY], ids=lambda policy: policy.WhichOneof("policy")
)
def test_an_equal_policy_changes_nothing(stub: Stub, clock: ManualClock, policy: pb.RetentionPolicy) -> None:
    """The answer has the old version and update time, and the store's revision."""
    run_id = create(stub).run_id
    first = set_retention(stub, run_id, policy)
    other = create(stub)
    clock.advance(SECOND_US)

    again = set_retention(stub, run_id, policy)

    assert (again.version, again.update_time) == (first.version, first.update_time)
    assert again.revision == other.revision


def test_keep_all_on_a_run_without_a_policy_changes_nothing(stub: Stub) -> None:
    """It is the same as no policy."""
    run = create(stub)

    assert set_retention(stub, run.run_id, KEEP_ALL).version == 1
    assert get(stub, run.run_id) == run


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_a_policy_is_taken_in_every_state(stub: Stub, state: int) -> None:
    """Archived runs included; the state stays, and so do outcome and end."""
    run = create_in(stub, state)

    assert set_retention(stub, run.run_id, DELETE_AFTER_DAY).version == run.version + 1

    after = get(stub, run.run_id)
    assert (after.state, after.outcome, after.end_time) == (run.state, run.outcome, run.end_time)
    assert get_retention(stub, run.run_id) == DELETE_AFTER_DAY


def test_a_policy_outlives_transitions(stub: Stub) -> None:
    """It stays until another is set."""
    run_id = create(stub).run_id
    set_retention(stub, run_id, KEEP_3)
    close(stub, run_id)
    archive(stub, run_id)

    assert get_retention(stub, run_id) == KEEP_3


def test_setting_a_policy_removes_nothing(server: RunningServer, stub: Stub, clock: ManualClock) -> None:
    """A policy by which a run is due leaves it, and so does the background work of this service."""
    run_id = create(stub).run_id
    close(stub, run_id)
    clock.advance(2 * DAY_US)

    set_retention(stub, run_id, DELETE_AFTER_DAY)

    assert list_ids(stub) == [run_id, DEFAULT]


@pytest.mark.parametrize(
    "policy", [KEEP_3, KEEP_HOUR, KEEP_ALL], ids=lambda policy: policy.WhichOneof("policy")
)
def test_the_default_run_takes_policies(stub: Stub, policy: pb.RetentionPolicy) -> None:
    """All but the one that would delete it."""
    set_retention(stub, DEFAULT, KEEP_HOUR)
    set_retention(stub, DEFAULT, policy)

    assert get_retention(stub, DEFAULT) == policy


def test_the_default_run_is_never_deleted_after(stub: Stub) -> None:
    """The refusal is the one of everything that would end it."""
    refusal = check_refused(
        lambda: set_retention(stub, DEFAULT, DELETE_AFTER_DAY),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
    )

    assert refusal.revision == get(stub, DEFAULT).revision
    assert get_retention(stub, DEFAULT) == KEEP_ALL


def test_a_policy_is_required(stub: Stub) -> None:
    """A call without one says nothing."""
    run_id = create(stub).run_id
    request = pb.SetRunRetentionRequest(run_id=run_id)

    check_refused(
        lambda: stub.SetRunRetention(request), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="policy"
    )


BAD_DURATIONS: Final = (
    Duration(),
    Duration(seconds=-1),
    Duration(nanos=-1_000),
    Duration(seconds=1, nanos=-1_000),
    Duration(nanos=999),
    Duration(nanos=1_500),
    Duration(seconds=1, nanos=1),
    Duration(seconds=315_576_000_001),
    Duration(seconds=315_576_000_000, nanos=1_000),
    Duration(seconds=2**63 - 1),
    Duration(seconds=-(2**63)),
    Duration(nanos=1_000_000_000),
)


@IN_MEMORY
@pytest.mark.parametrize(
    "policy",
    [
        pb.RetentionPolicy(),
        pb.RetentionPolicy(keep_latest_n=0),
        pb.RetentionPolicy(keep_latest_n=2**53 + 1),
        pb.RetentionPolicy(keep_latest_n=2**64 - 1),
        *(pb.RetentionPolicy(keep_duration=duration) for duration in BAD_DURATIONS),
        *(pb.RetentionPolicy(delete_after=duration) for duration in BAD_DURATIONS),
    ],
    ids=lambda policy: " ".join(str(policy).split()) or "none",
)
def test_a_policy_out_of_bounds_is_refused(stub: Stub, policy: pb.RetentionPolicy) -> None:
    """Without a kind; zero, negative, not whole microseconds, not a duration, or too large."""
    run = create(stub)

    refusal = check_refused(
        lambda: set_retention(stub, run.run_id, policy), Code.INVALID_ARGUMENT, "INVALID_RETENTION_POLICY"
    )

    assert refusal.metadata["field"].startswith("policy")
    assert get(stub, run.run_id) == run


@pytest.mark.parametrize("count", [1, 2, 2**53 - 1, 2**53])
def test_keep_latest_n_within_bounds(stub: Stub, count: int) -> None:
    """From 1 to what every client language holds exactly."""
    run_id = create(stub).run_id

    set_retention(stub, run_id, pb.RetentionPolicy(keep_latest_n=count))

    assert get_retention(stub, run_id).keep_latest_n == count


@ON_DISK
def test_policies_persist_across_restart(stub: Stub, restart: Restart) -> None:
    """They are part of the record."""
    made = {}
    for policy in (KEEP_3, KEEP_HOUR, DELETE_AFTER_DAY, KEEP_ALL):
        run_id = create(stub, metadata={"k": 1}).run_id
        set_retention(stub, run_id, policy)
        made[run_id] = policy

    again = restart()

    for run_id, policy in made.items():
        assert get_retention(again, run_id) == policy
        assert get(again, run_id).metadata == struct({"k": 1})


def test_keep_all_on_a_run_without_a_policy_shows_no_change(stub: Stub) -> None:
    """Whether it has ended or not."""
    for end in (pb.RUN_STATE_ACTIVE, pb.RUN_STATE_COMPLETED):
        run = create_in(stub, end)

        answer = set_retention(stub, run.run_id, KEEP_ALL)

        assert (answer.version, answer.update_time) == (run.version, run.update_time)
        assert answer.revision == run.revision
        assert get(stub, run.run_id) == run
        assert get_retention(stub, run.run_id) == KEEP_ALL
