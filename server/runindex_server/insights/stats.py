"""Figures of runs, made of counters: by state and outcome, error rates, and how long runs took."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Final

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, decode_counters
from runindex_server.schema import insight_keys, keys
from runindex_server.schema.counters import SECOND_US
from runindex_server.schema.durations import buckets_of, middle_us
from runindex_server.schema.insight_keys import EVERY_RUN, Figure, figure_part
from runindex_server.schema.run import RunState

_Figures = Mapping[bytes, int]
"""Counters of a scope, each by what stands behind the scope in its key."""

_BucketAt = Callable[[int], int]
"""Finds the bucket of the run at a rank, from 1 for the shortest."""

_PART_OF: Final = itemgetter(slice(-3, None))
_SECONDS: Final = figure_part(Figure.SECONDS)
_MICROSECONDS: Final = figure_part(Figure.MICROSECONDS)
_STATES: Final = {state: figure_part(Figure.STATE, state) for state in RunState}
_OUTCOMES: Final = {
    state: figure_part(Figure.OUTCOME, state)
    for state in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Hours or days that follow each other.

    Attributes:
        width_us: insight_keys.HOUR_US or insight_keys.DAY_US.
        first: The number of the first since 1970; negative before.
        number: How many they are; 1 to limits.STATS_INTERVALS_MAX.
    """

    width_us: int
    first: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long runs took, in microseconds: the exact mean, and percentiles at most 0.8 % off."""

    mean_us: int
    p50_us: int
    p90_us: int
    p99_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Runs that have finished.

    Attributes:
        by_outcome: How many by outcome, zeros included.
        durations: How long they took; None when there is none.
    """

    by_outcome: Mapping[RunState, int]
    durations: Durations | None

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(self.by_outcome.values())

    @property
    def error_rate(self) -> float | None:
        """The failed among them, from 0 to 1; None when there is none."""
        return self.by_outcome[RunState.FAILED] / self.count if self.count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The runs that finished in an hour or a day, which begins at `start_us`."""

    start_us: int
    finished: Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What runs come to.

    Attributes:
        by_state: How many by state, zeros included.
        finished: Those that have finished.
        intervals: Those that finished in each interval, oldest first.
        intervals_finished: Those that finished in all of these; None when none were asked for.
    """

    by_state: Mapping[RunState, int]
    finished: Finished
    intervals: list[Interval]
    intervals_finished: Finished | None


def get_run_stats(txn: ReadTxn, tag: str | None, intervals: Intervals | None) -> Stats:
    """Return figures of all runs, or of those that carry a tag. Read-only.

    Args:
        txn: The snapshot.
        tag: Which runs; None for all.
        intervals: Of which intervals to tell them, too; None for none, and with a tag.

    Raises:
        StoreCorrupt: Of the runs that have finished, not all are in a bucket.
    """
    scope = EVERY_RUN if tag is None else insight_keys.tag_scope(tag)
    figures = _figures(list(txn.scan(*insight_keys.figures_range(scope))))
    told, together = ([], None) if intervals is None else _intervals(txn, intervals)
    return Stats(
        by_state=_by_state(txn) if tag is None else _counts(figures, _STATES),
        finished=_finished(figures, _by_group(txn, scope, figures)),
        intervals=told,
        intervals_finished=together,
    )


def _by_state(txn: ReadTxn) -> Mapping[RunState, int]:
    """Return how many runs there are in each state."""
    return {state: txn.get_counter(keys.state_count(state)) for state in RunState}


def _figures(rows: Sequence[tuple[bytes, bytes]]) -> _Figures:
    """Return the counters in the rows of one scope."""
    if not rows:
        return {}
    # Most of what a call costs is here. All rows looked at together take a quarter of the time.
    listed, values = zip(*rows, strict=True)
    return dict(zip(map(_PART_OF, listed), decode_counters(values), strict=True))


def _intervals(txn: ReadTxn, intervals: Intervals) -> tuple[list[Interval], Finished]:
    """Return the runs that finished in each interval, and those of all of them."""
    numbers = range(intervals.first, intervals.first + intervals.number)
    finished = dict.fromkeys(numbers, _finished({}, _by_bucket({})))
    total: Counter[bytes] = Counter()
    rows = txn.scan(*insight_keys.intervals_range(intervals.width_us, intervals.first, intervals.number))
    for number, of_interval in groupby(rows, key=_interval_of_row):
        figures = _figures(list(of_interval))
        finished[number] = _finished(figures, _by_bucket(figures))
        total.update(figures)
    told = [
        Interval(start_us=number * intervals.width_us, finished=each) for number, each in finished.items()
    ]
    return told, _finished(total, _by_bucket(total))


def _interval_of_row(row: tuple[bytes, bytes]) -> int:
    """Return the number of the interval of which a row's figure is."""
    return insight_keys.interval_of(row[0])


def _counts(figures: _Figures, parts: Mapping[RunState, bytes]) -> Mapping[RunState, int]:
    """Return how many runs are counted by states."""
    return {state: figures.get(part, 0) for state, part in parts.items()}


def _finished(figures: _Figures, bucket_at: _BucketAt) -> Finished:
    """Return what counters tell of finished runs."""
    by_outcome = _counts(figures, _OUTCOMES)
    return Finished(by_outcome=by_outcome, durations=_durations(figures, sum(by_outcome.values()), bucket_at))


def _durations(figures: _Figures, count: int, bucket_at: _BucketAt) -> Durations | None:
    """Return how long runs took, so many of them; None when there is none."""
    if not count:
        return None
    total_us = figures.get(_SECONDS, 0) * SECOND_US + figures.get(_MICROSECONDS, 0)
    # The nearest ranks: the first at which so many of a hundred stand, or before.
    ranks = (-(-percent * count // 100) for percent in (50, 90, 99))
    p50_us, p90_us, p99_us = (middle_us(bucket_at(rank)) for rank in ranks)
    return Durations(
        mean_us=(2 * total_us + count) // (2 * count), p50_us=p50_us, p90_us=p90_us, p99_us=p99_us
    )


class _Ranking:
    """Runs in the order of their durations, as far as counters of a kind tell them apart."""

    def __init__(self, figures: _Figures, kind: Figure) -> None:
        """Take the counters of a kind: bucket by bucket, or group by group, the shortest first."""
        self._parts = sorted(part for part in figures if part[0] == kind)
        self._standings = list(accumulate(map(figures.__getitem__, self._parts)))

    def find(self, rank: int) -> tuple[int, int]:
        """Return in which bucket or group a rank lies, and the rank in there.

        Raises:
            StoreCorrupt: There are not so many runs.
        """
        at = bisect_left(self._standings, rank)
        if at == len(self._standings):
            raise StoreCorrupt(f"rank {rank} lies in no counter of durations")
        _, index = insight_keys.split_figure_part(self._parts[at])
        return index, rank - (self._standings[at - 1] if at else 0)


def _by_bucket(figures: _Figures) -> _BucketAt:
    """Return how to find a rank's bucket where the counters of all buckets are at hand."""
    buckets = _Ranking(figures, Figure.DURATION)
    return lambda rank: buckets.find(rank)[0]


def _by_group(txn: ReadTxn, scope: bytes, figures: _Figures) -> _BucketAt:
    """Return how to find a rank's bucket where the counters of all groups are at hand."""
    groups = _Ranking(figures, Figure.DURATION_GROUP)

    def bucket_at(rank: int) -> int:
        group, rank_in_group = groups.find(rank)
        buckets = buckets_of(group)
        rows = txn.scan(*insight_keys.durations_range(scope, buckets), limit=len(buckets))
        return _by_bucket(_figures(list(rows)))(rank_in_group)

    return bucket_at
