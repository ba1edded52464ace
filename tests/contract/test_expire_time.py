"""`Run.expire_time`: when retention deletes a run, told wherever the run is."""

from typing import Final

import pytest
from google.protobuf.duration_pb2 import Duration

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    STATES,
    Stub,
    archive,
    close,
    create,
    get,
    get_retention,
    lead,
    micros,
    set_retention,
)
from tests.support.clock import DAY_US, SECOND_US, ManualClock

KEEP_ALL: Final = pb.RetentionPolicy(keep_all=pb.KeepAll())
KEEP_3: Final = pb.RetentionPolicy(keep_latest_n=3)
KEEP_HOUR: Final = pb.RetentionPolicy(keep_duration=Duration(seconds=3_600))
DELETE_AFTER_DAY: Final = pb.RetentionPolicy(delete_after=Duration(seconds=86_400))
DURATION_MAX: Final = Duration(seconds=315_576_000_000)


@pytest.mark.parametrize("end", STATES, ids=pb.RunState.Name)
def test_an_ended_run_under_delete_after_expires(stub: Stub, clock: ManualClock, end: int) -> None:
    """In every listing alike; before the end nobody knows when."""
    run_id = create(stub).run_id
    set_retention(stub, run_id, DELETE_AFTER_DAY)
    assert not get(stub, run_id).HasField("expire_time")
    clock.advance(SECOND_US)

    run = lead(stub, run_id, end)

    assert run.HasField("expire_time") == run.HasField("end_time")
    if run.HasField("expire_time"):
        assert micros(run.expire_time) == micros(run.end_time) + DAY_US
    listed = stub.ListRuns(pb.ListRunsRequest(states=STATES)).runs
    assert run in list(listed)


@pytest.mark.parametrize("policy", [KEEP_3, KEEP_HOUR, KEEP_ALL], ids=lambda p: p.WhichOneof("policy"))
def test_a_run_under_another_policy_never_expires(stub: Stub, policy: pb.RetentionPolicy) -> None:
    """Nor one whose policy was changed to such a one."""
    run_id = create(stub).run_id
    close(stub, run_id)
    assert not get(stub, run_id).HasField("expire_time")
    set_retention(stub, run_id, DELETE_AFTER_DAY)
    assert get(stub, run_id).HasField("expire_time")

    set_retention(stub, run_id, policy)

    assert not get(stub, run_id).HasField("expire_time")


def test_archiving_leaves_the_expiry(stub: Stub, clock: ManualClock) -> None:
    """It counts from the end, not from the archiving, and follows the policy of an archived run too."""
    run_id = create(stub).run_id
    set_retention(stub, run_id, DELETE_AFTER_DAY)
    close(stub, run_id)
    expire_time = get(stub, run_id).expire_time
    clock.advance(DAY_US)

    archive(stub, run_id)
    assert get(stub, run_id).expire_time == expire_time

    set_retention(stub, run_id, pb.RetentionPolicy(delete_after=Duration(seconds=2 * 86_400)))
    assert micros(get(stub, run_id).expire_time) == micros(expire_time) + DAY_US


def test_an_expiry_after_the_year_9999_is_none(stub: Stub) -> None:
    """What a Timestamp cannot tell is never."""
    last_us = 253_402_300_799_999_999
    run_id = create(stub).run_id
    close(stub, run_id)
    end_us = micros(get(stub, run_id).end_time)

    for more_us, is_told in ((0, True), (1, False)):
        seconds, rest_us = divmod(last_us + more_us - end_us, SECOND_US)
        policy = pb.RetentionPolicy(delete_after=Duration(seconds=seconds, nanos=1_000 * rest_us))
        set_retention(stub, run_id, policy)
        assert get(stub, run_id).HasField("expire_time") == is_told
        assert get_retention(stub, run_id) == policy

    set_retention(stub, run_id, pb.RetentionPolicy(delete_after=DURATION_MAX))
    assert not get(stub, run_id).HasField("expire_time")
