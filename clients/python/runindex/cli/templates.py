"""`templates`: what runs begin with."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

import runindex
from runindex.cli.answers import Listing, asked_limit, echo_facts, echo_list, echo_value, printer
from runindex.cli.asking import ask, require_terminal
from runindex.cli.completing import complete_template
from runindex.cli.facts import template_facts
from runindex.cli.faults import Faults
from runindex.cli.metadata import metadata_of, retention_of
from runindex.cli.options import DryRun, Fields, Limit, Metadata, NewTags, Output, Yes
from runindex.cli.session import Session
from runindex.cli.words import ago_text, plain, policy_text, tags_text

Names = Annotated[
    list[str],
    typer.Argument(metavar="TEMPLATE", help="Names of templates.", autocompletion=complete_template),
]


def list_templates(
    session: Session,
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="What the names begin with.", show_default=False)
    ] = "",
    *,
    limit: Limit = None,
) -> None:
    """List templates, by name."""
    with session.client() as client:
        found = client.templates.all(prefix, limit=asked_limit(session, limit))
        echo_list(session, found, _listing(session), limit)


def get_templates(session: Session, names: Names) -> None:
    """Tell all that templates have."""
    with session.client() as client:
        faults = Faults(client.address)
        found = _read(client, names, faults)
        if session.output is Output.TABLE:
            for index, template in enumerate(found):
                typer.echo("\n" if index else "", nl=False)
                echo_facts(session, template_facts(template, session.world.now()))
        else:
            with printer(session, _name) as echo:
                for template in found:
                    echo(template)
        faults.finish()


def put_template(  # One parameter for each option.
    session: Session,
    name: Annotated[str, typer.Argument(metavar="TEMPLATE", autocompletion=complete_template)],
    *,
    tag: NewTags = None,
    metadata: Metadata = None,
    fields: Fields = None,
    retention: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="keep_latest_n=10, keep_duration=30d, delete_after=90d."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Only if there is none of this name.")] = False,
) -> None:
    """Write a template: create it, or replace it whole."""
    given = metadata_of(metadata, fields)
    policy = None if retention is None else retention_of(retention)
    with session.client() as client:
        client.templates.put(
            name, tags=tag or (), metadata=given, retention=policy, expected_version=0 if new else None
        )
        if session.output is Output.IDS:
            typer.echo(name)
            return
        template = client.templates.get(name)
        echo_value(session, template, lambda: template_facts(template, session.world.now()))


def delete_templates(session: Session, names: Names, *, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Delete templates; runs that were created from them stay. It asks first."""
    if not (yes or dry_run):
        require_terminal(session, "templates delete")
    with session.client() as client:
        faults = Faults(client.address)
        versions: dict[str, int | None] = dict.fromkeys(names)
        if not yes or dry_run:
            found = _read(client, list(versions), faults)
            versions = {template.name: template.version for template in found}
            if dry_run:
                echo_list(session, found, _listing(session), max(len(found), 1))
            elif found:
                ask(session, "delete", "template", found, _listing(session))
        if not dry_run:
            _delete(session, client, versions, faults)
        faults.finish()


def _delete(
    session: Session, client: "runindex.Client", versions: dict[str, int | None], faults: Faults
) -> None:
    """Delete one template after the other, at the version that was shown, and tell of each."""
    if session.output is Output.TABLE:
        for name, version in versions.items():
            with faults.told():
                client.templates.delete(name, expected_version=version)
                typer.echo(f"deleted {plain(name)}")
        return

    def told_name(done: dict[str, Any]) -> str:
        return str(done["name"])

    with printer(session, told_name) as echo:
        for name, version in versions.items():
            with faults.told():
                echo({"name": name, "revision": client.templates.delete(name, expected_version=version)})


def _read(client: "runindex.Client", names: Sequence[str], faults: Faults) -> "list[runindex.Template]":
    """Return the templates that there are."""
    found = []
    for name in names:
        with faults.told():
            found.append(client.templates.get(name))
    return found


def _name(template: "runindex.Template") -> str:
    return template.name


def _listing(session: Session) -> "Listing[runindex.Template]":
    now = session.world.now()

    def row(template: "runindex.Template") -> Sequence[str]:
        kept = "-" if template.retention is None else policy_text(template.retention)
        changed = ago_text(template.update_time, now)
        return template.name, f"{template.version:,}", changed, kept, tags_text(template.tags)

    columns = ("template", ">version", "changed", "retention", "tags")
    return Listing(columns, row, _name, "No templates.")
