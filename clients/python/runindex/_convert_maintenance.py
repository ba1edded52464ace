"""Messages about the store itself to the values that callers see."""

from runindex._convert import counts_of, optional_time, retention_of, time_of
from runindex._maintenance_types import (
    Backlog,
    ClockJump,
    CompactedRun,
    CompactionSummary,
    Drift,
    RetentionStatus,
    StoreIdentity,
    StoreReaders,
    StoreSizes,
    StoreStatus,
    VerifyProgress,
    VerifySummary,
)
from runindex.v1 import maintenance_pb2 as pb


def status_of(response: pb.GetStatusResponse) -> StoreStatus:
    """Return what a store is like."""
    sizes, readers, backlog = response.sizes, response.readers, response.backlog
    return StoreStatus(
        store=identity_of(response.store),
        sizes=StoreSizes(sizes.used_bytes, sizes.free_bytes, sizes.disk_bytes, sizes.map_bytes),
        readers=StoreReaders(readers.count, readers.oldest_lag_commits),
        runs=counts_of(response.runs),
        backlog=Backlog(backlog.erasing_runs, backlog.unmerged_changes, backlog.due_runs),
        retention=_retention_status_of(response.retention),
        revision=response.revision,
    )


def identity_of(store: pb.StoreIdentity) -> StoreIdentity:
    """Return which store it is."""
    return StoreIdentity(
        store.store_id,
        store.epoch,
        store.storage_version,
        time_of(store.create_time),
        store.server_version,
    )


def compacted_of(piece: pb.CompactResponse) -> CompactedRun | CompactionSummary | None:
    """Return a piece of the answer to Compact; None for a kind that is newer than this client."""
    match piece.WhichOneof("piece"):
        case "run":
            return _compacted_run_of(piece.run)
        case "summary":
            return _compaction_of(piece.summary)
        case _:
            return None


def verified_of(piece: pb.VerifyResponse) -> VerifyProgress | Drift | VerifySummary | None:
    """Return a piece of the answer to Verify; None for a kind that is newer than this client."""
    match piece.WhichOneof("piece"):
        case "progress":
            return VerifyProgress(piece.progress.phase, piece.progress.rows)
        case "drift":
            return Drift(piece.drift.subspace, piece.drift.key, piece.drift.problem)
        case "summary":
            told = piece.summary
            return VerifySummary(told.runs, told.rows, told.drifts, told.duration.ToTimedelta())
        case _:
            return None


def _retention_status_of(status: pb.RetentionStatus) -> RetentionStatus:
    jump = status.clock_jump
    return RetentionStatus(
        default_policy=retention_of(status.default_policy) if status.HasField("default_policy") else None,
        last=_compaction_of(status.last) if status.HasField("last") else None,
        next_time=optional_time(status, "next_time"),
        clock_jump=(
            ClockJump(jump.ahead.ToTimedelta(), time_of(jump.resume_time))
            if status.HasField("clock_jump")
            else None
        ),
    )


def _compacted_run_of(run: pb.CompactedRun) -> CompactedRun:
    return CompactedRun(
        run_id=run.run_id,
        policy=retention_of(run.policy),
        is_default_policy=run.is_default_policy,
        run_deleted=run.run_deleted,
        versions=run.versions,
        events=run.events,
        data_bytes=run.bytes,
        end_time=optional_time(run, "end_time"),
    )


def _compaction_of(summary: pb.CompactionSummary) -> CompactionSummary:
    return CompactionSummary(
        start_time=time_of(summary.start_time),
        duration=summary.duration.ToTimedelta(),
        dry_run=summary.dry_run,
        runs_deleted=summary.runs_deleted,
        runs_trimmed=summary.runs_trimmed,
        versions=summary.versions,
        events=summary.events,
        data_bytes=summary.bytes,
    )
