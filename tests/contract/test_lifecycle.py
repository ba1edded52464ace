"""The lifecycle: the transitions that the RunIndex plan names, the whole table, and what each sets."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support import methods
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    archive,
    by_state,
    cancel,
    check_refused,
    close,
    create,
    create_in,
    fail,
    get,
    micros,
    pause,
    resume,
)
from tests.support.clock import SECOND_US, ManualClock

ACTIVE: Final = pb.RUN_STATE_ACTIVE
PAUSED: Final = pb.RUN_STATE_PAUSED
COMPLETED: Final = pb.RUN_STATE_COMPLETED
FAILED: Final = pb.RUN_STATE_FAILED
CANCELLED: Final = pb.RUN_STATE_CANCELLED
ARCHIVED: Final = pb.RUN_STATE_ARCHIVED

CANONICAL: Final[Mapping[int, frozenset[int]]] = {
    ACTIVE: frozenset({COMPLETED, FAILED, CANCELLED, PAUSED, ARCHIVED}),
    PAUSED: frozenset({ACTIVE, CANCELLED, ARCHIVED}),
    COMPLETED: frozenset({ARCHIVED}),
    FAILED: frozenset({ARCHIVED}),
    CANCELLED: frozenset({ARCHIVED}),
    ARCHIVED: frozenset(),
}
"""The plan's table, written again."""

MOVES: Final[Mapping[int, Callable[[Stub, str], Any]]] = {
    ACTIVE: resume,
    PAUSED: pause,
    COMPLETED: close,
    FAILED: fail,
    CANCELLED: cancel,
    ARCHIVED: archive,
}


def check_moves(stub: Stub, clock: ManualClock, from_state: int, to_state: int) -> pb.Run:
    """Move a new run from one state to another, check what every transition promises, and return the run."""
    before = create_in(stub, from_state, tags=["t"], metadata={"k": 1}, parent=DEFAULT)
    now_us = clock.advance(SECOND_US)

    answer = MOVES[to_state](stub, before.run_id)

    after = get(stub, before.run_id)
    assert after.state == to_state
    assert answer.version == after.version == before.version + 1
    assert answer.revision == after.revision > before.revision
    assert answer.update_time == after.update_time
    assert micros(after.update_time) == now_us
    assert after.create_time == before.create_time
    assert (after.tags, after.metadata, after.parent_run_id) == (before.tags, before.metadata, DEFAULT)
    assert before.run_id in by_state(stub, to_state)
    assert before.run_id not in by_state(stub, from_state)
    return after


def check_cannot(stub: Stub, from_state: int, to_state: int) -> None:
    """Try a transition that the table has not, and check the refusal and that the run stays as it was."""
    before = create_in(stub, from_state)

    refusal = check_refused(
        lambda: MOVES[to_state](stub, before.run_id),
        Code.FAILED_PRECONDITION,
        "INVALID_STATE_TRANSITION",
        runId=before.run_id,
        fromState=pb.RunState.Name(from_state),
        toState=pb.RunState.Name(to_state),
    )

    allowed = refusal.metadata["allowedStates"]
    expected = {pb.RunState.Name(state) for state in CANONICAL[from_state]}
    assert set(allowed.split(",") if allowed else ()) == expected
    assert refusal.revision == before.revision
    assert get(stub, before.run_id) == before


def check_finished(run: pb.Run, outcome: int) -> None:
    """Check that a run has just finished in a state."""
    assert run.outcome == outcome
    assert run.end_time == run.update_time
    assert micros(run.duration) == micros(run.end_time) - micros(run.create_time) > 0


def check_unfinished(run: pb.Run) -> None:
    """Check that a run has neither an end nor what comes with it."""
    assert run.outcome == pb.RUN_STATE_UNSPECIFIED
    assert not run.HasField("end_time")
    assert not run.HasField("duration")
    assert not run.HasField("error")


def check_archived_with(run: pb.Run, finished: pb.Run) -> None:
    """Check that an archived run kept how it finished."""
    assert run.outcome == finished.outcome
    assert run.end_time == finished.end_time
    assert run.duration == finished.duration
    assert run.HasField("error") == finished.HasField("error")
    assert run.error == finished.error


def test_active_to_completed(stub: Stub, clock: ManualClock) -> None:
    """Closing sets end, duration and outcome, and no error."""
    run = check_moves(stub, clock, ACTIVE, COMPLETED)

    check_finished(run, COMPLETED)
    assert not run.HasField("error")


def test_active_to_failed(stub: Stub, clock: ManualClock) -> None:
    """Failing sets end, duration and outcome, and keeps the error."""
    run = check_moves(stub, clock, ACTIVE, FAILED)

    check_finished(run, FAILED)
    assert run.error == "it broke"


def test_active_to_cancelled(stub: Stub, clock: ManualClock) -> None:
    """Cancelling sets end, duration and outcome, and no error."""
    run = check_moves(stub, clock, ACTIVE, CANCELLED)

    check_finished(run, CANCELLED)
    assert not run.HasField("error")


def test_active_to_paused(stub: Stub, clock: ManualClock) -> None:
    """A paused run has not ended."""
    check_unfinished(check_moves(stub, clock, ACTIVE, PAUSED))


def test_active_to_archived(stub: Stub, clock: ManualClock) -> None:
    """A run archived before it finished ends then, without an outcome."""
    run = check_moves(stub, clock, ACTIVE, ARCHIVED)

    check_finished(run, pb.RUN_STATE_UNSPECIFIED)
    assert not run.HasField("error")


def test_paused_to_active(stub: Stub, clock: ManualClock) -> None:
    """A resumed run is as it was before, and can be paused again."""
    run = check_moves(stub, clock, PAUSED, ACTIVE)

    check_unfinished(run)
    assert pause(stub, run.run_id).version == run.version + 1


def test_paused_to_cancelled(stub: Stub, clock: ManualClock) -> None:
    """A paused run can be cancelled as it is."""
    check_finished(check_moves(stub, clock, PAUSED, CANCELLED), CANCELLED)


def test_paused_to_archived(stub: Stub, clock: ManualClock) -> None:
    """A paused run that is archived has no outcome."""
    check_finished(check_moves(stub, clock, PAUSED, ARCHIVED), pb.RUN_STATE_UNSPECIFIED)


@pytest.mark.parametrize("state", [COMPLETED, FAILED, CANCELLED], ids=pb.RunState.Name)
def test_archiving_keeps_how_a_run_finished(stub: Stub, clock: ManualClock, state: int) -> None:
    """Outcome, end, duration and error outlive archiving, however much later it comes."""
    finished = create_in(stub, state)
    clock.advance(SECOND_US)

    archive(stub, finished.run_id)

    check_archived_with(get(stub, finished.run_id), finished)
    assert finished.outcome == state


def test_completed_to_archived(stub: Stub, clock: ManualClock) -> None:
    """A completed run that was archived still counts as completed."""
    assert check_moves(stub, clock, COMPLETED, ARCHIVED).outcome == COMPLETED


def test_failed_to_archived(stub: Stub, clock: ManualClock) -> None:
    """A failed run that was archived still counts as failed, and says why."""
    run = check_moves(stub, clock, FAILED, ARCHIVED)

    assert (run.outcome, run.error) == (FAILED, "it broke")


def test_cancelled_to_archived(stub: Stub, clock: ManualClock) -> None:
    """A cancelled run that was archived still counts as cancelled."""
    assert check_moves(stub, clock, CANCELLED, ARCHIVED).outcome == CANCELLED


def test_completed_cannot_activate(stub: Stub) -> None:
    """No resurrection."""
    check_cannot(stub, COMPLETED, ACTIVE)


def test_failed_cannot_activate(stub: Stub) -> None:
    """No resurrection."""
    check_cannot(stub, FAILED, ACTIVE)


def test_archived_is_terminal(stub: Stub) -> None:
    """Nothing leaves ARCHIVED."""
    for to_state in STATES:
        check_cannot(stub, ARCHIVED, to_state)


def test_paused_cannot_complete(stub: Stub) -> None:
    """A paused run must be resumed before it can succeed."""
    check_cannot(stub, PAUSED, COMPLETED)


def test_close_default_run_error(stub: Stub) -> None:
    """The default run cannot be closed."""
    check_refused(
        lambda: close(stub, DEFAULT),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
        operation="close",
    )

    assert get(stub, DEFAULT).version == 1


def test_transition_not_found_error(stub: Stub) -> None:
    """A run that does not exist has no lifecycle."""
    for move in MOVES.values():
        check_refused(
            lambda move=move: move(stub, UNKNOWN_ID), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID
        )


# Beside the plan's.


@pytest.mark.parametrize("to_state", STATES, ids=pb.RunState.Name)
@pytest.mark.parametrize("from_state", STATES, ids=pb.RunState.Name)
def test_the_table_is_total(stub: Stub, clock: ManualClock, from_state: int, to_state: int) -> None:
    """Each of the 36 pairs is allowed exactly when the canonical table says so; no state leads to itself."""
    if to_state in CANONICAL[from_state]:
        check_moves(stub, clock, from_state, to_state)
    else:
        check_cannot(stub, from_state, to_state)


@pytest.mark.parametrize("name", [*methods.LIFECYCLE, "DeleteRun"])
def test_the_default_run_refuses_every_transition(stub: Stub, name: str) -> None:
    """It is immortal; the refusal names the operation and the revision."""
    verb = name.removesuffix("Run").lower()
    before = get(stub, DEFAULT)

    refusal = check_refused(
        lambda: methods.call(stub, name, methods.build(name, DEFAULT)),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
        operation=verb,
    )

    assert refusal.revision == before.revision
    assert get(stub, DEFAULT) == before


def test_the_error_is_kept_as_it_was_given(stub: Stub) -> None:
    """White space around it and line breaks inside it stay."""
    error = "  Traceback:\n\tValueError: ünïcode 🚀\n"
    run_id = create(stub).run_id

    fail(stub, run_id, error)

    assert get(stub, run_id).error == error


@pytest.mark.parametrize("error", ["", " ", "\n\t ", "\u00a0\u3000"])
def test_an_error_without_words_is_refused(stub: Stub, error: str) -> None:
    """Present but empty, or only white space, is as good as absent."""
    run = create(stub)

    check_refused(
        lambda: fail(stub, run.run_id, error), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="error"
    )

    assert get(stub, run.run_id) == run


def test_pausing_and_resuming_never_ends(stub: Stub) -> None:
    """A run may be paused and resumed any number of times, one version each."""
    run_id = create(stub).run_id

    for turn in range(5):
        assert pause(stub, run_id).version == 2 * turn + 2
        assert resume(stub, run_id).version == 2 * turn + 3

    assert close(stub, run_id).version == 12


def test_a_duration_spans_pauses(stub: Stub, clock: ManualClock) -> None:
    """The duration is the end less the creation, paused time included."""
    clock.advance(SECOND_US)
    run_id = create(stub).run_id
    clock.advance(SECOND_US)
    pause(stub, run_id)
    clock.advance(10 * SECOND_US)
    resume(stub, run_id)
    clock.advance(SECOND_US + 7)

    close(stub, run_id)

    assert micros(get(stub, run_id).duration) == 12 * SECOND_US + 7


def test_a_run_that_ends_at_once_has_a_duration(stub: Stub) -> None:
    """Zero is set, not absent."""
    run_id = create(stub).run_id

    close(stub, run_id)

    run = get(stub, run_id)
    assert run.HasField("duration")
    assert micros(run.duration) == 0
