"""The migration from storage version 2 to 3: counters, two more indexes, and histories, from the records.

What it writes for some runs goes into one write with how far it has come. So counters are exact when it goes
on after a crash. Only rows that a server of version 2 does not know are written until the last write, but
that the old counts of children are removed before it when they are many.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Final, Self

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import WRITE_BYTES_MAX, ReadTxn, Store, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.counters import COUNTED, COUNTINGS
from runindex_server.schema.derive import LISTINGS
from runindex_server.schema.encoding import encode_u8
from runindex_server.schema.history import write_transition
from runindex_server.schema.run import Run, RunState

RUNS_MAX: Final = 1_000
"""Runs of one write."""

READ_BYTES_MAX: Final = 4 * 1024 * 1024
"""Records of one write, but for the last of them: they are held in memory."""

BYTES_MAX: Final = WRITE_BYTES_MAX // 2
"""What one write writes, but for the last of its runs: that has 64 tags at most, which come to 100 KB."""

ROWS_MAX: Final = 5_000
"""Rows that one write removes."""

REPORT_RUNS: Final = 100_000
"""Runs after which progress is told."""

OLD_CHILD_COUNT: Final = keys.prefix_range(keys.GLOBAL_NAMESPACE + encode_u8(0x11))
"""The counts of children up to version 2, without their states."""

ADDED: Final = (
    keys.STALE,
    keys.BY_ERROR,
    *(subspace for subspace in COUNTED if subspace is not keys.STATE_COUNT),
    keys.TRANSITION,
)
"""The subspaces that are filled in."""

_LISTINGS: Final = tuple(listing for listing in LISTINGS if listing.subspace in ADDED)
_COUNTINGS: Final = tuple(counting for counting in COUNTINGS if counting.subspace in ADDED)
_TRANSITION_BYTES: Final = 128
"""More than a row of a history without an actor takes."""

_COUNTER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far it has come.

    Attributes:
        revision: Of the store. Whoever changes a run changes it.
        through: The run up to which all is filled in; empty at the beginning.
    """

    revision: int
    through: bytes

    @classmethod
    def read(cls, txn: ReadTxn | WriteTxn) -> Self | None:
        """Return what the store says; None when it says nothing that can be read."""
        value = txn.get(keys.MIGRATION.prefix)
        try:
            message = records.read_message(
                pb.Migration, keys.MIGRATION.prefix, value or b"", what="migration"
            )
        except StoreCorrupt:
            return None
        return cls(message.revision, message.through_run_id)

    def write(self, txn: WriteTxn) -> None:
        """Keep it in the store."""
        message = pb.Migration(revision=self.revision, through_run_id=self.through)
        txn.put(keys.MIGRATION.prefix, records.seal(keys.MIGRATION.prefix, message.SerializeToString()))


@dataclass(slots=True)
class _Batch:
    """What one write fills in.

    Attributes:
        before: How far it has come before.
        runs: How many runs it is about.
        through: The last of them; empty when there is none.
        rows: Of indexes.
        counters: What is added to each.
        changed: The runs of which a transition is written.
        write_bytes: About what all that takes.
    """

    before: _Mark
    runs: int = 0
    through: bytes = b""
    rows: dict[bytes, bytes] = field(default_factory=dict)
    counters: Counter[bytes] = field(default_factory=Counter)
    changed: list[Run] = field(default_factory=list)
    write_bytes: int = 0

    def add(self, run: Run) -> None:
        """Add what follows from a run."""
        self.runs += 1
        self.through = run.run_id
        for key in chain.from_iterable(listing.keys(run) for listing in _LISTINGS):
            self.rows[key] = run.run_id
            self.write_bytes += len(key) + len(run.run_id)
        for counting in _COUNTINGS:
            for key, count in counting.counts(run).items():
                if key not in self.counters:
                    self.write_bytes += len(key) + _COUNTER_BYTES
                self.counters[key] += count
        if run.state is not RunState.ACTIVE:
            self.changed.append(run)
            self.write_bytes += _TRANSITION_BYTES


async def fill_in(store: Store, progress: Callable[[str], None]) -> Callable[[WriteTxn], None]:
    """Fill in what version 3 has beside version 2, and return what is to be written with the new version.

    Args:
        store: Which nobody else writes meanwhile.
        progress: Is told how far it is.

    Raises:
        StoreCorrupt: A record is damaged.
        StoreFull: There is no room.
    """
    mark = await _begin(store, progress)
    runs = reported = 0
    while True:
        batch = await store.read(partial(_next_batch, mark=mark), offload=True)
        if batch.runs:
            mark = await store.write(partial(_write, batch=batch))
            runs += batch.runs
        if runs - reported >= REPORT_RUNS or not batch.runs:
            progress(f"{runs} runs migrated")
            reported = runs
        if not batch.runs:
            break
    last_rows = await _remove_all_but_some(store, OLD_CHILD_COUNT)

    def finish(txn: WriteTxn) -> None:
        _remove(txn, rows=(*last_rows, keys.MIGRATION.prefix))

    return finish


async def _begin(store: Store, progress: Callable[[str], None]) -> _Mark:
    """Return how far an earlier migration has come, when nobody has written since; else begin anew."""
    mark, revision = await store.read(lambda txn: (_Mark.read(txn), txn.revision))
    if mark is not None and mark.revision == revision:
        progress("going on with a migration that did not end")
        return mark
    # Whatever stands there is of one that did not end, before an older server has written.
    for subspace in ADDED:
        rows = await _remove_all_but_some(store, subspace.range)
        if rows:
            await store.write(partial(_remove, rows=rows))
    mark = _Mark(revision, b"")
    await store.write(mark.write)
    return mark


def _next_batch(txn: ReadTxn, *, mark: _Mark) -> _Batch:
    """Return what follows from the next runs, of as many as fit into a write. Read-only."""
    batch = _Batch(mark)
    start, end = keys.RUN.range
    read_bytes = 0
    for key, value in txn.scan(keys.RUN.prefix + mark.through + b"\x00" if mark.through else start, end):
        batch.add(records.decode_run(key, value))
        read_bytes += len(value)
        if batch.runs == RUNS_MAX or read_bytes > READ_BYTES_MAX or batch.write_bytes > BYTES_MAX:
            break
    return batch


def _write(txn: WriteTxn, *, batch: _Batch) -> _Mark:
    """Write what follows from some runs, and how far it has come then."""
    mark = _Mark(batch.before.revision, batch.through)
    if (_Mark.read(txn), txn.revision) != (batch.before, batch.before.revision):
        msg = "somebody else writes a store that is being migrated"
        raise RuntimeError(msg)
    for key, value in batch.rows.items():
        txn.put(key, value)
    txn.add_many(batch.counters)
    for run in batch.changed:
        write_transition(txn, run, from_state=None)
    mark.write(txn)
    return mark


async def _remove_all_but_some(store: Store, whole: keys.KeyRange) -> tuple[bytes, ...]:
    """Remove rows of a range until what is left fits into one more write, and return that."""
    while True:
        rows = await store.read(partial(_first_keys, whole=whole), offload=True)
        if len(rows) < ROWS_MAX:
            return rows
        await store.write(partial(_remove, rows=rows))


def _first_keys(txn: ReadTxn, *, whole: keys.KeyRange) -> tuple[bytes, ...]:
    """Return the first keys of a range. Read-only."""
    return tuple(key for key, _ in islice(txn.scan(*whole), ROWS_MAX))


def _remove(txn: WriteTxn, *, rows: tuple[bytes, ...]) -> None:
    """Remove rows."""
    for key in rows:
        txn.delete(key)
