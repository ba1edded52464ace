"""The lifecycle: the table is total, and nothing but the table decides."""

import itertools

import pytest

from runindex_server.errors import InvalidStateTransition
from runindex_server.runs.lifecycle import OPERATIONS, TRANSITIONS, transition
from runindex_server.schema.run import ENDED, FINISHED, Run, RunId, RunState

ALL_PAIRS = list(itertools.product(RunState, RunState))
PLAN = {
    "ACTIVE": {"COMPLETED", "FAILED", "CANCELLED", "PAUSED", "ARCHIVED"},
    "PAUSED": {"ACTIVE", "CANCELLED", "ARCHIVED"},
    "COMPLETED": {"ARCHIVED"},
    "FAILED": {"ARCHIVED"},
    "CANCELLED": {"ARCHIVED"},
    "ARCHIVED": set(),
}


def run_in(state: RunState) -> Run:
    return Run(
        run_id=RunId(bytes(16)),
        ordinal=1,
        generation=1,
        state=state,
        version=1,
        revision=1,
        create_us=0,
        update_us=0,
        activity_us=0,
    )


def test_the_table_is_that_of_the_plan() -> None:
    assert {row.name: {to.name for to in reachable} for row, reachable in TRANSITIONS.items()} == PLAN


def test_every_state_is_led_to_by_one_operation() -> None:
    assert set(OPERATIONS) == set(RunState)
    assert len(set(OPERATIONS.values())) == len(RunState)


@pytest.mark.parametrize(("from_state", "to_state"), ALL_PAIRS)
def test_each_pair_is_as_the_table_says(from_state: RunState, to_state: RunState) -> None:
    run = run_in(from_state)
    if to_state in TRANSITIONS[from_state]:
        assert transition(run, to_state).state is to_state
        return
    with pytest.raises(InvalidStateTransition) as refused:
        transition(run, to_state)
    allowed = [f"RUN_STATE_{state.name}" for state in sorted(TRANSITIONS[from_state])]
    assert refused.value.metadata["allowedStates"] == ",".join(allowed)


@pytest.mark.parametrize("to_state", sorted(ENDED))
def test_only_finishing_gives_an_outcome(to_state: RunState) -> None:
    outcome = transition(run_in(RunState.ACTIVE), to_state).outcome

    assert outcome is (to_state if to_state in FINISHED else None)


def test_archiving_keeps_outcome_and_error() -> None:
    failed = transition(run_in(RunState.ACTIVE), RunState.FAILED, error="boom")
    archived = transition(failed, RunState.ARCHIVED)

    assert (archived.outcome, archived.error) == (RunState.FAILED, "boom")
