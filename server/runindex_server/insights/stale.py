"""Unfinished runs that nobody has touched for some time, by their activity: the stalest first."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from runindex_server.kv.api import ReadTxn
from runindex_server.runs.paging import Row, cut_rows, take
from runindex_server.schema import insight_keys
from runindex_server.schema.encoding import decode_u64, encode_u64
from runindex_server.schema.run import RunState, RunView

OPEN_STATES = frozenset({RunState.ACTIVE, RunState.PAUSED})
"""The states of runs that can be stale: those that have not finished."""


class StalePlace(NamedTuple):
    """Where a page ended: behind a run, by its activity, and by its ordinal within that minute.

    With it goes the time from which the idle time counts.
    """

    activity_us: int
    ordinal: int
    now_us: int

    def pack(self) -> bytes:
        """Return it as the place of a page token."""
        return b"".join(map(encode_u64, self))

    @classmethod
    def unpack(cls, place: bytes) -> "StalePlace":
        """Return the place in a token of stale runs, which its query tells from all others."""
        return cls(decode_u64(place[:8]), decode_u64(place[8:16]), decode_u64(place[16:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleQuery:
    """Which page of which stale runs.

    Attributes:
        states: ACTIVE, PAUSED or both.
        idle_for_us: For how long they were not touched at least; more than 0.
        now_us: The time from which that counts, the same on every page; microseconds since 1970.
        size: Runs at most; 1 to limits.PAGE_SIZE_MAX.
        view: How much of each run.
        after: Where the page before ended; None for the first page.
    """

    states: frozenset[RunState]
    idle_for_us: int
    now_us: int
    size: int
    view: RunView = RunView.FULL
    after: StalePlace | None = None


@dataclass(frozen=True, slots=True)
class StalePage:
    """A page of stale runs.

    Attributes:
        runs: The wire form of `runindex.v1.Run`, the stalest first.
        end: Where it ends; None when nothing follows.
    """

    runs: list[bytes]
    end: StalePlace | None


def list_stale_runs(txn: ReadTxn, query: StaleQuery) -> StalePage:
    """Return a page of stale runs. Read-only. Costs as many rows as a page of any listing.

    A run that nobody touches comes exactly once. One that is touched between two pages moves behind all that
    are stale; being touched after `now_us`, it is none of them any more, and does not come again. Activity is
    of whole minutes: only with an `idle_for_us` of less than one can it come again, as touched then.

    Raises:
        StoreCorrupt: The listing leads to a record that is missing or damaged.
    """
    cut = partial(cut_rows, txn, view=query.view)
    taken = take(_stalest_first(txn, query), query.size, cut=cut)
    end = None if taken.last is None else StalePlace(*_stands(taken.last), now_us=query.now_us)
    return StalePage(taken.items, end)


def _stalest_first(txn: ReadTxn, query: StaleQuery) -> Iterator[Row]:
    """Yield the rows of stale runs: one more than the page holds, if there are."""
    limit = query.size + 1
    through_us = query.now_us - query.idle_for_us
    after = None if query.after is None else (query.after.activity_us, query.after.ordinal)
    ranges = [insight_keys.stale_through_range(state, through_us, after=after) for state in query.states]
    scans = [txn.scan(start, end, limit=limit) for start, end in ranges]
    return islice(heapq.merge(*scans, key=_stands), limit)


def _stands(row: Row) -> tuple[int, int]:
    """Return where a row of the listing stands: by activity and by ordinal."""
    return insight_keys.split_stale(row[0])
