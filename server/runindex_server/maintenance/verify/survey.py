"""The survey: the records of a copy, each read once and checked by itself, and what they come to.

Index rows, search terms and counters are held against that.
"""

from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError
from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.fold import Fold, counter_cell
from runindex_server.maintenance.verify.rows import PHASE, read_run
from runindex_server.maintenance.verify.sums import RowSums, TermSums, draw_weights
from runindex_server.maintenance.verify.walk import DAMAGED, Row, Walk, each
from runindex_server.schema import keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.counters import counters_of
from runindex_server.schema.derive import rows_of
from runindex_server.schema.run import Run, RunState, RunView
from runindex_server.schema.terms import terms_of
from runindex_server.search.postings import split_ordinal


class Survey:
    """What the records come to.

    What a damaged record said cannot be known. It is told once, and draws no further drifts after it: rows
    that lead to it are believed, and so is what counters count beyond what can be read.

    Attributes:
        rows: The rows that follow from them.
        terms: Each term with each run that has it.
        weights: Of the runs in `terms`.
        counters: The counters that follow from them.
        changed: How many runs have left the state in which they were created.
        damaged: The runs with a damaged record.
        unknown: By block of ordinals, the offsets of those.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows = RowSums()
        self.weights = draw_weights()
        self.terms = TermSums(self.weights)
        self.counters = Fold()
        self.changed = 0
        self.damaged: set[bytes] = set()
        self.unknown: dict[int, BitMap] = {}

    def walks(self) -> Iterator[Walk]:
        """Yield the walks that make it."""
        yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=self._visit_records)
        if self.damaged:
            yield Walk(phase=PHASE, ranges=[keys.ALL_RUNS.range], visit=each(self._believe), is_first=False)

    def _visit_records(self, txn: ReadTxn, rows: Sequence[Row]) -> Iterator[Finding]:
        """Check records by themselves, and add what they come to.

        One kind of work is done for all of them before the next: that takes two thirds of the time.
        """
        runs: list[Run] = []
        sound: list[Row] = []
        for key, value in rows:
            run = read_run(key, value)
            if run is None:
                self.damaged.add(key[len(keys.RUN.prefix) :])
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
        self.changed += sum(run.state is not RunState.ACTIVE for run in runs)
        # Most of them are of several runs.
        counts: dict[bytes, int] = {}
        for run in runs:
            for key, count in counters_of(run).items():
                counts[key] = counts.get(key, 0) + count
        for key, count in counts.items():
            self.counters.add(counter_cell(key), key, count)

    def _believe(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Keep which terms are of a damaged record."""
        if value in self.damaged:
            block, offset = split_ordinal(keys.ordinal_of(key))
            self.unknown.setdefault(block, BitMap()).add(offset)
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
