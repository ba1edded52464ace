"""Figures of runs asked for in tests, and what the runs themselves come to."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import (
    STATES,
    Stub,
    add_tags,
    cancel,
    close,
    create,
    fail,
    micros,
    pause,
    remove_tags,
    resume,
)
from tests.support.clock import DAY_US, HOUR_US, SECOND_US, ManualClock
from tests.support.insight_methods import Insights

OUTCOMES: Final = (index_pb.RUN_STATE_COMPLETED, index_pb.RUN_STATE_FAILED, index_pb.RUN_STATE_CANCELLED)
HOUR, DAY = pb.STATS_INTERVAL_HOUR, pb.STATS_INTERVAL_DAY
WIDTHS_US: Final = {HOUR: HOUR_US, DAY: DAY_US}
TAGS: Final = ("a", "ab", "b", "é")
PERCENTILE_ERROR: Final = Fraction(8, 1_000)


def time(us: int) -> Timestamp:
    """Return a time as the contract carries it."""
    return Timestamp(seconds=us // SECOND_US, nanos=us % SECOND_US * 1_000)


def stats(insights: Insights, **fields: Any) -> pb.GetRunStatsResponse:
    """Return figures."""
    return insights.GetRunStats(pb.GetRunStatsRequest(**fields))


def all_runs(stub: Stub) -> list[index_pb.Run]:
    """Return all runs, archived ones included."""
    runs: list[index_pb.Run] = []
    request = index_pb.ListRunsRequest(include_archived=True, page_size=1_000)
    for _ in range(100):
        answer = stub.ListRuns(request)
        runs += answer.runs
        request.page_token = answer.next_page_token
        if not request.page_token:
            return runs
    msg = "pages without end"
    raise AssertionError(msg)


def rows_of(counts: Iterable[index_pb.StateCount]) -> list[tuple[int, int]]:
    """Return states with the number of runs in them."""
    return [(row.state, row.count) for row in counts]


def nearest_rank(durations_us: Sequence[int], percent: int) -> int:
    """Return the shortest duration that so many of a hundred do not pass."""
    ordered = sorted(durations_us)
    return next(us for place, us in enumerate(ordered, start=1) if 100 * place >= percent * len(ordered))


def check_finished(found: pb.FinishedStats, runs: Iterable[index_pb.Run]) -> None:
    """Check figures of finished runs against the runs: percentiles to 0.8 %, all else exactly."""
    ended = [run for run in runs if run.outcome]
    outcomes = Counter(run.outcome for run in ended)
    assert rows_of(found.by_outcome) == [(each, outcomes[each]) for each in OUTCOMES]
    assert found.count == len(ended)
    assert found.HasField("error_rate") == found.HasField("durations") == bool(ended)
    if not ended:
        return
    assert found.error_rate == outcomes[index_pb.RUN_STATE_FAILED] / len(ended)
    durations_us = [micros(run.duration) for run in ended]
    mean_us = Fraction(sum(durations_us), len(ended))
    assert micros(found.durations.mean) == (mean_us + Fraction(1, 2)).__floor__()
    for percent in (50, 90, 99):
        exact_us = nearest_rank(durations_us, percent)
        told_us = micros(getattr(found.durations, f"p{percent}"))
        assert abs(told_us - exact_us) <= PERCENTILE_ERROR * exact_us, percent


def check_states(answer: pb.GetRunStatsResponse, runs: Sequence[index_pb.Run]) -> None:
    """Check the runs by state against the runs."""
    states = Counter(run.state for run in runs)
    assert rows_of(answer.by_state) == [(state, states[state]) for state in STATES]
    assert answer.count == len(runs)


def check_intervals(
    stub: Stub, insights: Insights, interval: Any, start_us: int, end_us: int | None, *, now_us: int = 0
) -> pb.GetRunStatsResponse:
    """Check the figures of intervals against what ListRuns returns, and return them."""
    width_us = WIDTHS_US[interval]
    given = {} if end_us is None else {"end_time": time(end_us)}
    answer = stats(insights, interval=interval, start_time=time(start_us), **given)
    last_us = now_us if end_us is None else end_us - 1
    starts_us = range(start_us // width_us * width_us, last_us + 1, width_us)
    assert [micros(each.start_time) for each in answer.intervals] == list(starts_us)
    runs = all_runs(stub)
    ended: dict[int, list[index_pb.Run]] = {start_us: [] for start_us in starts_us}
    for run in runs:
        ended.setdefault(micros(run.end_time) // width_us * width_us, []).append(run)
    for each, begin_us in zip(answer.intervals, starts_us, strict=True):
        check_finished(each.finished, ended[begin_us])
    check_finished(answer.intervals_finished, [run for begin_us in starts_us for run in ended[begin_us]])
    check_finished(answer.finished, runs)
    check_states(answer, runs)
    return answer


def live(stub: Stub, clock: ManualClock, numbers: random.Random, count: int) -> None:
    """Make runs, and let each take any way that a run may take."""
    for _ in range(count):
        tags = numbers.sample(TAGS, numbers.randrange(len(TAGS)))
        run_id = create(stub, tags=tags).run_id
        clock.advance(int(10 ** numbers.uniform(0, 11)))
        if numbers.random() < 0.2:
            pause(stub, run_id)
        end = numbers.choice([close, close, fail, cancel, None])
        if end is not None and numbers.random() < 0.9:
            resume_if_paused(stub, run_id)
            end(stub, run_id)
        for step in numbers.sample(AFTERWARDS, numbers.randrange(len(AFTERWARDS))):
            clock.advance(numbers.randrange(HOUR_US))
            step(stub, run_id, numbers.choice(TAGS))


def resume_if_paused(stub: Stub, run_id: str) -> None:
    """Let a run go on."""
    run = stub.GetRun(index_pb.GetRunRequest(run_id=run_id)).run
    if run.state == index_pb.RUN_STATE_PAUSED:
        resume(stub, run_id)


AFTERWARDS: Final[tuple[Callable[[Stub, str, str], object], ...]] = (
    add_tags,
    remove_tags,
    lambda stub, run_id, tag: add_tags(stub, run_id, tag, "late"),
)
"""What still happens to runs that may have finished."""
