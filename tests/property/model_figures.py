"""Figures as the model has them: added up over the runs each time, percentiles by nearest rank."""

from collections.abc import Iterable
from typing import Any, Final

from tests.property.model_arguments import Answer
from tests.property.model_run import FAILED, FINISHED, STATES, ModelRun

PERCENTILES: Final = {"p50": 50, "p90": 90, "p99": 99}
OFF_PER_MILLE_MAX: Final = 8
"""How far a percentile may be away from the duration of the run that stands there."""

MEAN_OFF_US_MAX: Final = 1
"""How far a mean may be from one that is rounded down."""


def state_counts(runs: Iterable[ModelRun], states: Iterable[int] = STATES) -> list[Answer]:
    """Return one row for each of the states, in their order."""
    there = [run.state for run in runs]
    return [_row(state, there.count(state)) for state in states]


def states_that_occur(runs: Iterable[ModelRun]) -> list[Answer]:
    """Return one row for each state that occurs."""
    return [row for row in state_counts(runs) if "count" in row]


def finished(runs: Iterable[ModelRun]) -> Answer:
    """Return the figures of those runs that have finished: their percentiles are those of runs."""
    ended = [run for run in runs if run.outcome is not None]
    outcomes = [run.outcome for run in ended]
    answer: Answer = {"by_outcome": [_row(outcome, outcomes.count(outcome)) for outcome in FINISHED]}
    if ended:
        answer["count"] = len(ended)
        answer["error_rate"] = outcomes.count(FAILED) / len(ended)
        answer["durations"] = _durations([run.duration_us or 0 for run in ended])
    return answer


def _durations(durations_us: list[int]) -> Answer:
    ranked = sorted(durations_us)
    # At least so many per cent took so long or less: counted from 1, rounded up.
    ranks = {name: -(-percent * len(ranked) // 100) for name, percent in PERCENTILES.items()}
    return {
        "mean": sum(ranked) // len(ranked),
        **{name: ranked[rank - 1] for name, rank in ranks.items()},
    }


def _row(state: int, count: int) -> Answer:
    return {"state": state, "count": count} if count else {"state": state}


def made_exact(found: Any, expected: Any) -> Any:
    """Return an answer, its means and percentiles replaced by those expected that they are near enough to."""
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [made_exact(*pair) for pair in zip(found, expected, strict=True)]
    if isinstance(found, dict) and isinstance(expected, dict):
        return {
            name: expected[name]
            if name in ("mean", *PERCENTILES) and _is_near(name, value, expected.get(name))
            else made_exact(value, expected.get(name))
            for name, value in found.items()
        }
    return found


def _is_near(name: str, found_us: int, expected_us: int | None) -> bool:
    if expected_us is None:
        return False
    off_us = abs(found_us - expected_us)
    return off_us <= MEAN_OFF_US_MAX if name == "mean" else off_us * 1_000 <= OFF_PER_MILLE_MAX * expected_us
