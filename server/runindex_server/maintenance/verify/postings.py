"""Postings that are looked at one by one, because those of their block do not agree with the records.

Those of a block are many: first the folds of their cells are compared, in one walk, and then the postings of
the cells that differ, some cells at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pyroaring import BitMap

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import Fold, block_of, term_cell
from runindex_server.maintenance.verify.rows import read_run
from runindex_server.maintenance.verify.walk import MISSING, Finish, VisitRow, Walk, each
from runindex_server.schema import keys, records
from runindex_server.schema.changes import Change
from runindex_server.schema.run import Run
from runindex_server.schema.terms import terms_of
from runindex_server.search.postings import BLOCK_SIZE, decode_posting, split_ordinal

PHASE: Final = "search terms"


class Overlay:
    """What waits to be merged."""

    def __init__(self) -> None:
        """Begin with nothing."""
        # By the key of a posting: the offsets that change, and whether they are in it from then on.
        self._changes: dict[bytes, dict[int, bool]] = {}

    def add(self, change: Change) -> None:
        """Lay a change over those before it."""
        block, offset = split_ordinal(change.ordinal)
        for terms, is_member in ((change.removed, False), (change.added, True)):
            for term in terms:
                self._changes.setdefault(keys.posting(term, block), {})[offset] = is_member

    def __iter__(self) -> Iterator[bytes]:
        """Yield the keys of the postings that something waits to be merged into."""
        return iter(self._changes)

    def __contains__(self, key: bytes) -> bool:
        """Tell whether something waits to be merged into a posting."""
        return key in self._changes

    def members(self, key: bytes, value: bytes | None) -> BitMap:
        """Return what is in a posting, with what waits to be merged laid over it.

        Raises:
            StoreCorrupt: The row is damaged.
        """
        return self.lay_over(key, decode_posting(key, value))

    def lay_over(self, key: bytes, members: BitMap) -> BitMap:
        """Return what is in a posting, as far as it may be, with what waits to be merged laid over it.

        Args:
            key: Of the posting.
            members: What is in its row. Changed.
        """
        if members and members.max() >= BLOCK_SIZE:
            members &= BitMap(range(BLOCK_SIZE))
        for offset, is_member in self._changes.get(key, {}).items():
            if is_member:
                members.add(offset)
            else:
                members.discard(offset)
        return members


class Narrowing:
    """Compares the cells of some blocks."""

    def __init__(self, overlay: Overlay, blocks: frozenset[int]) -> None:
        """Take what waits to be merged, and the blocks."""
        self._overlay = overlay
        self._blocks = blocks
        self._expected = Fold()
        self._found = Fold()

    def walks(self) -> Iterator[Walk]:
        """Yield the walks over records and postings."""
        yield from _walks(self._visit_record, self._visit_posting, self._add_overlay)

    def differing(self) -> list[int]:
        """Return the cells that differ, in order."""
        return self._expected.differing(self._found)

    def _visit_record(self, _: ReadTxn, key: bytes, value: bytes) -> Iterable[Finding]:
        """Add what a record says to the cells of its block."""
        run = _read_run_of(self._blocks, key, value)
        if run is not None:
            block, offset = split_ordinal(run.ordinal)
            member = offset.to_bytes(2, "big")
            for term in terms_of(run):
                self._expected.add(term_cell(term, block), term + member)
        return ()

    def _visit_posting(self, _: ReadTxn, key: bytes, value: bytes | None) -> Iterable[Finding]:
        """Add what is in a posting, with what waits to be merged."""
        try:
            term, block = keys.split_posting(key)
            members = self._overlay.members(key, value) if block in self._blocks else ()
        except (StoreCorrupt, ValueError):
            # That it is damaged has been told.
            return ()
        cell = term_cell(term, block)
        for offset in members:
            self._found.add(cell, term + offset.to_bytes(2, "big"))
        return ()

    def _add_overlay(self, txn: ReadTxn) -> Iterable[Finding]:
        """Add what waits to be merged into postings that have no row yet."""
        for key in self._overlay:
            if txn.get(key) is None:
                self._visit_posting(txn, key, None)
        return ()


class Comparison:
    """Compares some cells posting by posting.

    Attributes:
        finding_count: Postings that differ.
    """

    def __init__(self, overlay: Overlay, cells: frozenset[int], unknown: Mapping[int, BitMap]) -> None:
        """Take what waits to be merged, the cells, and by block the offsets of which nothing is known."""
        self.finding_count = 0
        self._overlay = overlay
        self._cells = cells
        self._blocks = frozenset(map(block_of, cells))
        self._unknown = unknown
        # By the key of a posting: what the records say.
        self._expected: dict[bytes, BitMap] = {}

    def walks(self) -> Iterator[Walk]:
        """Yield the walks over records and postings."""
        yield from _walks(self._visit_record, self._visit_posting, self._compare_rest)

    def _visit_record(self, _: ReadTxn, key: bytes, value: bytes) -> Iterable[Finding]:
        """Add what a record says to the postings of the cells."""
        run = _read_run_of(self._blocks, key, value)
        if run is not None:
            block, offset = split_ordinal(run.ordinal)
            for term in terms_of(run):
                if term_cell(term, block) in self._cells:
                    self._expected.setdefault(keys.posting(term, block), BitMap()).add(offset)
        return ()

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
        overlaid = [key for key in self._overlay if term_cell(*keys.split_posting(key)) in self._cells]
        for key in sorted({*self._expected, *overlaid}):
            if txn.get(key) is None:
                yield from self._compare(key, None)

    def _compare(self, key: bytes, value: bytes | None) -> Iterator[Finding]:
        """Compare a posting."""
        unknown = self._unknown.get(keys.split_posting(key)[1], BitMap())
        expected = self._expected.pop(key, BitMap()) - unknown
        try:
            found = self._overlay.members(key, value) - unknown
        except StoreCorrupt:
            # That it is damaged has been told.
            return
        lacking, beyond = len(expected - found), len(found - expected)
        if value is None and lacking and not found:
            yield self._differs(key, MISSING)
        elif lacking or beyond:
            problem = f"With what waits to be merged, {lacking} runs are missing in it and {beyond} too many."
            yield self._differs(key, problem)

    def _differs(self, key: bytes, problem: str) -> Finding:
        """Find that a posting differs."""
        self.finding_count += 1
        return Finding(keys.POSTING.name, key, problem)


def _walks(visit_record: VisitRow, visit_posting: VisitRow, finish: Finish) -> Iterator[Walk]:
    """Yield the walks over records and postings that follow the first ones."""
    yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=each(visit_record), is_first=False)
    yield Walk(
        phase=PHASE,
        ranges=[keys.POSTING.range],
        visit=each(visit_posting),
        finish=finish,
        is_first=False,
    )


def _read_run_of(blocks: frozenset[int], key: bytes, value: bytes) -> Run | None:
    """Return the run in a row; None when it is of none of the blocks, or the row is damaged."""
    try:
        block, _ = split_ordinal(records.ordinal_of(key, value))
    except StoreCorrupt:
        return None
    return read_run(key, value) if block in blocks else None
