"""`list` and `search`: runs, newest first."""

from collections.abc import Sequence
from typing import Annotated

import typer

import runindex
from runindex.cli.answers import asked_limit, echo_list, printer, runs_listing
from runindex.cli.following import EVERY_S_MAX, EVERY_S_MIN, follow_runs
from runindex.cli.options import Archived, Limit, Output, State, States, Tags
from runindex.cli.session import Session, refuse_usage
from runindex.cli.words import instant_of, span_of


def list_runs(  # noqa: PLR0913  # One parameter for each option.
    session: Session,
    *,
    state: States = None,
    tag: Tags = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Only runs created since then: 2h or 7d ago, 2026-03-01, an instant."
        ),
    ] = None,
    archived: Archived = False,
    limit: Limit = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new runs and changes of state, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=EVERY_S_MIN, max=EVERY_S_MAX, help="With --follow: how often to ask."
        ),
    ] = 2.0,
) -> None:
    """List runs, newest first.

    Archived ones are listed only when they are asked for.
    """
    query = _query(state or (), tag or (), since)

    def found(client: "runindex.Client", size: int | None) -> "runindex.Runs":
        with_metadata = session.output in {Output.JSON, Output.JSONL}
        if query is not None:
            return client.search(query, include_archived=archived, limit=size, with_metadata=with_metadata)
        return client.runs(
            states=state or (),
            tag=tag[0] if tag else None,
            include_archived=archived,
            limit=size,
            with_metadata=with_metadata,
        )

    with session.client() as client:
        if follow:
            follow_runs(session, client, lambda size: found(client, size), limit=limit, every_s=every)
        else:
            _echo(session, found(client, asked_limit(session, limit)), limit)


def search(
    session: Session,
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY",
            help='Words, tag:nightly, state:failed, meta.model:gpt*, created<2h, "a phrase"; all must match.',
        ),
    ],
    *,
    archived: Archived = False,
    limit: Limit = None,
) -> None:
    """Find the runs that match a query, newest first.

    A query that begins with a negation stands after --: `runindex search -- -state:active`.
    """
    text = " ".join(query)
    with session.client() as client:
        found = client.search(
            text,
            include_archived=archived,
            limit=asked_limit(session, limit),
            with_metadata=session.output in {Output.JSON, Output.JSONL},
        )
        try:
            _echo(session, found, limit)
        except runindex.InvalidQuery as fault:
            typer.echo(f"  {text}\n  {' ' * fault.position}^", err=True)
            raise


def _echo(session: Session, found: "runindex.Runs", limit: int | None) -> None:
    """Print runs; of those whose ids are enough nothing else is read."""
    if session.output is Output.IDS:
        with printer(session, str) as echo:
            for run_id in found.ids():
                echo(run_id)
    else:
        echo_list(session, found, runs_listing(session), limit)


def _query(states: Sequence[State], tags: Sequence[str], since: str | None) -> str | None:
    """Return the search for what is asked; None when one listing by state or tag is enough."""
    if since is None and (len(tags) < 2 and not (states and tags)):
        return None
    terms = [] if since is None else [_created_since(since)]
    terms += [f"tag:{_quoted(tag)}" for tag in tags]
    if states:
        terms.append(f"({' OR '.join(f'state:{state}' for state in states)})")
    return " ".join(terms)


def _created_since(text: str) -> str:
    """Return the term for runs created since then; ages count by the server's clock. Or end the command."""
    if span_of(text) is not None:
        return f"created<={text}"
    instant = instant_of(text)
    if instant is None:
        refuse_usage(f"--since: {text!r:.100} is neither a span such as 90m or 7d nor a date or an instant.")
    return f"created>={instant.isoformat().replace('+00:00', 'Z')}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
