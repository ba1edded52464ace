"""What changes runs: `close`, `fail`, `cancel`, `pause`, `resume`, `archive` and `delete`."""

from typing import Annotated

import typer

from runindex.cli.acting import Action, Asked, Asks, act
from runindex.cli.holdings import holdings_of
from runindex.cli.options import DryRun, RunIds, Yes
from runindex.cli.session import Session


def close(session: Session, runs: RunIds = None, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Complete runs successfully. Several are asked for first."""
    action = Action(
        "close", "closed", lambda client, run, version: client.close_run(run, expected_version=version)
    )
    act(session, runs, action, Asked(yes, dry_run, Asks.SEVERAL))


def fail(
    session: Session,
    runs: RunIds = None,
    *,
    error: Annotated[str, typer.Option("--error", "-e", metavar="TEXT", help="Why.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Fail runs, and keep why. It asks first."""
    action = Action(
        "fail", "failed", lambda client, run, version: client.fail(run, error, expected_version=version)
    )
    act(session, runs, action, Asked(yes, dry_run, Asks.ALWAYS))


def cancel(session: Session, runs: RunIds = None, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Cancel runs. It asks first."""
    action = Action(
        "cancel", "cancelled", lambda client, run, version: client.cancel(run, expected_version=version)
    )
    act(session, runs, action, Asked(yes, dry_run, Asks.ALWAYS))


def pause(session: Session, runs: RunIds = None, *, dry_run: DryRun = False) -> None:
    """Pause runs."""
    action = Action(
        "pause", "paused", lambda client, run, version: client.pause(run, expected_version=version)
    )
    act(session, runs, action, Asked(yes=False, dry_run=dry_run, asks=Asks.NEVER))


def resume(session: Session, runs: RunIds = None, *, dry_run: DryRun = False) -> None:
    """Resume paused runs."""
    action = Action(
        "resume", "resumed", lambda client, run, version: client.resume(run, expected_version=version)
    )
    act(session, runs, action, Asked(yes=False, dry_run=dry_run, asks=Asks.NEVER))


def archive(session: Session, runs: RunIds = None, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Archive runs, for good. It asks first.

    Their records are frozen, and lists leave them out.
    """
    action = Action(
        "archive", "archived", lambda client, run, version: client.archive(run, expected_version=version)
    )
    act(session, runs, action, Asked(yes, dry_run, Asks.ALWAYS))


def delete(session: Session, runs: RunIds = None, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Delete runs with all that they hold.

    It asks first. Their children stay.
    """
    action = Action(
        "delete",
        "deleted",
        lambda client, run, version: client.delete(run, expected_version=version),
        holdings=holdings_of,
    )
    act(session, runs, action, Asked(yes, dry_run, Asks.ALWAYS))
