"""Search terms: the postings of a copy, with what waits to be merged laid over them, against its records.

All pairs of a term and a run are compared as sums, block by block; only where these differ, posting by
posting. In memory is what waits to be merged, which is bounded.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from pyroaring import BitMap

from runindex_server import limits
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import TERM_CELLS_AT_ONCE
from runindex_server.maintenance.verify.postings import PHASE, Comparison, Narrowing, Overlay
from runindex_server.maintenance.verify.sums import TermSums
from runindex_server.maintenance.verify.survey import Survey
from runindex_server.maintenance.verify.walk import DAMAGED, NO_SUCH_KEY, Row, Walk, each
from runindex_server.schema import keys, records
from runindex_server.schema.changes import merged_through, read_changes
from runindex_server.search.postings import BLOCK_SIZE, decode_posting

_NOT_COMPARED: Final = f"{DAMAGED} The search index cannot be compared with the records."


class TermCheck:
    """Compares the term index of a copy with its records.

    Attributes:
        pending_count: Changes that wait to be merged.
    """

    def __init__(self, survey: Survey) -> None:
        """Take what the records come to."""
        self.pending_count = 0
        self._survey = survey
        self._found = TermSums(survey.weights)
        self._overlay = Overlay()
        # By payload: the weight of a posting with a single run, as most are; one for each offset in a block.
        self._single: dict[bytes, int] = {}
        self._merged = 0
        self._is_comparable = True

    def walks(self) -> Iterator[Walk]:
        """Yield the walks of the comparison, after those of the survey."""
        yield Walk(phase=PHASE, ranges=[keys.MERGE.range], visit=each(self._visit_merge))
        yield Walk(phase=PHASE, ranges=[keys.PENDING_TERMS.range], visit=each(self._visit_pending))
        yield Walk(
            phase=PHASE,
            ranges=[keys.POSTING.range],
            visit=self._visit_postings,
            finish=self._add_overlay,
        )
        blocks = self._survey.terms.differing(self._found)
        if blocks and self._is_comparable:
            yield from self._look_closer(blocks)

    def _look_closer(self, blocks: frozenset[int]) -> Iterator[Walk]:
        """Yield the walks that compare blocks posting by posting."""
        narrowing = Narrowing(self._overlay, blocks)
        yield from narrowing.walks()
        cells, finding_count = narrowing.differing(), 0
        for start in range(0, len(cells), TERM_CELLS_AT_ONCE):
            # More is not told, and only has to be counted.
            if finding_count > limits.DRIFTS_TOLD_MAX:
                yield Walk(phase=PHASE, ranges=(), visit=each(self._visit_merge), finish=_Rest(cells[start:]))
                return
            comparison = Comparison(
                self._overlay, frozenset(cells[start : start + TERM_CELLS_AT_ONCE]), self._survey.unknown
            )
            yield from comparison.walks()
            finding_count += comparison.finding_count

    def _visit_merge(self, txn: ReadTxn, key: bytes, _: bytes) -> Iterator[Finding]:
        """Read through which revision all is merged."""
        if key != keys.MERGED_THROUGH:
            yield Finding(keys.MERGE.name, key, NO_SUCH_KEY)
            return
        try:
            self._merged = merged_through(txn)
        except ValueError:
            self._is_comparable = False
            yield Finding(keys.MERGE.name, key, _NOT_COMPARED)
            return
        if self._merged > txn.revision:
            yield Finding(keys.MERGE.name, key, "It is a revision that the store has not reached.")

    def _visit_pending(self, txn: ReadTxn, key: bytes, _: bytes) -> Iterator[Finding]:
        """Lay a change that waits to be merged over those before it."""
        try:
            revision = keys.revision_of(key)
        except ValueError:
            yield Finding(keys.PENDING_TERMS.name, key, NO_SUCH_KEY)
            return
        self.pending_count += 1
        try:
            change = next(read_changes(txn, after=revision - 1, through=revision))
        except StoreCorrupt:
            self._is_comparable = False
            yield Finding(keys.PENDING_TERMS.name, key, _NOT_COMPARED)
            return
        if revision > txn.revision:
            yield Finding(keys.PENDING_TERMS.name, key, "It is of a revision that the store has not reached.")
        elif revision <= self._merged:
            yield Finding(keys.PENDING_TERMS.name, key, "It is of a revision through which all is merged.")
        else:
            self._overlay.add(change)

    def _visit_postings(self, _: ReadTxn, rows: Sequence[Row]) -> Iterator[Finding]:
        """Add what is in postings, with what waits to be merged."""
        for key, value in rows:
            try:
                payload = records.unseal(key, value)
                term, block = keys.split_posting(key)
                weight = None if key in self._overlay else self._single.get(payload)
                if weight is None:
                    members = decode_posting(key, value)
                    yield from _check_members(key, members)
                    weight = self._weigh(key, payload, members)
            except StoreCorrupt:
                yield Finding(keys.POSTING.name, key, DAMAGED)
            except ValueError:
                yield Finding(keys.POSTING.name, key, NO_SUCH_KEY)
            else:
                self._found.add(term, block, weight)

    def _weigh(self, key: bytes, payload: bytes, members: BitMap) -> int:
        """Return the weight of what is in a posting, with what waits to be merged."""
        is_single = len(members) == 1 and members.max() < BLOCK_SIZE and key not in self._overlay
        weight = self._found.weigh(self._overlay.lay_over(key, members))
        if is_single:
            self._single[payload] = weight
        return weight

    def _add_overlay(self, txn: ReadTxn) -> Iterator[Finding]:
        """Add what waits to be merged into postings that have no row yet."""
        for key in self._overlay:
            if txn.get(key) is None:
                self._found.add(*keys.split_posting(key), self._found.weigh(self._overlay.members(key, None)))
        yield from ()


def _check_members(key: bytes, members: BitMap) -> Iterator[Finding]:
    """Check that what is in a posting is something, and within its block."""
    if not members:
        yield Finding(keys.POSTING.name, key, "It is empty, and should have no row.")
    elif members.max() >= BLOCK_SIZE:
        yield Finding(keys.POSTING.name, key, "It reaches beyond its block.")


class _Rest:
    """Counts cells that are not looked at any more."""

    def __init__(self, cells: list[int]) -> None:
        self._cells = cells

    def __call__(self, _: ReadTxn) -> Iterator[Finding]:
        for _cell in self._cells:
            yield Finding(keys.POSTING.name, keys.POSTING.prefix, "Postings differ from the records.")
