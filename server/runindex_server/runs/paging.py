"""Pages of runs: newest first from the listings of the index, cut by number, by bytes and by view."""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from typing import Final, Generic, TypeAlias, TypeVar

from runindex_server import limits
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import RunId, RunView

R = TypeVar("R")

RUNS_AT_ONCE: Final = 64
"""Runs fetched together. With more, more are read in vain where a page ends by its bytes; with fewer,
a distributed engine needs more round trips."""

Row: TypeAlias = tuple[bytes, bytes]
"""A row of a listing: its key, and the id of the run to which it leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page of a collection, and how much of each run.

    Attributes:
        size: Runs at most; 1 to limits.PAGE_SIZE_MAX.
        before: The ordinal below which the page begins; None for the first page.
        skip: Runs to pass over first.
        view: How much of each run.
    """

    size: int
    before: int | None = None
    skip: int = 0
    view: RunView = RunView.FULL


@dataclass(slots=True)
class Page:
    """A page of runs.

    Attributes:
        runs: The wire form of `runindex.v1.Run`, newest first.
        next_before: The ordinal below which the next page begins; None at the end.
        truncated: Whether the page ended because a search's budget was spent.
    """

    runs: list[bytes]
    next_before: int | None = None
    truncated: bool = False


@dataclass(slots=True)
class Taken(Generic[R]):
    """The first items of a collection.

    Attributes:
        items: In the form in which they are sent.
        last: The row of the last of them; None when nothing follows.
    """

    items: list[bytes]
    last: R | None


def fill(
    rows: Iterable[R],
    size: int,
    *,
    cut: Callable[[Sequence[R]], Sequence[bytes]],
    ordinal_of: Callable[[R], int],
) -> Page:
    """Return the page of the first rows, as many as fit by number and by bytes, and at least one.

    Args:
        rows: What the runs come from, newest first. One more than `size` is taken of it at most: it tells
            that there is a next page.
        size: Runs at most.
        cut: Returns the runs of some rows.
        ordinal_of: Returns the ordinal of a row.
    """
    taken = take(rows, size, cut=cut)
    return Page(taken.items, None if taken.last is None else ordinal_of(taken.last))


def take(rows: Iterable[R], size: int, *, cut: Callable[[Sequence[R]], Sequence[bytes]]) -> Taken[R]:
    """Return the first items of a collection, as many as fit by number and by bytes, and at least one.

    Args:
        rows: What the items come from, in their order. One more than `size` is taken of it at most.
        size: Items at most.
        cut: Returns the items of some rows.
    """
    runs: list[bytes] = []
    room_bytes = limits.PAGE_BYTES_MAX
    remaining = iter(rows)
    while batch := list(islice(remaining, min(size - len(runs), RUNS_AT_ONCE))):
        found = cut(batch)
        # One run fits always: so every page leads on.
        fitting = _fitting(found, room_bytes) if runs else max(1, _fitting(found, room_bytes))
        if fitting:
            last = batch[fitting - 1]
        runs += found[:fitting]
        room_bytes -= sum(map(len, found))
        if fitting < len(batch):
            return Taken(runs, last)
    has_next = next(remaining, None) is not None
    return Taken(runs, last if has_next else None)


def _fitting(runs: Sequence[bytes], room_bytes: int) -> int:
    """Return how many runs, from the first on, have no more bytes than there is room for."""
    return bisect_right(list(accumulate(map(len, runs))), room_bytes)


def page_of(txn: ReadTxn, listings: Sequence[KeyRange], request: PageRequest) -> Page:
    """Return a page of the runs in some listings, which have none in common. Read-only.

    Args:
        txn: The snapshot.
        listings: Ranges of listing keys, each ordered by ordinal.
        request: Which page.

    Raises:
        StoreCorrupt: A listing leads to a record that is missing or damaged.
    """
    rows = islice(newest_first(txn, listings, request), request.skip, None)
    return fill(rows, request.size, cut=partial(cut_rows, txn, view=request.view), ordinal_of=ordinal_of_row)


def newest_first(txn: ReadTxn, listings: Sequence[KeyRange], request: PageRequest) -> Iterator[Row]:
    """Yield the rows of some listings, merged, newest first: one more than the page holds, if there are."""
    ranges = [keys.before(listing, request.before) for listing in listings]
    limit = request.skip + request.size + 1
    scans = [txn.scan(start, end, reverse=True, limit=limit) for start, end in ranges]
    if len(scans) == 1:
        return scans[0]
    return islice(heapq.merge(*scans, key=ordinal_of_row, reverse=True), limit)


def ordinal_of_row(row: Row) -> int:
    """Return the ordinal of a row of a listing."""
    return keys.ordinal_of(row[0])


def cut_rows(txn: ReadTxn, rows: Sequence[Row], *, view: RunView) -> list[bytes]:
    """Return the runs of some rows of listings, cut to a view. An id alone is in the listing already.

    Raises:
        StoreCorrupt: A listing leads to a record that is missing or damaged.
    """
    if view is RunView.ID_ONLY:
        return [records.id_message(RunId(run_id)) for _, run_id in rows]
    listing_keys, run_ids = zip(*rows, strict=True)
    run_keys = keys.runs(run_ids)
    return records.listed_messages(listing_keys, run_keys, txn.get_many(run_keys), view)
