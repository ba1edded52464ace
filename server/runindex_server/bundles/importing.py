"""Import: takes the runs of a bundle into a store, all of them or none.

What they hold is staged out of sight, behind a tombstone for each: so what an interrupted import leaves is
erased by the background jobs of the next server. One last write makes all runs appear, and takes the
tombstones away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final

from runindex_server.bundles.archive import BundleRefused, Counts, check_digest, read_entries
from runindex_server.bundles.contents import BundleCheck, BundledRun
from runindex_server.bundles.staging import RunRows, StagedRow
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.engine import OwnStore
from runindex_server.schema import keys
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.derive import write_run
from runindex_server.schema.due import AT_ONCE, policy_of, schedule, trims_data
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.header import read_header
from runindex_server.schema.holdings import add_holding
from runindex_server.schema.retention_state import read_default_policy_sweep
from runindex_server.schema.run import RunId, run_id_text

STAGED_BYTES_MAX: Final = 1024 * 1024
"""Rows of one write of what is staged, but for the last of them: half of what a write may be."""

IDS_SHOWN_MAX: Final = 3


class ImportRefused(Exception):
    """A sound bundle that this store does not take. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A sound bundle.

    Attributes:
        file: Open as long as it is used.
        digest: The checksum of it all.
        header: What it is of.
        runs: Its runs, by id, in the order in which they come.
        counts: How much it holds.
    """

    file: BinaryIO
    digest: bytes
    header: pb.BundleHeader
    runs: Mapping[RunId, BundledRun]
    counts: Counts


def read_bundle(file: BinaryIO, *, now_us: int) -> Bundle:
    """Read a file whole, and see that it is a sound bundle.

    Args:
        file: Open for reading, and seekable.
        now_us: The wall clock, in microseconds since 1970.

    Raises:
        BundleRefused: It is none, or holds times that are yet to come.
        OSError: It cannot be read.
    """
    digest = check_digest(file)
    check, counts = BundleCheck(), Counts()
    for entry in read_entries(file, digest):
        check.visit(entry)
        counts.add(entry)
    check.end()
    assert check.header is not None, "a bundle begins with its header"
    if check.latest_us > now_us:
        ahead_s = -(-(check.latest_us - now_us) // 1_000_000)
        raise BundleRefused(
            f"holds times that are {ahead_s:,} s ahead of this machine's clock; set the clock right"
        )
    return Bundle(file, digest, check.header, check.runs, counts)


async def check_target(store: OwnStore, bundle: Bundle) -> None:
    """See that a store takes the runs of a bundle. Read-only.

    Raises:
        ImportRefused: It has a run with one of their ids.
        StorageVersionUnknown, StoreNotMigrated: It is of another storage version.
        StoreCorrupt: Its header is damaged.
    """

    def taken(txn: ReadTxn) -> list[RunId]:
        read_header(txn)
        return [run_id for run_id in bundle.runs if txn.get(keys.run(run_id)) is not None]

    found = await store.read(taken)
    if found:
        shown = ", ".join(map(run_id_text, found[:IDS_SHOWN_MAX]))
        more = f" and {len(found) - IDS_SHOWN_MAX:,} more" if len(found) > IDS_SHOWN_MAX else ""
        raise ImportRefused(f"The store has the run {shown}{more} already; nothing was imported.")


async def import_bundle(store: OwnStore, bundle: Bundle, *, progress: Callable[[int], None]) -> None:
    """Take the runs of a bundle into a store, all of them or none.

    Args:
        store: Which this process has for itself.
        bundle: Which the store takes, as `check_target` has seen.
        progress: Told how many bytes of rows were staged, again and again.

    Raises:
        BundleRefused: The file changed since it was read.
        StoreFull: There is no room; what was staged is erased by the next server.
        CommitOutcomeUnknown: The disk failed.
        StoreCorrupt: A row is damaged.
    """
    # Each run waits in the pending list of the search index, which has to have room for all.
    while await merge_step(store):
        pass
    generations = await store.write(partial(_begin, run_ids=tuple(bundle.runs)))
    stage = _Stage(store, progress)
    run_ids = iter(bundle.runs)
    rows: RunRows | None = None
    for entry in read_entries(bundle.file, bundle.digest):
        if entry.WhichOneof("entry") == "run":
            await stage.add(() if rows is None else list(rows.rest()))
            # They come in the same order again.
            run_id = next(run_ids)
            rows = RunRows(bundle.runs[run_id], generations[run_id])
        elif rows is not None:
            await stage.add(list(rows.of(entry)))
    await stage.add(() if rows is None else list(rows.rest()))
    await stage.flush()
    await store.write_together(
        [
            partial(_appear, bundled=bundled, generation=generations[run_id])
            for run_id, bundled in bundle.runs.items()
        ]
    )


def _begin(txn: WriteTxn, *, run_ids: Sequence[RunId]) -> Mapping[RunId, int]:
    """Allot the generations under which runs are staged, which are their ordinals too; write tombstones."""
    delete_us = encode_u64(txn.issue_time_us())
    generations = {run_id: txn.next_ordinal() for run_id in run_ids}
    for run_id, generation in generations.items():
        txn.put(keys.tombstone(run_id, generation), delete_us)
    return generations


def _appear(txn: WriteTxn, *, bundled: BundledRun, generation: int) -> None:
    """Write the record of a run that was staged, with all that follows from it."""
    revision = txn.next_revision()
    run = bundled.run._replace(ordinal=generation, generation=generation, revision=revision)
    write_run(txn, None, run, revision=revision)
    for kind, count in bundled.holdings.items():
        add_holding(txn, run, kind, count)
    # A lower bound, as after a change of policy: the next pass looks at what the run holds.
    policy = policy_of(run, read_default_policy_sweep(txn).policy)
    if trims_data(policy) and any(bundled.holdings.values()):
        schedule(txn, run, due_us=AT_ONCE, revision=revision)
    txn.delete(keys.tombstone(run.run_id, generation))


class _Stage:
    """Writes rows, as many at a time as fit into a write."""

    def __init__(self, store: OwnStore, progress: Callable[[int], None]) -> None:
        self._store = store
        self._progress = progress
        self._rows: list[StagedRow] = []
        self._bytes = 0
        self._staged_bytes = 0

    async def add(self, rows: Sequence[StagedRow]) -> None:
        """Add rows, and write what has gathered when that is enough."""
        for row in rows:
            self._rows.append(row)
            self._bytes += row.size_bytes
            if self._bytes > STAGED_BYTES_MAX:
                await self.flush()

    async def flush(self) -> None:
        """Write what has gathered."""
        if self._rows:
            await self._store.write(partial(_put, rows=tuple(self._rows)))
        self._staged_bytes += self._bytes
        self._rows, self._bytes = [], 0
        self._progress(self._staged_bytes)


def _put(txn: WriteTxn, *, rows: Sequence[StagedRow]) -> None:
    for row in rows:
        if row.value is None:
            txn.add(row.key, row.number)
        else:
            txn.put(row.key, row.value)
