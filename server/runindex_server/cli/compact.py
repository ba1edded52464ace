"""`compact`: retention enforced now, by a running server, or only what it would remove."""

from typing import Annotated

import typer

from runindex.v1 import maintenance_pb2 as pb
from runindex_server.cli.asking import DEFAULT_ADDRESS, Address
from runindex_server.cli.exits import exit_with
from runindex_server.cli.remote import maintenance
from runindex_server.cli.status import removed
from runindex_server.cli.words import bytes_text, count_text, policy_text, time_text, took_text


def compact(
    address: Address = DEFAULT_ADDRESS,
    *,
    dry_run: Annotated[bool, typer.Option(help="Remove nothing, and tell what would be removed.")] = False,
    trust_clock: Annotated[
        bool, typer.Option(help="Say that the machine's clock is right although it has jumped.")
    ] = False,
) -> None:
    """Enforce retention now: tell of each run what went and why, then all of it together."""
    summary: pb.CompactionSummary | None = None
    request = pb.CompactRequest(dry_run=dry_run, trust_clock=trust_clock)
    with maintenance(address) as stub:
        for piece in stub.Compact(request):
            if piece.WhichOneof("piece") == "run":
                typer.echo(_line(piece.run, dry_run=dry_run))
            elif piece.WhichOneof("piece") == "summary":
                summary = piece.summary
    if summary is None:
        exit_with(f"{address} did not say what it all came to; what was told is done. Run the command again.")
    took = took_text(summary.duration)
    typer.echo(f"{removed(summary)}{' (dry run: nothing was removed)' if dry_run else ''}. It took {took}.")


def _line(run: pb.CompactedRun, *, dry_run: bool) -> str:
    """Return what goes of a run, and why."""
    goes = "would go" if dry_run else "gone"
    policy = policy_text(run.policy) + (", the default" if run.is_default_policy else "")
    if run.run_deleted:
        ended = f"ended {time_text(run.end_time)}"
        return f"{run.run_id}  {goes}: the run with {bytes_text(run.bytes)} of data; {ended} ({policy})"
    what = f"{count_text(run.versions, 'version')}, {count_text(run.events, 'event')}"
    return f"{run.run_id}  {goes}: {what}, {bytes_text(run.bytes)} ({policy})"
