"""Answers of Maintenance: from what the storage layer tells to response messages."""

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1 import run_index_pb2
from runindex_server import __version__
from runindex_server.errors import InvalidField
from runindex_server.jobs.retention.clock_guard import ClockJump
from runindex_server.jobs.retention.compaction import CompactedRun, CompactionSummary
from runindex_server.kv.engine import Readers, Sizes
from runindex_server.maintenance import backup
from runindex_server.maintenance.status import StoreStatus
from runindex_server.maintenance.verify.findings import Drift, Progress, Summary
from runindex_server.rpc.convert import duration, retention_policy
from runindex_server.schema.header import StoreHeader
from runindex_server.schema.records import timestamp
from runindex_server.schema.retention_state import Compaction
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, run_id_text


def check_compact_request(request: pb.CompactRequest) -> None:
    """Refuse what a compaction cannot be asked for.

    Raises:
        InvalidField: A dry run, which looks at no clock, is to trust it.
    """
    if request.dry_run and request.trust_clock:
        raise InvalidField("does not go together with dry_run", field="trust_clock")


def identity(header: StoreHeader) -> pb.StoreIdentity:
    """Return which store it is."""
    return pb.StoreIdentity(
        store_id=header.store_id.hex(),
        epoch=header.epoch.hex(),
        storage_version=header.storage_version,
        create_time=timestamp(header.create_us),
        server_version=__version__,
    )


def status_response(
    status: StoreStatus,
    *,
    store: pb.StoreIdentity,
    sizes: Sizes,
    readers: Readers,
    retention: pb.RetentionStatus,
) -> pb.GetStatusResponse:
    """Return what a store is like."""
    return pb.GetStatusResponse(
        store=store,
        sizes=pb.StoreSizes(
            used_bytes=sizes.used, free_bytes=sizes.free, disk_bytes=sizes.disk, map_bytes=sizes.map
        ),
        readers=pb.StoreReaders(count=readers.count, oldest_lag_commits=readers.oldest_lag_commits),
        runs=[
            run_index_pb2.StateCount(state=run_index_pb2.RunState.ValueType(state), count=count)
            for state, count in status.runs.items()
        ],
        backlog=pb.Backlog(
            erasing_runs=status.erasing_runs,
            unmerged_changes=status.unmerged_changes,
            due_runs=status.due_runs,
        ),
        retention=retention,
        revision=status.revision,
    )


def retention_status(
    *,
    default_policy: RetentionPolicy,
    last: Compaction | None,
    next_time_us: int | None,
    clock_jump: ClockJump | None,
) -> pb.RetentionStatus:
    """Return how retention stands; what there is not is unset."""
    return pb.RetentionStatus(
        default_policy=None if default_policy == KEEP_ALL else retention_policy(default_policy),
        last=None if last is None else _compaction(last, dry_run=False),
        next_time=None if next_time_us is None else timestamp(next_time_us),
        clock_jump=None if clock_jump is None else _clock_jump(clock_jump),
    )


def compact_response(piece: CompactedRun | CompactionSummary) -> pb.CompactResponse:
    """Return a piece of a compaction."""
    if isinstance(piece, CompactionSummary):
        return pb.CompactResponse(summary=_compaction(piece, dry_run=piece.dry_run), revision=piece.revision)
    run = pb.CompactedRun(
        run_id=run_id_text(piece.run_id),
        policy=retention_policy(piece.policy),
        is_default_policy=piece.is_default_policy,
        run_deleted=piece.run_deleted,
        versions=piece.versions,
        events=piece.events,
        bytes=piece.bytes,
        end_time=None if piece.end_us is None else timestamp(piece.end_us),
    )
    return pb.CompactResponse(run=run, revision=piece.revision)


def verify_response(piece: Progress | Drift | Summary) -> pb.VerifyResponse:
    """Return a piece of a verification."""
    match piece:
        case Progress():
            progress = pb.VerifyProgress(phase=piece.phase, rows=piece.rows)
            return pb.VerifyResponse(progress=progress, revision=piece.revision)
        case Drift():
            drift = pb.Drift(subspace=piece.subspace, key=piece.key.hex(), problem=piece.problem)
            return pb.VerifyResponse(drift=drift, revision=piece.revision)
        case Summary():
            summary = pb.VerifySummary(
                runs=piece.runs,
                rows=piece.rows,
                drifts=piece.drifts,
                duration=duration(piece.duration_us),
            )
            return pb.VerifyResponse(summary=summary, revision=piece.revision)


def backup_response(
    piece: backup.Begin | backup.Chunk | backup.End, *, store: pb.StoreIdentity
) -> pb.BackupResponse:
    """Return a piece of a backup."""
    match piece:
        case backup.Begin():
            header = pb.BackupHeader(
                store=store, total_bytes=piece.total_bytes, create_time=timestamp(piece.create_us)
            )
            return pb.BackupResponse(header=header, revision=piece.revision)
        case backup.Chunk():
            return pb.BackupResponse(chunk=piece.data, revision=piece.revision)
        case backup.End():
            return pb.BackupResponse(trailer=pb.BackupTrailer(sha256=piece.sha256), revision=piece.revision)


def _compaction(compaction: Compaction, *, dry_run: bool) -> pb.CompactionSummary:
    """Return what a compaction came to."""
    return pb.CompactionSummary(
        start_time=timestamp(compaction.start_us),
        duration=duration(compaction.duration_us),
        dry_run=dry_run,
        runs_deleted=compaction.runs_deleted,
        runs_trimmed=compaction.runs_trimmed,
        versions=compaction.versions,
        events=compaction.events,
        bytes=compaction.bytes,
    )


def _clock_jump(jump: ClockJump) -> pb.ClockJump:
    """Return how the wall clock jumped."""
    return pb.ClockJump(ahead=duration(jump.ahead_us), resume_time=timestamp(jump.resume_us))
