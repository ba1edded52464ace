"""Counters that follow from a run: which, how many, and that a change adds exactly what differs."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runindex_server.schema import insight_keys, keys
from runindex_server.schema.counters import COUNTED, COUNTINGS, counter_changes, counters_of
from runindex_server.schema.durations import bucket_of, group_of
from runindex_server.schema.error_text import error_digest
from runindex_server.schema.insight_keys import DAY_US, EVERY_RUN, HOUR_US, Figure, figure, tag_scope
from runindex_server.schema.run import FINISHED, Run, RunId, RunState
from tests.support.search_world import make_run

PARENT = RunId(b"p" * 16)
END_US = 1_772_370_000_000_000
"""The first microsecond of an hour."""


def finished(outcome: RunState, *, took_us: int, end_us: int = END_US, **fields: Any) -> Run:
    """Return a run that has finished."""
    return make_run(
        **{"state": outcome, "outcome": outcome, "create_us": end_us - took_us, "end_us": end_us} | fields
    )


def test_the_counters_of_a_run_that_has_just_begun() -> None:
    assert counters_of(make_run()) == {keys.state_count(RunState.ACTIVE): 1}


def test_the_counters_of_a_run_with_all_that_is_counted() -> None:
    took_us = 3_000_007
    run = finished(
        RunState.FAILED,
        took_us=took_us,
        state=RunState.ARCHIVED,
        tags=("a", "b"),
        parent=PARENT,
        error="it broke",
    )
    hour, day = insight_keys.interval_scope(HOUR_US, END_US), insight_keys.interval_scope(DAY_US, END_US)
    of_end = {
        figure(scope, kind, index): count
        for scope in (EVERY_RUN, tag_scope("a"), tag_scope("b"), hour, day)
        for kind, index, count in (
            (Figure.OUTCOME, RunState.FAILED, 1),
            (Figure.SECONDS, 0, 3),
            (Figure.MICROSECONDS, 0, 7),
            (Figure.DURATION, bucket_of(took_us), 1),
        )
    }
    of_groups = {
        figure(scope, Figure.DURATION_GROUP, group_of(bucket_of(took_us))): 1
        for scope in (EVERY_RUN, tag_scope("a"), tag_scope("b"))
    }

    assert counters_of(run) == of_end | of_groups | {
        keys.state_count(RunState.ARCHIVED): 1,
        insight_keys.child_count(PARENT, RunState.ARCHIVED): 1,
        insight_keys.tag_count("a", archived=True): 1,
        insight_keys.tag_count("b", archived=True): 1,
        figure(tag_scope("a"), Figure.STATE, RunState.ARCHIVED): 1,
        figure(tag_scope("b"), Figure.STATE, RunState.ARCHIVED): 1,
        insight_keys.error_count(error_digest("it broke"), archived=True): 1,
    }


def test_a_run_that_was_archived_unfinished_counts_in_its_state_alone() -> None:
    run = make_run(state=RunState.ARCHIVED, end_us=END_US, tags=("a",))

    assert counters_of(run) == {
        keys.state_count(RunState.ARCHIVED): 1,
        insight_keys.tag_count("a", archived=True): 1,
        figure(tag_scope("a"), Figure.STATE, RunState.ARCHIVED): 1,
    }


@pytest.mark.parametrize(
    ("end_us", "hours", "days"),
    [
        (0, 0, 0),
        (HOUR_US - 1, 0, 0),
        (HOUR_US, 1, 0),
        (DAY_US - 1, 23, 0),
        (DAY_US, 24, 1),
        (END_US, 492_325, 20_513),
        (END_US - 1, 492_324, 20_513),
    ],
)
def test_a_run_counts_in_the_hour_and_the_day_of_its_end(end_us: int, hours: int, days: int) -> None:
    found = counters_of(finished(RunState.COMPLETED, took_us=0, end_us=end_us))

    for width_us, number in ((HOUR_US, hours), (DAY_US, days)):
        start, end = insight_keys.intervals_range(width_us, number, 1)
        inside = [key for key in found if start <= key < end]
        assert {insight_keys.interval_of(key) for key in inside} == {number}
        assert len(inside) == 2, "its outcome and its bucket, no time at all having passed"


def test_intervals_before_1970_have_no_figures() -> None:
    start, end = insight_keys.intervals_range(DAY_US, -3, 2)
    assert start == end
    start, end = insight_keys.intervals_range(DAY_US, -3, 4)
    assert (start, end) == tuple(insight_keys.intervals_range(DAY_US, 0, 1))


def test_intervals_end_before_those_of_another_width() -> None:
    last = 2**32 - 1
    days = insight_keys.intervals_range(DAY_US, 0, 1)
    assert insight_keys.intervals_range(HOUR_US, last - 1, 1).end < days.start


def test_a_tag_that_begins_another_has_figures_of_its_own() -> None:
    start, end = insight_keys.figures_range(tag_scope("a"))
    for tag in ("aa", "a ", "b", "\U0010ffff", "a\U0010ffff"):
        assert not start <= figure(tag_scope(tag), Figure.STATE, RunState.ACTIVE) < end
    assert start <= figure(tag_scope("a"), Figure.DURATION_GROUP, 65_535) < end


def test_figures_are_told_apart() -> None:
    for kind, index in ((Figure.STATE, 6), (Figure.SECONDS, 0), (Figure.DURATION, 3_400)):
        assert insight_keys.split_figure_part(figure(tag_scope("t"), kind, index)) == (kind, index)
        assert insight_keys.split_figure_part(insight_keys.figure_part(kind, index)) == (kind, index)


tags = st.lists(st.sampled_from("abc"), unique=True).map(tuple)
times = st.integers(END_US - 2 * DAY_US, END_US + 2 * DAY_US)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw a run in any state."""
    state = draw(st.sampled_from(RunState))
    outcome = draw(st.sampled_from([None, *sorted(FINISHED)])) if state is RunState.ARCHIVED else None
    outcome = state if state in FINISHED else outcome
    create_us = draw(times)
    return make_run(
        state=state,
        outcome=outcome,
        create_us=create_us,
        end_us=create_us + draw(st.integers(0, DAY_US)) if state >= RunState.COMPLETED else None,
        error=draw(st.sampled_from(["x", "y"])) if outcome is RunState.FAILED else None,
        tags=draw(tags),
        parent=draw(st.sampled_from([None, PARENT])),
    )


@given(runs())
def test_no_counter_follows_twice(run: Run) -> None:
    assert sum(len(counting.counts(run)) for counting in COUNTINGS) == len(counters_of(run))


@given(runs())
def test_counters_are_of_the_subspaces_that_are_named(run: Run) -> None:
    for key, count in counters_of(run).items():
        assert key.startswith(tuple(subspace.prefix for subspace in COUNTED))
        assert count > 0


def applied(*changes: Mapping[bytes, int]) -> Mapping[bytes, int]:
    """Return what counters show after some changes."""
    sums: Counter[bytes] = Counter()
    for change in changes:
        sums.update(change)
    return {key: count for key, count in sums.items() if count}


def _of_the_life_of(first: Run, step: Run) -> Run:
    """Return a run with what the first keeps for life."""
    end_us = None if step.end_us is None else first.create_us + step.end_us - step.create_us
    return step._replace(create_us=first.create_us, end_us=end_us, parent=first.parent)


@given(st.lists(runs(), min_size=1, max_size=4))
def test_changes_lead_to_what_follows_from_the_last(steps: list[Run]) -> None:
    steps = [_of_the_life_of(steps[0], step) for step in steps]
    pairs = zip([None, *steps], steps, strict=False)

    changes = [counter_changes(old, new) for old, new in pairs]

    assert applied(*changes) == counters_of(steps[-1])
    assert applied(*changes, counter_changes(steps[-1], None)) == {}
    assert all(all(change.values()) for change in changes)


def test_a_change_of_nothing_that_is_counted_adds_nothing() -> None:
    run = finished(RunState.FAILED, took_us=5, tags=("a",), error="x")
    assert counter_changes(run, run._replace(version=2, revision=9, metadata=b"m", update_us=1)) == {}


def test_archiving_moves_a_run_among_states_and_keeps_its_end() -> None:
    run = finished(RunState.COMPLETED, took_us=5, tags=("a",))

    assert counter_changes(run, run._replace(state=RunState.ARCHIVED)) == {
        keys.state_count(RunState.COMPLETED): -1,
        keys.state_count(RunState.ARCHIVED): 1,
        insight_keys.tag_count("a", archived=False): -1,
        insight_keys.tag_count("a", archived=True): 1,
        figure(tag_scope("a"), Figure.STATE, RunState.COMPLETED): -1,
        figure(tag_scope("a"), Figure.STATE, RunState.ARCHIVED): 1,
    }
