"""Counters: those of a copy against the records and rows that they count."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from runindex_server.kv.api import ReadTxn, decode_counter
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import PARENT_CELLS_AT_ONCE, Fold, parent_cell
from runindex_server.maintenance.verify.rows import check_counter, is_living, read_run
from runindex_server.maintenance.verify.survey import Survey
from runindex_server.maintenance.verify.terms import TermCheck
from runindex_server.maintenance.verify.walk import NO_SUCH_KEY, Walk, each
from runindex_server.schema import keys
from runindex_server.schema.encoding import decode_u64
from runindex_server.schema.run import RunId, RunState

PHASE: Final = "counters"


class CounterCheck:
    """Compares the counters of a copy with what they count."""

    def __init__(self, survey: Survey, terms: TermCheck) -> None:
        """Take what the records come to, and what waits to be merged."""
        self._survey = survey
        self._terms = terms
        self._children = Fold()

    def walks(self) -> Iterator[Walk]:
        """Yield the walks of the comparison, after those of the survey and of the terms."""
        yield Walk(
            phase=PHASE,
            ranges=[keys.STATE_COUNT.range],
            visit=each(self._visit_state_count),
            finish=self._compare_states,
        )
        yield Walk(
            phase=PHASE,
            ranges=[keys.PENDING_COUNT.range],
            visit=each(self._visit_pending_count),
            finish=self._compare_pending,
        )
        yield Walk(phase=PHASE, ranges=[keys.HOLDING.range], visit=each(self._visit_holding), is_first=False)
        yield Walk(phase=PHASE, ranges=[keys.CHILD_COUNT.range], visit=each(self._visit_child_count))
        cells = self._survey.children.differing(self._children)
        for start in range(0, len(cells), PARENT_CELLS_AT_ONCE):
            yield from _Comparison(
                self._survey, frozenset(cells[start : start + PARENT_CELLS_AT_ONCE])
            ).walks()

    def _visit_state_count(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a row counts the runs of a state."""
        if key not in set(map(keys.state_count, RunState)):
            yield Finding(keys.STATE_COUNT.name, key, NO_SUCH_KEY)
            return
        yield from check_counter(keys.STATE_COUNT.name, key, value)

    def _compare_states(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check that the runs of each state are counted."""
        for state in RunState:
            yield from compare_counter(
                txn, keys.STATE_COUNT.name, keys.state_count(state), self._survey.states[state]
            )

    def _visit_pending_count(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a row counts what waits to be merged."""
        if key != keys.PENDING_TERMS_COUNT:
            yield Finding(keys.PENDING_COUNT.name, key, NO_SUCH_KEY)
            return
        yield from check_counter(keys.PENDING_COUNT.name, key, value)

    def _compare_pending(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check that what waits to be merged is counted."""
        yield from compare_counter(
            txn, keys.PENDING_COUNT.name, keys.PENDING_TERMS_COUNT, self._terms.pending_count
        )

    def _visit_holding(self, txn: ReadTxn, key: bytes, _: bytes) -> Iterator[Finding]:
        """Check that a run of which something is counted has data; how much it is, is checked with that."""
        of = key[len(keys.HOLDING.prefix) :]
        if len(of) != 25:
            return
        run_id, generation = RunId(of[:16]), decode_u64(of[16:24])
        data = keys.data_range(run_id, generation)
        if is_living(txn, run_id, generation) and not any(txn.scan(data.start, data.end, limit=1)):
            yield from compare_counter(txn, keys.HOLDING.name, key, 0)

    def _visit_child_count(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add how many children a parent has, as they are counted."""
        parent = key[len(keys.CHILD_COUNT.prefix) :]
        if len(parent) != 16:
            yield Finding(keys.CHILD_COUNT.name, key, NO_SUCH_KEY)
            return
        yield from check_counter(keys.CHILD_COUNT.name, key, value)
        if len(value) == 8:
            self._children.add(parent_cell(parent), parent, decode_counter(value))


class _Comparison:
    """Compares the counts of children in some cells parent by parent."""

    def __init__(self, survey: Survey, cells: frozenset[int]) -> None:
        self._survey = survey
        self._cells = cells
        self._expected: Counter[bytes] = Counter()

    def walks(self) -> Iterator[Walk]:
        yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=each(self._visit_record), is_first=False)
        yield Walk(
            phase=PHASE,
            ranges=[keys.CHILD_COUNT.range],
            visit=each(self._visit_child_count),
            finish=self._compare_rest,
            is_first=False,
        )

    def _visit_record(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add a child to those of its parent, when that is in one of the cells."""
        run = read_run(key, value)
        if run is not None and run.parent is not None and parent_cell(run.parent) in self._cells:
            self._expected[run.parent] += 1
        yield from ()

    def _visit_child_count(self, txn: ReadTxn, key: bytes, _: bytes) -> Iterator[Finding]:
        """Compare the count of a parent's children, when it is in one of the cells."""
        parent = key[len(keys.CHILD_COUNT.prefix) :]
        if len(parent) == 16 and parent_cell(parent) in self._cells:
            expected = self._expected.pop(parent, 0) + self._survey.believed[parent]
            yield from compare_counter(txn, keys.CHILD_COUNT.name, key, expected)

    def _compare_rest(self, txn: ReadTxn) -> Iterator[Finding]:
        """Find the parents whose children nobody counts."""
        believed = {parent for parent in self._survey.believed if parent_cell(parent) in self._cells}
        for parent in sorted({*self._expected, *believed}):
            key = keys.child_count(RunId(parent))
            if txn.get(key) is None:
                expected = self._expected[parent] + self._survey.believed[parent]
                yield from compare_counter(txn, keys.CHILD_COUNT.name, key, expected)


def compare_counter(txn: ReadTxn, subspace: str, key: bytes, expected: int) -> Iterator[Finding]:
    """Check that a counter counts what it should. One that is none has been told."""
    try:
        found = txn.get_counter(key)
    except ValueError:
        return
    if found != expected:
        yield Finding(subspace, key, f"It counts {found}, not {expected}.")
