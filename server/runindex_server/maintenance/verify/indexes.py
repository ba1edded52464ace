"""Indexes of runs: the rows of a copy that lead to runs, against those that follow from its records.

All of them are compared as sums; only where these differ, row by row. Rows that lead to a damaged record are
not judged: the record is told.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.rows import PHASE, read_run
from runindex_server.maintenance.verify.sums import RowSums, row_cell
from runindex_server.maintenance.verify.survey import Survey
from runindex_server.maintenance.verify.walk import MISSING, Row, Walk, each
from runindex_server.schema import keys
from runindex_server.schema.derive import LISTINGS, rows_of
from runindex_server.schema.run import DEFAULT_RUN_ID, RunId

INDEXES: Final = tuple(sorted((listing.subspace for listing in LISTINGS), key=attrgetter("tag")))
"""The subspaces of `derive.rows_of`, in the order of their keys."""

_TAG_AT: Final = len(keys.GLOBAL_NAMESPACE)
_RUN_ID_BYTES: Final = len(DEFAULT_RUN_ID)
_NAME_BY_TAG: Final = {subspace.tag: subspace.name for subspace in INDEXES}
_RANGES: Final = tuple(subspace.range for subspace in INDEXES)


class IndexCheck:
    """Compares the indexes of a copy with its records."""

    def __init__(self, survey: Survey) -> None:
        """Take what the records come to."""
        self._survey = survey
        self._found = RowSums()
        self._differing: frozenset[int] = frozenset()

    def walks(self) -> Iterator[Walk]:
        """Yield the walks of the comparison, after those of the survey."""
        yield Walk(phase=PHASE, ranges=_RANGES, visit=self._visit_rows)
        self._differing = self._survey.rows.differing(self._found)
        if self._differing:
            yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=each(self._compare_record), is_first=False)
            yield Walk(phase=PHASE, ranges=_RANGES, visit=each(self._compare_row), is_first=False)

    def _visit_rows(self, _: ReadTxn, rows: Sequence[Row]) -> Iterator[Finding]:
        """Add rows."""
        for key, value in rows:
            if len(value) == _RUN_ID_BYTES:
                self._found.add(key, value)
            else:
                yield _finding(key, "It leads to no run: its value is no id.")

    def _compare_record(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that each row is there that follows from a record, when it is in one of the cells."""
        if row_cell(key) not in self._differing:
            return
        run = read_run(key, value)
        if run is None:
            return
        rows = list(rows_of(run))
        for row, found in zip(rows, txn.get_many(rows), strict=True):
            if found is None:
                yield _finding(row, MISSING)
            elif found != run.run_id and _is_claimed(txn, row, found):
                yield _finding(row, "It follows from two records, and can lead to only one.")

    def _compare_row(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a row follows from the record to which it leads, when it is in one of the cells."""
        if len(value) != _RUN_ID_BYTES or row_cell(value) not in self._differing:
            return
        record = keys.run(RunId(value))
        found = txn.get(record)
        if found is None:
            yield _finding(key, "It leads to a run that is not there.")
            return
        run = read_run(record, found)
        if run is not None and key not in rows_of(run):
            yield _finding(key, "It does not follow from the record to which it leads.")


def _is_claimed(txn: ReadTxn, row: bytes, value: bytes) -> bool:
    """Tell whether a row surely follows from the record to which it leads."""
    if len(value) != _RUN_ID_BYTES:
        return False
    record = keys.run(RunId(value))
    found = txn.get(record)
    run = None if found is None else read_run(record, found)
    return run is not None and row in rows_of(run)


def _finding(key: bytes, problem: str) -> Finding:
    return Finding(_NAME_BY_TAG[key[_TAG_AT]], key, problem)
