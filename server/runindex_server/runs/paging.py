"""Pages of runs: newest first from the listings of the index, cut by number, by bytes and by view."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from runindex_server import limits
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import RunId, RunView


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
    for ordinal, run_id in islice(_newest_first(txn, listings, request.before), request.skip, None):
        if not page.add(ordinal, _cut(txn, ordinal, run_id, request.view), size=request.size):
            break
    return page


def page_of_hits(hits: Iterable[tuple[int, RunId, bytes]], request: PageRequest) -> Page:
    """Return a page of runs that were found, newest first: `(ordinal, run_id, value of the row)`.

    Raises:
        StoreCorrupt: A record is damaged.
    """
    page = Page()
    for ordinal, run_id, value in hits:
        run = records.view_message(keys.run(run_id), value, request.view, ordinal=ordinal)
        if not page.add(ordinal, run, size=request.size):
            break
    return page


def _newest_first(
    txn: ReadTxn, listings: Sequence[KeyRange], before: int | None
) -> Iterator[tuple[int, RunId]]:
    """Yield ordinal and id of the runs in some listings, merged, newest first."""
    ranges = [keys.before(listing, before) for listing in listings]
    scans = [txn.scan(start, end, reverse=True) for start, end in ranges]
    rows = scans[0] if len(scans) == 1 else heapq.merge(*scans, key=_ordinal_of_row, reverse=True)
    for key, run_id in rows:
        yield keys.ordinal_of(key), RunId(run_id)


def _ordinal_of_row(row: tuple[bytes, bytes]) -> int:
    """Return the ordinal of a row of a listing."""
    return keys.ordinal_of(row[0])


def _cut(txn: ReadTxn, ordinal: int, run_id: RunId, view: RunView) -> bytes:
    """Return a listed run, cut to a view. An id alone is in the listing already."""
    if view is RunView.ID_ONLY:
        return records.id_message(run_id)
    key = keys.run(run_id)
    value = txn.get(key)
    if value is None:
        raise StoreCorrupt(f"a listing leads to {key.hex()} by {ordinal}, which is missing")
    return records.view_message(key, value, view, ordinal=ordinal)
