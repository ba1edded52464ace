"""The lifecycle of a run: one table, and what follows from it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from runindex_server.errors import InvalidStateTransition
from runindex_server.schema.run import FINISHED, Run, RunState, run_id_text

ACTIVE, PAUSED, COMPLETED, FAILED, CANCELLED, ARCHIVED = RunState

TRANSITIONS: Final[Mapping[RunState, frozenset[RunState]]] = MappingProxyType(
    {
        ACTIVE: frozenset({COMPLETED, FAILED, CANCELLED, PAUSED, ARCHIVED}),
        PAUSED: frozenset({ACTIVE, CANCELLED, ARCHIVED}),
        COMPLETED: frozenset({ARCHIVED}),
        FAILED: frozenset({ARCHIVED}),
        CANCELLED: frozenset({ARCHIVED}),
        ARCHIVED: frozenset(),
    }
)
"""The canonical transitions, total: one row for each state. Source: the RunIndex plan, Phase 1."""

OPERATIONS: Final[Mapping[RunState, str]] = MappingProxyType(
    {
        COMPLETED: "close",
        PAUSED: "pause",
        ACTIVE: "resume",
        FAILED: "fail",
        CANCELLED: "cancel",
        ARCHIVED: "archive",
    }
)
"""The verb that leads to each state."""


def state_name(state: RunState) -> str:
    """Return a state's name in the contract."""
    return f"RUN_STATE_{state.name}"


def transition(run: Run, to_state: RunState, *, error: str | None = None) -> Run:
    """Return a run in another state; its version and times are the caller's to set.

    Args:
        run: The run.
        to_state: The state to lead it to.
        error: Why it failed, when it does.

    Raises:
        InvalidStateTransition: The table has no such transition.
    """
    if to_state not in TRANSITIONS[run.state]:
        raise InvalidStateTransition(
            run_id_text(run.run_id),
            from_state=state_name(run.state),
            to_state=state_name(to_state),
            allowed_states=tuple(state_name(state) for state in sorted(TRANSITIONS[run.state])),
        )
    outcome = to_state if to_state in FINISHED else run.outcome
    return run._replace(state=to_state, outcome=outcome, error=run.error if error is None else error)
