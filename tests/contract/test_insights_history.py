"""The history of a run: every change of its state and no other change, for as long as the run is there."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import (
    CALLS_AT_ONCE,
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    add_tags,
    archive,
    cancel,
    check_refused,
    close,
    create,
    create_in,
    delete,
    fail,
    get,
    micros,
    pause,
    resume,
    set_retention,
    update,
)
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import Data, put, revision_of
from tests.support.histories import (
    ask,
    go_on_and_off,
    history,
)
from tests.support.insight_methods import Insights
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import ON_DISK

UNSPECIFIED, ACTIVE, PAUSED, COMPLETED, FAILED, CANCELLED, ARCHIVED = index_pb.RunState.values()
KEEP_1: Final = index_pb.RetentionPolicy(keep_latest_n=1)


def steps(insights: Insights, run_id: str) -> list[tuple[int, int, int]]:
    """Return what the transitions of a run lead from and to, and its versions after them."""
    return [(each.from_state, each.to_state, each.version) for each in history(insights, run_id)]


def test_a_new_run_has_been_created(stub: Stub, insights: Insights) -> None:
    """And nothing else; by whom is not told as long as callers are not."""
    run = create(stub)

    answer = ask(insights, run.run_id)

    created = pb.RunTransition(to_state=ACTIVE, time=run.create_time, version=1)
    assert list(answer.transitions) == [created]
    assert answer.next_page_token == ""
    assert answer.revision == revision_of(stub)
    assert history(insights, DEFAULT) == [
        pb.RunTransition(to_state=ACTIVE, time=get(stub, DEFAULT).create_time, version=1)
    ]


def test_each_transition_is_told(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """From, to, when and with which version: those that the call itself has answered."""
    run = create(stub)
    expected = [(UNSPECIFIED, ACTIVE, 1, micros(run.create_time))]
    ways: list[tuple[Callable[[Stub, str], Any], int, int]] = [
        (pause, ACTIVE, PAUSED),
        (resume, PAUSED, ACTIVE),
        (pause, ACTIVE, PAUSED),
        (resume, PAUSED, ACTIVE),
        (fail, ACTIVE, FAILED),
        (archive, FAILED, ARCHIVED),
    ]
    for change, from_state, to_state in ways:
        clock.advance(SECOND_US + 7)
        answer = change(stub, run.run_id)
        expected.append((from_state, to_state, answer.version, micros(answer.update_time)))
        found = history(insights, run.run_id)
        told = [(each.from_state, each.to_state, each.version, micros(each.time)) for each in found]
        assert told == expected
        assert not any(each.actor for each in found)


@pytest.mark.parametrize("state", STATES, ids=index_pb.RunState.Name)
def test_the_last_transition_leads_to_the_state(stub: Stub, insights: Insights, state: int) -> None:
    """In which the run is."""
    run = create_in(stub, state)

    last = history(insights, run.run_id)[-1]

    assert (last.to_state, last.version, last.time) == (run.state, run.version, run.update_time)


def test_other_changes_are_no_transitions(
    stub: Stub, insights: Insights, data: Data, clock: ManualClock
) -> None:
    """But they take versions of their own."""
    run_id = create(stub).run_id
    clock.advance(SECOND_US)
    update(stub, run_id, {"k": 1})
    add_tags(stub, run_id, "t")
    close(stub, run_id)
    add_tags(stub, run_id, "late")
    put(data, run_id, "k", 1)
    set_retention(stub, run_id, KEEP_1)
    archive(stub, run_id)

    assert steps(insights, run_id) == [
        (UNSPECIFIED, ACTIVE, 1),
        (ACTIVE, COMPLETED, 4),
        (COMPLETED, ARCHIVED, 7),
    ]


def test_what_is_refused_leaves_no_transition(stub: Stub, insights: Insights) -> None:
    """Nor does a request that is repeated leave another one."""
    run_id = create(stub).run_id
    request = index_pb.CloseRunRequest(run_id=run_id, request_id="r")
    for _ in range(3):
        stub.CloseRun(request)
    for change in (close, cancel, pause):
        check_refused(
            lambda change=change: change(stub, run_id),
            Code.FAILED_PRECONDITION,
            "INVALID_STATE_TRANSITION",
        )

    assert steps(insights, run_id) == [(UNSPECIFIED, ACTIVE, 1), (ACTIVE, COMPLETED, 2)]


def test_retention_does_not_thin_out_a_history(
    stub: Stub, insights: Insights, clock: ManualClock, server: RunningServer
) -> None:
    """It acts on data."""
    run_id = create(stub).run_id
    set_retention(stub, run_id, KEEP_1)
    go_on_and_off(stub, run_id, 6)
    set_retention(stub, run_id, index_pb.RetentionPolicy(keep_latest_n=2))
    before = history(insights, run_id)
    clock.advance(DAY_US)
    server.run_jobs()

    assert len(before) == 7
    assert history(insights, run_id) == before


@pytest.mark.parametrize("erased", [False, True])
def test_a_deleted_run_has_no_history(
    stub: Stub, insights: Insights, server: RunningServer, loop: LoopThread, *, erased: bool
) -> None:
    """One that is created again under the id has its own from the first moment, and later."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 3)
    delete(stub, run_id)
    check_refused(lambda: ask(insights, run_id), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id)
    if erased:
        server.run_jobs()

    create(stub, run_id=run_id)
    assert steps(insights, run_id) == [(UNSPECIFIED, ACTIVE, 1)]
    close(stub, run_id)
    server.run_jobs()

    assert steps(insights, run_id) == [(UNSPECIFIED, ACTIVE, 1), (ACTIVE, COMPLETED, 2)]
    loop.run(check_store(server.store))


def test_runs_have_their_own_histories(stub: Stub, insights: Insights) -> None:
    """Whatever their ids are like."""
    first, second = UNKNOWN_ID, UNKNOWN_ID[:-1] + "7"
    for run_id in (first, second):
        create(stub, run_id=run_id)
    go_on_and_off(stub, first, 3)
    cancel(stub, second)

    assert len(history(insights, first)) == 4
    assert steps(insights, second) == [(UNSPECIFIED, ACTIVE, 1), (ACTIVE, CANCELLED, 2)]
    assert steps(insights, f"{{{second.upper()}}}") == steps(insights, second)


@ON_DISK
def test_a_history_outlives_a_restart(stub: Stub, insights: Insights, server: RunningServer) -> None:
    """And so does a token of a page."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 4)
    before = history(insights, run_id)
    first = ask(insights, run_id, page_size=2)

    server.restart()

    after = server.insights_stub()
    assert history(after, run_id) == before
    rest = ask(after, run_id, page_token=first.next_page_token)
    assert [*first.transitions, *rest.transitions] == before


def test_transitions_made_at_the_same_time_are_all_told(stub: Stub, insights: Insights) -> None:
    """Exactly those that succeeded, each leading on from the one before."""
    run_id = create(stub).run_id
    requests = [
        call.future(request(run_id=run_id))
        for _ in range(CALLS_AT_ONCE // 2)
        for call, request in (
            (stub.PauseRun, index_pb.PauseRunRequest),
            (stub.ResumeRun, index_pb.ResumeRunRequest),
        )
    ]
    made = sorted(each.result().version for each in requests if each.exception() is None)

    found = history(insights, run_id)

    assert [each.version for each in found] == [1, *made]
    state = UNSPECIFIED
    for each in found:
        assert each.from_state == state
        state = each.to_state
    assert state == get(stub, run_id).state
