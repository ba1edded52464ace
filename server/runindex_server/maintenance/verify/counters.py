"""Counters: those of a copy against the records and rows that they count.

Those that follow from records are compared as sums by cells; only those of a cell that differs one by one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from runindex_server import limits
from runindex_server.kv.api import ReadTxn, decode_counter
from runindex_server.maintenance.verify.counter_keys import is_counter, most_of_one_run
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import Fold, counter_cell, tag_of
from runindex_server.maintenance.verify.rows import check_counter, is_living, read_run
from runindex_server.maintenance.verify.survey import Survey
from runindex_server.maintenance.verify.terms import TermCheck
from runindex_server.maintenance.verify.walk import NO_SUCH_KEY, Row, Walk, each
from runindex_server.schema import keys
from runindex_server.schema.counters import COUNTED, counters_of
from runindex_server.schema.encoding import decode_u64
from runindex_server.schema.run import RunId

PHASE: Final = "counters"

COUNTERS_AT_ONCE: Final = 100_000
"""Counters of cells that differ that are held in memory at a time: some 20 MB."""

_SUBSPACE_BY_TAG: Final = {subspace.tag: subspace for subspace in COUNTED}


class CounterCheck:
    """Compares the counters of a copy with what they count."""

    def __init__(self, survey: Survey, terms: TermCheck) -> None:
        """Take what the records come to, and what waits to be merged."""
        self._survey = survey
        self._terms = terms
        self._found = Fold()

    def walks(self) -> Iterator[Walk]:
        """Yield the walks of the comparison, after those of the survey and of the terms."""
        yield Walk(
            phase=PHASE,
            ranges=[keys.PENDING_COUNT.range],
            visit=each(self._visit_pending_count),
            finish=self._compare_pending,
        )
        yield Walk(phase=PHASE, ranges=[keys.HOLDING.range], visit=each(self._visit_holding), is_first=False)
        ranges = [subspace.range for subspace in COUNTED]
        yield Walk(phase=PHASE, ranges=ranges, visit=each(self._visit_counter))
        yield from self._look_closer(self._survey.counters.differing(self._found))

    def _look_closer(self, cells: Sequence[int]) -> Iterator[Walk]:
        """Yield the walks that compare the counters of cells one by one."""
        finding_count = 0
        while cells:
            # More is not told, and only has to be counted.
            if finding_count > limits.DRIFTS_TOLD_MAX:
                yield Walk(phase=PHASE, ranges=(), visit=each(self._visit_counter), finish=_Rest(cells))
                return
            comparison = _Comparison(cells, len(self._survey.damaged))
            yield from comparison.walks()
            finding_count += comparison.finding_count
            cells = cells[comparison.cell_count :]

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

    def _visit_counter(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Add a counter as it stands. One whose key is of no form makes its cell differ."""
        yield from check_counter(_name_of(key), key, value)
        if len(value) == 8:
            self._found.add(counter_cell(key), key, decode_counter(value))


class _Comparison:
    """Compares the counters of some cells one by one, of as many cells as go into memory.

    While records are damaged, what they said is not known, and could be what a counter counts beyond the
    sound ones. So a counter is told when it counts less than these come to, or more than these and as many
    others as are damaged can come to.

    Attributes:
        cell_count: How many of the cells were compared, the first ones; known when its walks have ended.
        finding_count: Counters that are not what they should be.
    """

    def __init__(self, cells: Sequence[int], damaged: int) -> None:
        """Take the cells, in order, and how many records are damaged."""
        self.finding_count = 0
        self._damaged = damaged
        self._in_order = cells
        self._cells = frozenset(cells)
        self._expected: Counter[bytes] = Counter()

    @property
    def cell_count(self) -> int:
        return len(self._cells)

    def walks(self) -> Iterator[Walk]:
        """Yield the walks over records and counters."""
        yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=self._visit_records, is_first=False)
        yield Walk(
            phase=PHASE,
            ranges=[subspace.range for subspace in COUNTED],
            visit=each(self._visit_counter),
            finish=self._compare_rest,
            is_first=False,
        )

    def _visit_records(self, _: ReadTxn, rows: Sequence[Row]) -> Iterator[Finding]:
        """Add what records come to, and leave cells to another comparison when that is too much."""
        for key, value in rows:
            run = read_run(key, value)
            for counter, count in () if run is None else counters_of(run).items():
                if counter_cell(counter) in self._cells:
                    self._expected[counter] += count
        while len(self._expected) > COUNTERS_AT_ONCE and len(self._cells) > 1:
            self._cells = frozenset(self._in_order[: len(self._cells) // 2])
            kept = {key: count for key, count in self._expected.items() if counter_cell(key) in self._cells}
            self._expected = Counter(kept)
        yield from ()

    def _visit_counter(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Compare a counter, when it is in one of the cells. One that is none has been told."""
        if counter_cell(key) not in self._cells:
            return
        expected = self._expected.pop(key, 0)
        if not is_counter(key):
            self.finding_count += 1
            yield Finding(_name_of(key), key, NO_SUCH_KEY)
        elif len(value) == 8:
            yield from self._compare(key, decode_counter(value), expected)

    def _compare_rest(self, _: ReadTxn) -> Iterator[Finding]:
        """Find the counters that are missing."""
        for key in sorted(self._expected):
            yield from self._compare(key, 0, self._expected[key])

    def _compare(self, key: bytes, found: int, expected: int) -> Iterator[Finding]:
        """Compare a counter with what the sound records come to."""
        if found < expected or found > expected + self._damaged * most_of_one_run(key):
            self.finding_count += 1
            yield Finding(_name_of(key), key, f"It counts {found}, not {expected}.")


class _Rest:
    """Counts cells that are not looked at any more."""

    def __init__(self, cells: Sequence[int]) -> None:
        self._cells = cells

    def __call__(self, _: ReadTxn) -> Iterator[Finding]:
        for cell in self._cells:
            subspace = _SUBSPACE_BY_TAG[tag_of(cell)]
            yield Finding(subspace.name, subspace.prefix, "Counters differ from the records.")


def compare_counter(txn: ReadTxn, subspace: str, key: bytes, expected: int) -> Iterator[Finding]:
    """Check that a counter counts what it should. One that is none has been told."""
    try:
        found = txn.get_counter(key)
    except ValueError:
        return
    if found != expected:
        yield Finding(subspace, key, f"It counts {found}, not {expected}.")


def _name_of(key: bytes) -> str:
    """Return the name of the subspace of a counter."""
    return _SUBSPACE_BY_TAG[tag_of(counter_cell(key))].name
