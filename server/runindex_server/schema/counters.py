"""Counters that follow from a run's record. `derive` keeps them with each write of one."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from runindex_server.schema import insight_keys, keys
from runindex_server.schema.durations import bucket_of, group_of
from runindex_server.schema.error_text import error_digest
from runindex_server.schema.insight_keys import DAY_US, EVERY_RUN, HOUR_US, Figure
from runindex_server.schema.keys import Subspace
from runindex_server.schema.run import Run

SECOND_US: Final = 1_000_000


class _Counting(NamedTuple):
    """Counters, and what of a record they follow from.

    Attributes:
        subspace: Theirs.
        fields: What they follow from, beside what a run keeps for life. Where it is equal, they are.
        counts: How much a run adds to each.
    """

    subspace: Subspace
    fields: Callable[[Run], object]
    counts: Callable[[Run], Mapping[bytes, int]]


def _of_children(run: Run) -> Mapping[bytes, int]:
    return {} if run.parent is None else {insight_keys.child_count(run.parent, run.state): 1}


def _of_tags(run: Run) -> Mapping[bytes, int]:
    return {insight_keys.tag_count(tag, archived=run.is_archived): 1 for tag in run.tags}


def _of_tag_states(run: Run) -> Mapping[bytes, int]:
    return {insight_keys.figure(insight_keys.tag_scope(tag), Figure.STATE, run.state): 1 for tag in run.tags}


def _of_error(run: Run) -> Mapping[bytes, int]:
    if run.error is None:
        return {}
    return {insight_keys.error_count(error_digest(run.error), archived=run.is_archived): 1}


def _of_end(run: Run) -> Mapping[bytes, int]:
    if run.outcome is None or run.end_us is None:
        return {}
    duration_us = run.end_us - run.create_us
    seconds, micros = divmod(duration_us, SECOND_US)
    bucket = bucket_of(duration_us)
    figures = {
        insight_keys.figure_part(Figure.OUTCOME, run.outcome): 1,
        insight_keys.figure_part(Figure.SECONDS): seconds,
        insight_keys.figure_part(Figure.MICROSECONDS): micros,
        insight_keys.figure_part(Figure.DURATION, bucket): 1,
    }
    at_any_time = [
        keys.FIGURE.prefix + scope for scope in (EVERY_RUN, *map(insight_keys.tag_scope, run.tags))
    ]
    prefixes = [
        *at_any_time,
        keys.FIGURE.prefix + insight_keys.interval_scope(HOUR_US, run.end_us),
        keys.FIGURE.prefix + insight_keys.interval_scope(DAY_US, run.end_us),
    ]
    counts = {prefix + part: count for part, count in figures.items() if count for prefix in prefixes}
    # Hours and days are read whole: what lies in some of them is added up from their buckets.
    group = insight_keys.figure_part(Figure.DURATION_GROUP, group_of(bucket))
    counts.update((prefix + group, 1) for prefix in at_any_time)
    return counts


COUNTINGS: Final = (
    _Counting(keys.STATE_COUNT, lambda run: run.state, lambda run: {keys.state_count(run.state): 1}),
    _Counting(keys.CHILD_COUNT, lambda run: run.state, _of_children),
    _Counting(keys.TAG_COUNT, lambda run: (run.tags, run.is_archived), _of_tags),
    _Counting(keys.FIGURE, lambda run: (run.tags, run.state), _of_tag_states),
    _Counting(keys.ERROR_COUNT, lambda run: (run.error, run.is_archived), _of_error),
    _Counting(keys.FIGURE, lambda run: (run.outcome, run.end_us, run.tags), _of_end),
)
"""All counters that follow from a record. No two have one in common."""

COUNTED: Final = tuple(dict.fromkeys(counting.subspace for counting in COUNTINGS))
"""The subspaces of all that."""


def counters_of(run: Run) -> Mapping[bytes, int]:
    """Return how much a run adds to each counter."""
    counts: dict[bytes, int] = {}
    for counting in COUNTINGS:
        counts.update(counting.counts(run))
    return counts


def counter_changes(old: Run | None, new: Run | None) -> Mapping[bytes, int]:
    """Return how much a change of a run adds to each counter; None for a run that is not there."""
    deltas: dict[bytes, int] = {}
    for counting in COUNTINGS:
        if old is not None and new is not None and counting.fields(old) == counting.fields(new):
            continue
        after = {} if new is None else counting.counts(new)
        before = {} if old is None else counting.counts(old)
        deltas.update(after)
        for key, count in before.items():
            deltas[key] = deltas.get(key, 0) - count
    return {key: delta for key, delta in deltas.items() if delta}
