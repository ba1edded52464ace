"""Export: writes runs of a snapshot into a bundle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from runindex_server import __version__
from runindex_server.bundles.archive import ArchiveWriter, BundleRefused, Counts
from runindex_server.bundles.bounds import RECORDS_BYTES_MAX, RUNS_MAX
from runindex_server.bundles.contents import BundleCheck
from runindex_server.bundles.record import encode_record
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.runs.mutation import find
from runindex_server.schema import records
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.header import read_header
from runindex_server.schema.history import read_transitions
from runindex_server.schema.items import decode_event, decode_version
from runindex_server.schema.run import ENDED, Run, RunId, run_id_text

PROGRESS_BYTES: Final = 1024 * 1024
"""Bytes after which progress is told."""


class ExportRefused(Exception):
    """Runs that are not exported. The message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export.

    Attributes:
        run_ids: Which runs, in any order; a run that is named twice counts once.
        is_forced: Whether also runs that have not ended.
        create_us: The time, in microseconds since 1970.
    """

    run_ids: Sequence[RunId]
    is_forced: bool
    create_us: int


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that was written.

    Attributes:
        counts: How much it holds.
        size_bytes: The size of the file.
    """

    counts: Counts
    size_bytes: int


def export_runs(
    txn: ReadTxn, request: ExportRequest, file: BinaryIO, *, progress: Callable[[int], None]
) -> Exported:
    """Write runs into a bundle, the oldest first; as long as it takes. Reads only.

    Args:
        txn: The snapshot.
        request: What to export.
        file: Empty.
        progress: Told how many bytes were written, about every PROGRESS_BYTES.

    Raises:
        ExportRefused: A run is not there, is the default run, or has not ended; or they are too many.
        StorageVersionUnknown, StoreNotMigrated: Of another storage version.
        StoreCorrupt: A row is damaged, or what belongs to a run does not agree.
        OSError: The file cannot be written.
    """
    header = read_header(txn)
    runs = _selected(txn, request)
    writer, check = ArchiveWriter(file), BundleCheck()
    told_bytes = 0
    begin = pb.BundleHeader(
        create_time_us=request.create_us,
        created_by=__version__,
        store_id=header.store_id,
        revision=txn.revision,
    )
    try:
        for entry in _entries(txn, begin, runs):
            # No bundle is made that would be refused.
            check.visit(entry)
            writer.add(entry)
            if writer.written_bytes - told_bytes >= PROGRESS_BYTES:
                told_bytes = writer.written_bytes
                progress(told_bytes)
        check.end()
    except BundleRefused as error:
        raise StoreCorrupt(f"the bundle {error}") from error
    writer.end()
    return Exported(writer.counts, writer.written_bytes)


def _selected(txn: ReadTxn, request: ExportRequest) -> list[Run]:
    """Return the runs to export, the oldest first.

    Raises:
        ExportRefused: As `export_runs`.
    """
    run_ids = dict.fromkeys(request.run_ids)
    if not run_ids:
        raise ExportRefused("No run is named.")
    if len(run_ids) > RUNS_MAX:
        raise ExportRefused(f"{len(run_ids):,} runs are named; a bundle holds at most {RUNS_MAX:,}.")
    runs: list[Run] = []
    records_bytes = 0
    for run_id in run_ids:
        run = find(txn, run_id)
        if run is None:
            raise ExportRefused(f"There is no run {run_id_text(run_id)}.")
        if run.is_default:
            raise ExportRefused("The default run is not exported: every store has its own.")
        if run.state not in ENDED and not request.is_forced:
            raise ExportRefused(
                f"The run {run_id_text(run_id)} is {run.state.name}: only finished or archived runs are "
                "exported, unless --force is given."
            )
        runs.append(run)
        records_bytes += len(records.run_message(run))
        if records_bytes > RECORDS_BYTES_MAX:
            raise ExportRefused(
                f"The records of these runs are larger than {RECORDS_BYTES_MAX:,} bytes; name fewer."
            )
    return sorted(runs, key=lambda run: run.ordinal)


def _entries(txn: ReadTxn, header: pb.BundleHeader, runs: Sequence[Run]) -> Iterator[pb.BundleEntry]:
    """Yield the entries of a bundle but for its trailer."""
    yield pb.BundleEntry(header=header)
    for run in runs:
        data = DataKeys.of(run)
        record = encode_record(run, events_appended=txn.get_counter(data.events_appended))
        yield pb.BundleEntry(run=record)
        yield from _transitions(txn, run)
        yield from _versions(txn, data)
        yield from _events(txn, data)


def _transitions(txn: ReadTxn, run: Run) -> Iterator[pb.BundleEntry]:
    for transition in read_transitions(txn, run):
        message = pb.BundleTransition(
            from_state=transition.from_state or 0,
            to_state=transition.to_state,
            time_us=transition.time_us,
            version=transition.version,
            actor=transition.actor,
        )
        yield pb.BundleEntry(transition=message)


def _versions(txn: ReadTxn, data: DataKeys) -> Iterator[pb.BundleEntry]:
    for key, value in txn.scan(*data.item_versions_range):
        ref, version = data.split_item_version(key), decode_version(key, value)
        message = pb.BundleVersion(
            kind=ref.kind,
            name=ref.name,
            version=ref.version,
            write_time_us=version.write_us,
            deleted=version.is_deleted,
            value=version.value,
        )
        yield pb.BundleEntry(version=message)


def _events(txn: ReadTxn, data: DataKeys) -> Iterator[pb.BundleEntry]:
    for key, value in txn.scan(*data.event_range()):
        event = decode_event(key, value)
        message = pb.BundleEvent(
            sequence=data.sequence_of(key),
            stream=event.stream,
            append_time_us=event.append_us,
            value=event.value,
        )
        yield pb.BundleEntry(event=message)
