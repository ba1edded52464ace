"""`create` and `clone`: new runs."""

from typing import Annotated

import typer

import runindex
from runindex.cli.answers import echo_value
from runindex.cli.completing import complete_template
from runindex.cli.facts import run_facts
from runindex.cli.ids import named_ids, resolve
from runindex.cli.metadata import metadata_of
from runindex.cli.options import Fields, Metadata, NewTags, Output, Parent, RunIdArgument
from runindex.cli.session import Session

NewId = Annotated[
    str | None,
    typer.Option("--id", metavar="UUID", help="The id to use, a UUID. Default: the server makes one."),
]


def create(  # One parameter for each option.
    session: Session,
    *,
    tag: NewTags = None,
    metadata: Metadata = None,
    fields: Fields = None,
    parent: Parent = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="TEMPLATE", help="What it begins with.", autocompletion=complete_template),
    ] = None,
    run_id: NewId = None,
) -> None:
    """Create a run, and print its id."""
    given = metadata_of(metadata, fields)
    if parent is not None:
        (parent,) = named_ids(session, [parent])
    with session.client() as client:
        above = None if parent is None else resolve(client, parent)
        if template is None:
            run = client.create(tags=tag or (), metadata=given, parent=above, run_id=run_id)
            _echo(session, client, run.run_id, run)
        else:
            created = client.templates.create_run(
                template, tags=tag or (), metadata=given, parent=above, run_id=run_id
            )
            _echo(session, client, created.run_id)


def clone(
    session: Session,
    run: RunIdArgument,
    *,
    metadata: Metadata = None,
    fields: Fields = None,
    new_id: NewId = None,
) -> None:
    """Copy a run, and print the id of the copy.

    The copy is active, with the tags, metadata and retention of the run, which may be in any state.
    """
    given = metadata_of(metadata, fields)
    (name,) = named_ids(session, [run])
    with session.client() as client:
        created = client.templates.clone(resolve(client, name), metadata=given, new_run_id=new_id)
        _echo(session, client, created.run_id)


def _echo(
    session: Session, client: "runindex.Client", run_id: str, run: "runindex.Run | None" = None
) -> None:
    """Print a new run, which is read when more than its id is wanted."""
    if session.output is Output.IDS:
        typer.echo(run_id)
        return
    made = client.get(run_id) if run is None else run
    echo_value(session, made, lambda: run_facts(made, session.world.now()))
