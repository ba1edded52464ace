"""`retention get` and `retention set`: what the storage layer keeps of runs."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from runindex.cli.acting import Action, Asked, Asks, act
from runindex.cli.answers import Listing, echo_list
from runindex.cli.faults import Faults
from runindex.cli.ids import named_ids, resolve
from runindex.cli.metadata import retention_of
from runindex.cli.options import RunIds
from runindex.cli.session import Session
from runindex.cli.words import policy_text


def get_retention(session: Session, runs: RunIds = None) -> None:
    """Tell the retention policies that runs have of their own; keep_all where none was set."""
    names = named_ids(session, runs)
    listing: Listing[Mapping[str, Any]] = Listing(
        ("run", "retention"),
        lambda row: (row["run_id"], policy_text(row["retention"])),
        lambda row: row["run_id"],
        "No runs.",
    )
    with session.client() as client:
        faults = Faults(client.address)

        def rows() -> Iterator[Mapping[str, Any]]:
            for name in names:
                row = None
                with faults.told():
                    run_id = resolve(client, name)
                    row = {"run_id": run_id, "retention": client.retention(run_id)}
                if row is not None:
                    yield row

        echo_list(session, rows(), listing, max(len(names), 1))
        faults.finish()


def set_retention(
    session: Session,
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY", help="keep_all, keep_latest_n=10, keep_duration=30d or delete_after=90d."
        ),
    ],
    runs: RunIds = None,
) -> None:
    """Set what is kept of runs.

    Nothing is removed at once; what the server keeps of other runs stays as it is.
    """
    retention = retention_of(policy)
    action = Action(
        "set",
        f"set {policy} for",
        lambda client, run, version: client.set_retention(run, retention, expected_version=version),
    )
    act(session, runs, action, Asked(yes=False, dry_run=False, asks=Asks.NEVER))
