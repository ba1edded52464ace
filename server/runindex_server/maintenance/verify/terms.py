"""Search terms: the postings of a copy, with what waits to be merged laid over them, against its records.

All pairs of a term and a run are compared as folds; only where these differ, posting by posting. In memory is
what waits to be merged, which is bounded, and what is looked at posting by posting at one time.
"""

from collections.abc import Iterator
from typing import Final

from pyroaring import BitMap

from runindex_server import limits
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import TERM_CELLS_AT_ONCE, Fold, block_of, term_cell
from runindex_server.maintenance.verify.rows import read_run
from runindex_server.maintenance.verify.survey import PHASE, Survey
from runindex_server.maintenance.verify.walk import DAMAGED, MISSING, NO_SUCH_KEY, Walk
from runindex_server.schema import keys, records
from runindex_server.schema.changes import Change, merged_through, read_changes
from runindex_server.schema.terms import terms_of
from runindex_server.search.postings import BLOCK_SIZE, decode_posting, split_ordinal

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
        self._found = Fold()
        # By the key of a posting: the offsets that change, and whether they are in it from then on.
        self._overlay: dict[bytes, dict[int, bool]] = {}
        self._merged = 0
        self._is_comparable = True
        self._finding_count = 0

    def walks(self) -> Iterator[Walk]:
        """Yield the walks of the comparison, after those of the survey."""
        yield Walk(phase=PHASE, ranges=[keys.MERGE.range], visit=self._visit_merge)
        yield Walk(phase=PHASE, ranges=[keys.PENDING_TERMS.range], visit=self._visit_pending)
        yield Walk(
            phase=PHASE, ranges=[keys.POSTING.range], visit=self._visit_posting, finish=self._fold_overlay
        )
        if not self._is_comparable:
            return
        cells = self._survey.terms.differing(self._found)
        for start in range(0, len(cells), TERM_CELLS_AT_ONCE):
            # More is not told, and only has to be counted.
            if self._finding_count > limits.DRIFTS_TOLD_MAX:
                yield Walk(phase=PHASE, ranges=(), visit=self._visit_merge, finish=_Rest(cells[start:]))
                return
            yield from _Comparison(self, frozenset(cells[start : start + TERM_CELLS_AT_ONCE])).walks()

    def unknown(self, block: int) -> BitMap:
        """Return the offsets in a block of which nothing is known."""
        return self._survey.unknown.get(block, BitMap())

    def members(self, key: bytes, value: bytes | None) -> BitMap:
        """Return what is in a posting, with what waits to be merged laid over it.

        Raises:
            StoreCorrupt: The row is damaged.
        """
        members = decode_posting(key, value)
        if members and members.max() >= BLOCK_SIZE:
            members &= BitMap(range(BLOCK_SIZE))
        for offset, is_member in self._overlay.get(key, {}).items():
            if is_member:
                members.add(offset)
            else:
                members.discard(offset)
        return members

    def overlaid(self) -> list[bytes]:
        """Return the keys of the postings that something waits to be merged into."""
        return list(self._overlay)

    def differs(self, key: bytes, problem: str) -> Iterator[Finding]:
        """Find that a posting differs."""
        self._finding_count += 1
        yield Finding(keys.POSTING.name, key, problem)

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
            self._lay_over(change)

    def _lay_over(self, change: Change) -> None:
        """Lay a change over those before it."""
        block, offset = split_ordinal(change.ordinal)
        for terms, is_member in ((change.removed, False), (change.added, True)):
            for term in terms:
                self._overlay.setdefault(keys.posting(term, block), {})[offset] = is_member

    def _visit_posting(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add what is in a posting, with what waits to be merged."""
        try:
            stored = decode_posting(key, value)
            self._fold_posting(key, value)
        except StoreCorrupt:
            yield Finding(keys.POSTING.name, key, DAMAGED)
            return
        except ValueError:
            yield Finding(keys.POSTING.name, key, NO_SUCH_KEY)
            return
        if not stored:
            yield Finding(keys.POSTING.name, key, "It is empty, and should have no row.")
        elif stored.max() >= BLOCK_SIZE:
            yield Finding(keys.POSTING.name, key, "It reaches beyond its block.")

    def _fold_posting(self, key: bytes, value: bytes | None) -> None:
        """Add what is in a posting, with what waits to be merged."""
        term, block = keys.split_posting(key)
        cell = term_cell(term, block)
        for offset in self.members(key, value):
            self._found.add(cell, term + offset.to_bytes(2, "big"))

    def _fold_overlay(self, txn: ReadTxn) -> Iterator[Finding]:
        """Add what waits to be merged into postings that have no row yet."""
        for key in self._overlay:
            if txn.get(key) is None:
                self._fold_posting(key, None)
        yield from ()


class _Comparison:
    """Compares some cells posting by posting."""

    def __init__(self, check: TermCheck, cells: frozenset[int]) -> None:
        self._check = check
        self._cells = cells
        self._blocks = frozenset(map(block_of, cells))
        # By the key of a posting: what the records say.
        self._expected: dict[bytes, BitMap] = {}

    def walks(self) -> Iterator[Walk]:
        yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=self._visit_record, is_first=False)
        yield Walk(
            phase=PHASE,
            ranges=[keys.POSTING.range],
            visit=self._visit_posting,
            finish=self._compare_rest,
            is_first=False,
        )

    def _visit_record(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add what a record says to the postings of the cells."""
        yield from ()
        try:
            block, offset = split_ordinal(records.ordinal_of(key, value))
        except StoreCorrupt:
            return
        run = read_run(key, value) if block in self._blocks else None
        if run is None:
            return
        for term in terms_of(run):
            if term_cell(term, block) in self._cells:
                self._expected.setdefault(keys.posting(term, block), BitMap()).add(offset)

    def _visit_posting(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Compare a posting, when it is in one of the cells."""
        try:
            is_meant = term_cell(*keys.split_posting(key)) in self._cells
        except ValueError:
            return
        if is_meant:
            yield from self._compare(key, value)

    def _compare_rest(self, txn: ReadTxn) -> Iterator[Finding]:
        """Compare the postings that have no row."""
        overlaid = [
            key for key in self._check.overlaid() if term_cell(*keys.split_posting(key)) in self._cells
        ]
        for key in sorted({*self._expected, *overlaid}):
            if txn.get(key) is None:
                yield from self._compare(key, None)

    def _compare(self, key: bytes, value: bytes | None) -> Iterator[Finding]:
        """Compare a posting."""
        unknown = self._check.unknown(keys.split_posting(key)[1])
        expected = self._expected.pop(key, BitMap()) - unknown
        try:
            found = self._check.members(key, value) - unknown
        except StoreCorrupt:
            # That it is damaged has been told.
            return
        lacking, beyond = len(expected - found), len(found - expected)
        if value is None and lacking and not found:
            yield from self._check.differs(key, MISSING)
        elif lacking or beyond:
            problem = f"With what waits to be merged, {lacking} runs are missing in it and {beyond} too many."
            yield from self._check.differs(key, problem)


class _Rest:
    """Counts cells that are not looked at any more."""

    def __init__(self, cells: list[int]) -> None:
        self._cells = cells

    def __call__(self, _: ReadTxn) -> Iterator[Finding]:
        for _cell in self._cells:
            yield Finding(keys.POSTING.name, keys.POSTING.prefix, "Postings differ from the records.")
