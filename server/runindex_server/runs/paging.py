"""Pages of runs: newest first from the listings of the index, cut by number, by bytes and by view."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeAlias

from runindex_server import limits
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import RunId, RunView

RUNS_AT_ONCE: Final = 64
"""Runs fetched together. With more, more are read in vain where a page ends by its bytes; with fewer,
a distributed engine needs more round trips."""

_Row: TypeAlias = tuple[bytes, bytes]
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
    """A page that is being filled.

    Attributes:
        runs: The wire form of `runindex.v1.Run`, newest first.
        next_before: The ordinal below which the next page begins; None at the end.
        truncated: Whether the page ended because a search's budget was spent.
    """

    runs: list[bytes] = field(default_factory=list)
    next_before: int | None = None
    truncated: bool = False
    _bytes: int = 0
    _last: int | None = None

    def extend(self, listing_keys: Sequence[bytes], runs: Sequence[bytes], *, size: int) -> bool:
        """Add runs of a listing, or end the page before the first that does not fit.

        Returns:
            As `add`.
        """
        total_bytes = self._bytes + sum(map(len, runs))
        if len(self.runs) + len(runs) <= size and total_bytes <= limits.PAGE_BYTES_MAX:
            self.runs += runs
            self._bytes = total_bytes
            self._last = keys.ordinal_of(listing_keys[-1])
            return True
        return all(
            self.add(keys.ordinal_of(key), run, size=size)
            for key, run in zip(listing_keys, runs, strict=True)
        )

    def add(self, ordinal: int, run: bytes, *, size: int) -> bool:
        """Add a run, or end the page before it.

        Returns:
            False when the page was full: `next_before` then says where the next one begins.
        """
        if self.runs and (len(self.runs) == size or self._bytes + len(run) > limits.PAGE_BYTES_MAX):
            self.next_before = self._last
            return False
        self.runs.append(run)
        self._bytes += len(run)
        self._last = ordinal
        return True


def page_of(txn: ReadTxn, listings: Sequence[KeyRange], request: PageRequest) -> Page:
    """Return a page of the runs in some listings, which have none in common. Read-only.

    Args:
        txn: The snapshot.
        listings: Ranges of listing keys, each ordered by ordinal.
        request: Which page.

    Raises:
        StoreCorrupt: A listing leads to a record that is missing or damaged.
    """
    page = Page()
    rows = islice(_newest_first(txn, listings, request), request.skip, None)
    while batch := list(islice(rows, RUNS_AT_ONCE)):
        listing_keys = [key for key, _ in batch]
        if not page.extend(listing_keys, _cut(txn, batch, request.view), size=request.size):
            break
    return page


def _newest_first(txn: ReadTxn, listings: Sequence[KeyRange], request: PageRequest) -> Iterator[_Row]:
    """Yield the rows of some listings, merged, newest first: one more than the page holds, if there are."""
    ranges = [keys.before(listing, request.before) for listing in listings]
    limit = request.skip + request.size + 1
    scans = [txn.scan(start, end, reverse=True, limit=limit) for start, end in ranges]
    if len(scans) == 1:
        return scans[0]
    return islice(heapq.merge(*scans, key=_ordinal_of_row, reverse=True), limit)


def _ordinal_of_row(row: _Row) -> int:
    """Return the ordinal of a row of a listing."""
    return keys.ordinal_of(row[0])


def _cut(txn: ReadTxn, rows: Sequence[_Row], view: RunView) -> list[bytes]:
    """Return the runs of some rows of listings, cut to a view. An id alone is in the listing already."""
    if view is RunView.ID_ONLY:
        return [records.id_message(RunId(run_id)) for _, run_id in rows]
    listing_keys, run_ids = zip(*rows, strict=True)
    run_keys = keys.runs(run_ids)
    return records.listed_messages(listing_keys, run_keys, txn.get_many(run_keys), view)
