"""The survey: the records of a copy, each read once and checked by itself, and what they come to.

Index rows, search terms and counters are held against that.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError
from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import Fold, parent_cell
from runindex_server.maintenance.verify.rows import PHASE, read_run
from runindex_server.maintenance.verify.sums import RowSums, TermSums, draw_weights
from runindex_server.maintenance.verify.walk import DAMAGED, Row, Walk, each
from runindex_server.schema import keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.derive import rows_of
from runindex_server.schema.run import Run, RunState, RunView
from runindex_server.schema.terms import terms_of
from runindex_server.search.postings import split_ordinal


class Survey:
    """What the records come to.

    What a damaged record said cannot be known. As far as index rows lead to it they are believed, so that it
    is told once and draws no further drifts after it.

    Attributes:
        rows: The rows that follow from them.
        terms: Each term with each run that has it.
        weights: Of the runs in `terms`.
        states: Runs by state.
        children: Each parent, once for each child.
        unknown: By block of ordinals, the offsets of runs with a damaged record.
        believed: By parent, children with a damaged record.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows = RowSums()
        self.weights = draw_weights()
        self.terms = TermSums(self.weights)
        self.states: Counter[int] = Counter()
        self.children = Fold()
        self.unknown: dict[int, BitMap] = {}
        self.believed: Counter[bytes] = Counter()
        self._damaged: set[bytes] = set()

    def walks(self) -> Iterator[Walk]:
        """Yield the walks that make it."""
        yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=self._visit_records)
        if self._damaged:
            ranges = [index.range for index in (keys.ALL_RUNS, keys.BY_STATE, keys.BY_PARENT)]
            yield Walk(phase=PHASE, ranges=ranges, visit=each(self._believe), is_first=False)

    def _visit_records(self, txn: ReadTxn, rows: Sequence[Row]) -> Iterator[Finding]:
        """Check records by themselves, and add what they come to.

        One kind of work is done for all of them before the next: that takes two thirds of the time.
        """
        runs: list[Run] = []
        sound: list[Row] = []
        for key, value in rows:
            run = read_run(key, value)
            if run is None:
                self._damaged.add(key[len(keys.RUN.prefix) :])
                yield Finding(keys.RUN.name, key, DAMAGED)
            else:
                runs.append(run)
                sound.append((key, value))
        self._add(runs)
        for run, (key, value) in zip(runs, sound, strict=True):
            if run.revision > txn.revision:
                yield Finding(keys.RUN.name, key, "It is of a revision that the store has not reached.")
            if not _is_coherent(run, key, value):
                yield Finding(keys.RUN.name, key, "What it says of itself does not agree.")

    def _add(self, runs: Sequence[Run]) -> None:
        """Add what records come to."""
        for run in runs:
            self.rows.add_run(run.run_id, rows_of(run))
        for run in runs:
            self.terms.add_run(run.ordinal, terms_of(run))
        self.states.update(run.state for run in runs)
        for run in runs:
            if run.parent is not None:
                self.children.add(parent_cell(run.parent), run.parent)

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


def _is_coherent(run: Run, key: bytes, value: bytes) -> bool:
    """Tell whether the record is the one that is written for what was read from it."""
    if records.encode_run(run) == value:
        return True
    body = records.view_message(key, value, RunView.FULL)
    try:
        # Another protobuf library may have put the same fields into other bytes.
        return pb.RunRecord.FromString(body) == pb.RunRecord.FromString(records.run_message(run))
    except DecodeError:
        return False
