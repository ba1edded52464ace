"""Figures of runs: exactly what the runs that are listed come to, whatever happened to them."""

import random
from typing import Any

import pytest

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import TAG_BYTES_MAX
from tests.support.calls import (
    DEFAULT,
    Stub,
    archive,
    close,
    create,
    delete,
    fail,
    micros,
)
from tests.support.clock import DAY_US, HOUR_US, SECOND_US, START_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import revision_of
from tests.support.figures import (
    DAY,
    HOUR,
    PERCENTILE_ERROR,
    TAGS,
    all_runs,
    check_finished,
    check_intervals,
    check_states,
    live,
    stats,
    time,
)
from tests.support.insight_methods import Insights
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import ON_DISK


def check_stats(stub: Stub, insights: Insights) -> None:
    """Check all figures, those by tag included, against what ListRuns returns."""
    runs = all_runs(stub)
    answer = stats(insights)
    check_states(answer, runs)
    check_finished(answer.finished, runs)
    assert not answer.intervals
    assert not answer.HasField("intervals_finished")
    assert answer.revision == revision_of(stub)
    for tag in {tag for run in runs for tag in run.tags} | {*TAGS, "absent"}:
        tagged = [run for run in runs if tag in run.tags]
        answer = stats(insights, tag=tag)
        check_states(answer, tagged)
        check_finished(answer.finished, tagged)


def test_figures_of_a_new_store(stub: Stub, insights: Insights) -> None:
    """The default run is counted; nothing has finished."""
    answer = stats(insights)

    assert answer.count == 1
    check_stats(stub, insights)
    check_intervals(stub, insights, HOUR, START_US - HOUR_US, START_US)


def test_figures_are_what_the_runs_come_to(
    stub: Stub, insights: Insights, clock: ManualClock, server: RunningServer, loop: LoopThread
) -> None:
    """Whatever happened: tags that came and went after the end, archiving, deletion, the same id again."""
    numbers = random.Random(5)
    live(stub, clock, numbers, 60)
    check_stats(stub, insights)
    for run in all_runs(stub):
        if run.run_id == DEFAULT:
            continue
        chance = numbers.random()
        if chance < 0.3:
            archive(stub, run.run_id)
            check_stats_of(stub, insights, *run.tags)
        if 0.2 < chance < 0.5:
            delete(stub, run.run_id)
            check_stats_of(stub, insights, *run.tags)
        if 0.4 < chance < 0.5:
            create(stub, run_id=run.run_id, tags=["a"])

    check_stats(stub, insights)
    now_us = clock.now_us()
    check_intervals(stub, insights, DAY, START_US, None, now_us=now_us)
    loop.run(check_store(server.store))


def check_stats_of(stub: Stub, insights: Insights, *tags: str) -> None:
    """Check the figures of some tags."""
    runs = all_runs(stub)
    for tag in tags:
        tagged = [run for run in runs if tag in run.tags]
        answer = stats(insights, tag=tag)
        check_states(answer, tagged)
        check_finished(answer.finished, tagged)


def finish(stub: Stub, clock: ManualClock, *durations_us: int, **fields: Any) -> None:
    """Complete runs that took so long."""
    for duration_us in durations_us:
        run_id = create(stub, **fields).run_id
        clock.set(micros(stub.GetRun(index_pb.GetRunRequest(run_id=run_id)).run.create_time) + duration_us)
        close(stub, run_id)


@pytest.mark.parametrize(
    ("durations_us", "mean_us", "percentiles_us"),
    [
        ([0], 0, (0, 0, 0)),
        ([1], 1, (1, 1, 1)),
        ([1, 2], 2, (1, 2, 2)),
        ([1, 1, 2], 1, (1, 2, 2)),
        ([1, 2, 2], 2, (2, 2, 2)),
        ([5, 4, 3, 2, 1], 3, (3, 5, 5)),
        (list(range(1, 11)), 6, (5, 9, 10)),
        (list(range(1, 101)), 51, (50, 90, 99)),
        (list(range(101)), 50, (50, 90, 99)),
        ([SECOND_US - 1, SECOND_US + 2], SECOND_US + 1, None),
        ([100 * 365 * DAY_US, 1], 50 * 365 * DAY_US + 1, None),
    ],
)
def test_durations(
    stub: Stub,
    insights: Insights,
    clock: ManualClock,
    durations_us: list[int],
    mean_us: int,
    percentiles_us: tuple[int, int, int] | None,
) -> None:
    """The mean, halves rounded up, and nearest ranks; to 127 microseconds these are exact, too."""
    finish(stub, clock, *durations_us, tags=["t"])

    for answer in (stats(insights), stats(insights, tag="t")):
        told = answer.finished.durations
        assert micros(told.mean) == mean_us
        if percentiles_us is not None:
            assert tuple(map(micros, (told.p50, told.p90, told.p99))) == percentiles_us
    check_stats(stub, insights)


def test_one_long_run_does_not_move_the_median(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """And stands alone at the end."""
    finish(stub, clock, *[100] * 9, DAY_US)

    durations = stats(insights).finished.durations

    assert (micros(durations.p50), micros(durations.p90)) == (100, 100)
    assert abs(micros(durations.p99) - DAY_US) <= PERCENTILE_ERROR * DAY_US


def test_archived_runs_count_under_their_outcome(stub: Stub, insights: Insights) -> None:
    """A failed run that was archived still counts as failed; one that was archived unfinished has none."""
    failed, unfinished = (create(stub, tags=["t"]).run_id for _ in range(2))
    fail(stub, failed)
    before = stats(insights).finished
    for run_id in (failed, unfinished):
        archive(stub, run_id)

    for answer in (stats(insights), stats(insights, tag="t")):
        assert answer.finished == before
        assert answer.finished.error_rate == 1.0
        assert {row.state: row.count for row in answer.by_state}[index_pb.RUN_STATE_ARCHIVED] == 2


def without_revision(insights: Insights) -> list[pb.GetRunStatsResponse]:
    """Return figures of all kinds."""
    answers = [
        stats(insights),
        stats(insights, tag="t"),
        stats(insights, interval=DAY, start_time=time(START_US)),
    ]
    for answer in answers:
        answer.ClearField("revision")
    return answers


def test_what_is_deleted_leaves_the_figures(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """All of them, at once; the intervals, too."""
    before = without_revision(insights)
    run_id = create(stub, tags=["t"]).run_id
    clock.advance(SECOND_US)
    fail(stub, run_id)
    assert stats(insights).finished.count == 1

    delete(stub, run_id)

    assert without_revision(insights) == before


def test_figures_of_a_tag_that_begins_another(stub: Stub, insights: Insights) -> None:
    """Each tag has its own, the longest included."""
    longest = "a" * TAG_BYTES_MAX
    for tags in (["a"], ["a", "ab"], ["ab", longest], ["a b"]):
        close(stub, create(stub, tags=tags).run_id)

    found = {tag: stats(insights, tag=tag).finished.count for tag in ("a", "ab", "a b", longest, "b", "A")}

    assert found == {"a": 2, "ab": 2, "a b": 1, longest: 1, "b": 0, "A": 0}


@ON_DISK
def test_figures_outlive_a_restart(
    stub: Stub, insights: Insights, clock: ManualClock, server: RunningServer
) -> None:
    """They are kept, and not counted anew."""
    live(stub, clock, random.Random(7), 10)
    before = stats(insights)

    server.restart()

    assert stats(server.insights_stub()) == before
