"""Search over the index: what it answers, and the term index that answers it from postings."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records, terms
from runindex_server.schema.document import Document
from runindex_server.schema.run import RunId, RunState
from runindex_server.search.bounds import Block, evaluate
from runindex_server.search.expression import Expression, visible
from runindex_server.search.match import matches
from runindex_server.search.overlay import Overlay, OverlayView
from runindex_server.search.plan import ORDINAL_END, Plan
from runindex_server.search.planner import Planner
from runindex_server.search.postings import BLOCK_SIZE, split_ordinal

POSTINGS_MAX: Final = 20_000
"""Postings that one search reads before it stops at the end of a block, a tenth of a second's work. Only very
many prefixes over very many runs need as many."""

RECORDS_READ_AT_ONCE: Final = 32
"""Records that are fetched together. With more, more are read in vain at the end of a page; with fewer, a
distributed engine needs more round trips."""

RECORD_UNIT_BYTES: Final = 4_096
"""A candidate's record counts once more for each so many bytes of it, because they have to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What to search for.

    Attributes:
        expression: The query.
        include_archived: Whether archived runs are found though the query does not ask for them.
        before_ordinal: The ordinal below which to search; None for all runs.
        now_us: From when ages count, in microseconds since 1970.
        budget: How many candidate records to examine; one at least is.
    """

    expression: Expression
    include_archived: bool = False
    before_ordinal: int | None = None
    now_us: int
    budget: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A run that matches.

    Attributes:
        ordinal: Its ordinal.
        run_id: Its id.
        value: The value of its record's row.
    """

    ordinal: int
    run_id: RunId
    value: bytes


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
        """
        ...


class SearchIndex(Protocol):
    """Answers queries."""

    def search(self, txn: ReadTxn, request: SearchRequest) -> Search:
        """Begin a search on a snapshot. Read-only."""
        ...


class TermIndex:
    """The term index of one store: bitmaps narrow a query down, and records decide where they cannot.

    It may be asked from several threads at once.
    """

    def __init__(self) -> None:
        """Begin without anything in memory."""
        self._overlay = Overlay()

    def search(self, txn: ReadTxn, request: SearchRequest) -> Search:
        """Begin a search on a snapshot. Read-only.

        Raises:
            StoreCorrupt: A row is missing or not what was written.
        """
        return _TermSearch(txn, self._overlay.view(txn), request)


class _TermSearch:
    """One search of the term index."""

    def __init__(self, txn: ReadTxn, overlay: OverlayView, request: SearchRequest) -> None:
        self.truncated_at: int | None = None
        self._txn = txn
        self._overlay = overlay
        self._request = request
        self._expression = visible(request.expression, include_archived=request.include_archived)
        self._end = ORDINAL_END if request.before_ordinal is None else request.before_ordinal
        self._examined = 0

    def __iter__(self) -> Iterator[Hit]:
        plan = Planner(self._txn, self._overlay, now_us=self._request.now_us).plan(self._expression)
        postings_read = 0
        for number in self._blocks():
            block = Block(number, self._txn, self._overlay)
            if postings_read > POSTINGS_MAX:
                self.truncated_at = block.first_ordinal + BLOCK_SIZE
                return
            yield from self._search_block(block, plan)
            if self.truncated_at is not None:
                return
            postings_read += block.postings_read

    def _blocks(self) -> Iterator[int]:
        """Yield the blocks that may hold runs, newest first."""
        newest, _ = split_ordinal(self._end - 1)
        start, end = keys.posting_range(terms.EVERY_RUN)
        if self._end < ORDINAL_END:
            end = keys.posting(terms.EVERY_RUN, newest + 1)
        merged = (keys.split_posting(key)[1] for key, _ in self._txn.scan(start, end, reverse=True))
        pending = sorted((block for block in self._overlay.blocks() if block <= newest), reverse=True)
        for number, _ in groupby(heapq.merge(merged, pending, reverse=True)):
            yield number

    def _search_block(self, block: Block, plan: Plan) -> Iterator[Hit]:
        """Yield the runs of a block that match, newest first."""
        bounds = evaluate(plan, block)
        offsets = (bounds.maybe & block.offsets(0, self._end)).to_array()[::-1]
        for start in range(0, len(offsets), RECORDS_READ_AT_ONCE):
            for hit in self._fetch(block, offsets[start : start + RECORDS_READ_AT_ONCE]):
                _, offset = split_ordinal(hit.ordinal)
                if offset not in bounds.sure:
                    if self._examined >= max(self._request.budget, 1):
                        self.truncated_at = hit.ordinal + 1
                        return
                    if not self._check(hit):
                        continue
                yield hit

    def _check(self, hit: Hit) -> bool:
        """Tell whether a candidate matches, by its record."""
        self._examined += 1 + len(hit.value) // RECORD_UNIT_BYTES
        document = Document(records.decode_run(keys.run(hit.run_id), hit.value))
        return matches(document, self._expression, now_us=self._request.now_us)

    def _fetch(self, block: Block, offsets: Sequence[int]) -> Iterator[Hit]:
        """Yield the runs at some offsets, in that order, with their records."""
        archived = block.having(terms.state(RunState.ARCHIVED))
        ordinals = [block.first_ordinal + offset for offset in offsets]
        run_ids = self._rows(
            keys.all_runs(archived=offset in archived, ordinal=ordinal)
            for offset, ordinal in zip(offsets, ordinals, strict=True)
        )
        values = self._rows(keys.run(RunId(run_id)) for run_id in run_ids)
        for ordinal, run_id, value in zip(ordinals, run_ids, values, strict=True):
            yield Hit(ordinal, RunId(run_id), value)

    def _rows(self, wanted: Iterable[bytes]) -> list[bytes]:
        """Return rows to which the index leads.

        Raises:
            StoreCorrupt: One is missing.
        """
        all_keys = list(wanted)
        rows = []
        for key, value in zip(all_keys, self._txn.get_many(all_keys), strict=True):
            if value is None:
                raise StoreCorrupt(f"the term index leads to {key.hex()}, which is missing")
            rows.append(value)
        return rows
