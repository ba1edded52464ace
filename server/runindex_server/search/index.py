"""Search over the index: what it answers, and the term index that answers it from postings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple, Protocol

from pyroaring import BitMap

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records
from runindex_server.schema.document import Document
from runindex_server.search import effort
from runindex_server.search.decoded import DecodedPostings
from runindex_server.search.effort import Effort
from runindex_server.search.expression import Expression
from runindex_server.search.match import matches
from runindex_server.search.overlay import Overlay
from runindex_server.search.planner import ORDINAL_END, plan_of
from runindex_server.search.postings import BLOCK_SIZE
from runindex_server.search.sources import BLOCK_END, NO_BLOCK, Postings, offsets_between

POSTINGS_MAX: Final = 20_000
"""Postings that one search reads before it stops at the end of a block, a tenth of a second's work. Only very
many prefixes over very many runs need as many."""

RECORDS_READ_AT_ONCE: Final = 32
"""Records that are fetched together at most. With more, more are read in vain at the end of a page; with
fewer, a distributed engine needs more round trips."""

RECORD_UNIT_BYTES: Final = 4_096
"""A candidate's record counts once more for each so many bytes of it, because they have to be read."""

OFFSETS_LISTED_MAX: Final = 4_096
"""Offsets of a block that are listed as a whole; of more, the newest are cut out first, so that a page of a
common term does not list all runs that have it."""

_WINDOW_SIZE: Final = 2_048
_WINDOWS: Final = tuple(
    BitMap(range(start, start + _WINDOW_SIZE)) for start in range(0, BLOCK_SIZE, _WINDOW_SIZE)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What to search for.

    Attributes:
        expression: The query.
        include_archived: Whether archived runs are found though the query does not ask for them.
        before_ordinal: The ordinal below which to search; None for all runs.
        now_us: From when ages count, in microseconds since 1970.
        budget: How many candidate records to examine; one at least is.
        wanted: How many runs are probably asked for; as many are fetched at once.
        work_max: How much work to do, in units of `effort`; None when only its own bounds end the search.
    """

    expression: Expression
    include_archived: bool = False
    before_ordinal: int | None = None
    now_us: int
    budget: int
    wanted: int = RECORDS_READ_AT_ONCE
    work_max: int | None = None


class Hit(NamedTuple):
    """A run that matches.

    Attributes:
        listing_key: The key of its row in the listing of all runs, which ends with its ordinal.
        key: The key of its record's row.
        value: The value of that row.
    """

    listing_key: bytes
    key: bytes
    value: bytes

    @property
    def ordinal(self) -> int:
        """Its ordinal."""
        return keys.ordinal_of(self.listing_key)


class Search(Protocol):
    """A search under way. It reads as far as it is iterated, once, while its transaction lasts.

    Attributes:
        truncated_at: When the search stopped because its budget was spent, the ordinal below which it goes
            on; None while it runs, and when there is nothing left.
    """

    truncated_at: int | None

    def __iter__(self) -> Iterator[Hit]:
        """Yield the runs that match, newest first.

        Raises:
            StoreCorrupt: A row is missing or not what was written.
            TooMuchWork: It takes more work than it may do.
        """
        ...


class SearchIndex(Protocol):
    """Answers queries."""

    def search(self, txn: ReadTxn, request: SearchRequest) -> Search:
        """Begin a search on a snapshot. Read-only.

        Raises:
            StoreCorrupt, TooMuchWork: As `Search`.
        """
        ...


class TermIndex:
    """The term index of one store: bitmaps narrow a query down, and records decide where they cannot.

    It may be asked from several threads at once.
    """

    def __init__(self) -> None:
        """Begin without anything in memory."""
        self._overlay = Overlay()
        self._decoded = DecodedPostings()

    def search(self, txn: ReadTxn, request: SearchRequest) -> Search:
        """Begin a search on a snapshot. Read-only.

        Raises:
            StoreCorrupt: A row is missing or not what was written.
            TooMuchWork: It takes more work than it may do.
        """
        work = Effort(request.work_max)
        overlay = self._overlay.view(txn, work)
        return _TermSearch(Postings(txn, overlay, self._decoded, work, now_us=request.now_us), request)


class _TermSearch:
    """One search of the term index."""

    def __init__(self, postings: Postings, request: SearchRequest) -> None:
        self.truncated_at: int | None = None
        self._postings = postings
        self._txn = postings.txn
        self._work = postings.work
        self._request = request
        self._end = ORDINAL_END if request.before_ordinal is None else request.before_ordinal
        self._examined = 0
        self._stopped_at: int | None = None
        # Not begun where it could not end.
        self._work.expect(request.wanted * effort.POSTING)

    def __iter__(self) -> Iterator[Hit]:
        candidates = self._candidates()
        at_once = max(1, min(self._request.wanted, RECORDS_READ_AT_ONCE))
        while found := list(islice(candidates, at_once)):
            hits = self._fetch([ordinal for ordinal, _ in found])
            if all(is_sure for _, is_sure in found):
                yield from hits
                continue
            for hit, (ordinal, is_sure) in zip(hits, found, strict=True):
                if not is_sure:
                    if self._examined >= max(self._request.budget, 1):
                        self.truncated_at = ordinal + 1
                        return
                    if not self._check(hit):
                        continue
                yield hit
        self.truncated_at = self._stopped_at

    def _candidates(self) -> Iterator[tuple[int, bool]]:
        """Yield the ordinals of the runs that may match, newest first, and whether they surely do."""
        request = self._request
        source = plan_of(request.expression, include_archived=request.include_archived)(self._postings)
        block = source.newest(min((self._end - 1) // BLOCK_SIZE, BLOCK_END)) if self._end else NO_BLOCK
        while block != NO_BLOCK:
            sure, maybe = source.bounds(block)
            first_ordinal = block * BLOCK_SIZE
            is_exact = sure is maybe
            if self._end < first_ordinal + BLOCK_SIZE:
                # Not in place: it is shared.
                maybe = maybe & offsets_between(block, 0, self._end)
            for offset in _newest_first(maybe):
                yield first_ordinal + offset, is_exact or offset in sure
            if block == 0:
                return
            if self._postings.read_count > POSTINGS_MAX:
                self._stopped_at = first_ordinal
                return
            block = source.newest(block - 1)

    def _check(self, hit: Hit) -> bool:
        """Tell whether a candidate matches, by its record."""
        units = 1 + len(hit.value) // RECORD_UNIT_BYTES
        self._examined += units
        self._work.spend(units * effort.CANDIDATE)
        document = Document(records.decode_run(hit.key, hit.value))
        # That archived runs are left out, postings decide.
        return matches(document, self._request.expression, now_us=self._request.now_us)

    def _fetch(self, ordinals: Sequence[int]) -> list[Hit]:
        """Return the runs with some ordinals, with their records.

        Raises:
            StoreCorrupt: A row to which the index leads is missing.
        """
        self._work.spend(len(ordinals) * effort.POSTING)
        listing_keys = [keys.all_runs(archived=False, ordinal=ordinal) for ordinal in ordinals]
        run_ids = self._txn.get_many(listing_keys)
        if None in run_ids:
            run_ids = [
                run_id or self._txn.get(keys.all_runs(archived=True, ordinal=ordinal))
                for run_id, ordinal in zip(run_ids, ordinals, strict=True)
            ]
        if None in run_ids:
            raise StoreCorrupt(
                f"the term index leads to run {ordinals[run_ids.index(None)]}, which is missing"
            )
        run_keys = keys.runs(run_id for run_id in run_ids if run_id is not None)
        values = self._txn.get_many(run_keys)
        if None in values:
            raise StoreCorrupt(f"a listing leads to {run_keys[values.index(None)].hex()}, which is missing")
        return list(map(Hit._make, zip(listing_keys, run_keys, values, strict=True)))


def _newest_first(offsets: BitMap) -> Iterator[int]:
    """Yield offsets from the last to the first."""
    if len(offsets) <= OFFSETS_LISTED_MAX:
        yield from reversed(offsets.to_array())
    else:
        for window in reversed(_WINDOWS[: offsets.max() // _WINDOW_SIZE + 1]):
            yield from reversed((offsets & window).to_array())
