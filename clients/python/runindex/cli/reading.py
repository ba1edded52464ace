"""`get`, `tree`, `history` and `count`: what there is to know of single runs, and how many there are."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

import runindex
from runindex.cli.answers import (
    Listing,
    asked_limit,
    echo_facts,
    echo_list,
    echo_value,
    id_of,
    printer,
)
from runindex.cli.drawing import echo_tree
from runindex.cli.facts import run_facts
from runindex.cli.faults import Faults
from runindex.cli.ids import named_ids, resolve
from runindex.cli.options import Archived, Limit, Output, RunIdArgument, RunIds, States
from runindex.cli.session import Session
from runindex.cli.words import ago_text, plain, time_text


def get(session: Session, runs: RunIds = None) -> None:
    """Tell all that is recorded of runs."""
    names = named_ids(session, runs)
    with session.client() as client:
        faults = Faults(client.address)
        found = _read(client, names, faults)
        if session.output is Output.TABLE:
            for index, run in enumerate(found):
                typer.echo("\n" if index else "", nl=False)
                echo_facts(session, run_facts(run, session.world.now()))
        else:
            with printer(session, id_of) as echo:
                for run in found:
                    echo(run)
        faults.finish()


def _read(client: "runindex.Client", names: Sequence[str], faults: Faults) -> "Iterable[runindex.Run]":
    """Yield runs as they are read."""
    for name in names:
        run = None
        with faults.told():
            run = client.get(resolve(client, name))
        if run is not None:
            yield run


def tree(
    session: Session,
    run: RunIdArgument,
    *,
    depth: Annotated[
        int, typer.Option(metavar="N", min=1, max=100, help="How many levels of descendants.")
    ] = 10,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000, help="How many descendants at most.")
    ] = 100,
    archived: Archived = False,
) -> None:
    """Draw a run with its ancestors and its descendants."""
    (name,) = named_ids(session, [run])
    with session.client() as client:
        found = client.insights.tree(
            resolve(client, name),
            max_depth=depth,
            max_runs=limit,
            include_archived=archived,
            with_metadata=session.output in {Output.JSON, Output.JSONL},
        )
    if session.output is Output.IDS:
        for node in (found.root, *found.descendants):
            typer.echo(node.run.run_id)
        return
    if session.output is Output.TABLE:
        echo_tree(session, found)
    else:
        echo_value(session, found, list)


def history(session: Session, run: RunIdArgument, *, limit: Limit = None) -> None:
    """List the changes of a run's state, oldest first."""
    (name,) = named_ids(session, [run])
    now = session.world.now()

    def row(change: "runindex.Transition") -> Sequence[str]:
        begun = "" if change.from_state is None else f"{change.from_state.lower()} -> "
        return (
            time_text(change.time),
            ago_text(change.time, now),
            f"{change.version:,}",
            f"{begun}{change.to_state.lower()}",
            plain(change.actor),
        )

    listing = Listing(("time", "when", ">version", "state", "by"), row, lambda _: "", "No changes.")
    with session.client() as client:
        asked = asked_limit(session, limit)
        echo_list(session, client.insights.history(resolve(client, name), limit=asked), listing, limit)


def count(
    session: Session,
    *,
    state: States = None,
    archived: Archived = False,
    by_state: Annotated[
        bool, typer.Option("--by-state", help="Tell also how many are in each state.")
    ] = False,
) -> None:
    """Tell exactly how many runs there are."""
    with session.client() as client:
        states = client.count_by_state(states=state or (), include_archived=archived)
    total = sum(states.values())
    if session.output is Output.TABLE and not by_state:
        typer.echo(f"{total}")
        return
    rows = [*((name.lower(), f"{number:,}") for name, number in states.items()), ("all", f"{total:,}")]
    echo_value(session, {"count": total, "by_state": states}, lambda: rows)
