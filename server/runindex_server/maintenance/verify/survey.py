"""The survey: what the records of a copy come to, for its search terms and counters to be held against."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import Fold, parent_cell, term_cell
from runindex_server.maintenance.verify.rows import read_run
from runindex_server.maintenance.verify.walk import Walk
from runindex_server.schema import keys
from runindex_server.schema.run import RunState
from runindex_server.schema.terms import terms_of
from runindex_server.search.postings import split_ordinal

PHASE: Final = "search terms"


class Survey:
    """What the records come to.

    What a damaged record said cannot be known. As far as index rows lead to it they are believed, so that it
    is told once and draws no further drifts after it.

    Attributes:
        terms: Each term with each run that has it.
        states: Runs by state.
        children: Each parent, once for each child.
        unknown: By block of ordinals, the offsets of runs with a damaged record.
        believed: By parent, children with a damaged record.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.terms = Fold()
        self.states: Counter[int] = Counter()
        self.children = Fold()
        self.unknown: dict[int, BitMap] = {}
        self.believed: Counter[bytes] = Counter()
        self._damaged: set[bytes] = set()

    def walks(self) -> Iterator[Walk]:
        """Yield the walks that make it."""
        yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=self._visit_record, is_first=False)
        if self._damaged:
            ranges = [index.range for index in (keys.ALL_RUNS, keys.BY_STATE, keys.BY_PARENT)]
            yield Walk(phase=PHASE, ranges=ranges, visit=self._believe, is_first=False)

    def _visit_record(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add what a record comes to."""
        run = read_run(key, value)
        if run is None:
            # That it is damaged has been told.
            self._damaged.add(key[len(keys.RUN.prefix) :])
        else:
            self.states[run.state] += 1
            if run.parent is not None:
                self.children.add(parent_cell(run.parent), run.parent)
            block, offset = split_ordinal(run.ordinal)
            member = offset.to_bytes(2, "big")
            for term in terms_of(run):
                self.terms.add(term_cell(term, block), term + member)
        yield from ()

    def _believe(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add what an index row tells of a damaged record."""
        if value in self._damaged:
            if key.startswith(keys.ALL_RUNS.prefix):
                block, offset = split_ordinal(keys.ordinal_of(key))
                self.unknown.setdefault(block, BitMap()).add(offset)
            elif key.startswith(keys.BY_STATE.prefix):
                self.states[RunState(key[len(keys.BY_STATE.prefix)])] += 1
            else:
                parent = key[len(keys.BY_PARENT.prefix) :][:16]
                self.believed[parent] += 1
                self.children.add(parent_cell(parent), parent)
        yield from ()
