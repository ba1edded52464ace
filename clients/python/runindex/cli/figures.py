"""`stats`, `tags`, `stale` and `errors`: what many runs come to."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

import typer

import runindex
from runindex.cli.answers import Listing, asked_limit, echo_list, echo_table, echo_value, id_of
from runindex.cli.completing import complete_tag
from runindex.cli.options import Archived, Limit, Output
from runindex.cli.session import Session, refuse_usage
from runindex.cli.words import (
    ago_text,
    counts_text,
    duration_text,
    instant_of,
    percent_text,
    span_of,
    tags_text,
    time_text,
)


class Every(StrEnum):
    """By what `stats` can tell when runs finished."""

    HOUR = "hour"
    DAY = "day"


class Unfinished(StrEnum):
    """The states in which a run can be stale."""

    ACTIVE = "active"
    PAUSED = "paused"


_EVERY: Final = {
    Every.HOUR: (timedelta(hours=24), len("2026-03-01 12:00")),
    Every.DAY: (timedelta(days=30), len("2026-03-01")),
}
"""Of each: how far to look back unless it is told, and how much of a time names it."""


def stats(
    session: Session,
    *,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="TAG", autocompletion=complete_tag, help="Only runs that carry this tag; not with --by."
        ),
    ] = None,
    by: Annotated[
        Every | None, typer.Option(help="Tell also what finished in each of these.", case_sensitive=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="With --by: from when on: 24h, 2026-03-01. Default: 24h by hour, 30d by day."
        ),
    ] = None,
) -> None:
    """Tell what the runs come to.

    How many there are by state and outcome, how many fail, and how long they take.
    """
    if by is None and since is not None:
        refuse_usage("--since goes with --by hour or --by day.")
    start = None if by is None else _start(session.world.now(), by, since)
    with session.client() as client:
        found = client.insights.stats(tag=tag, interval=by, start_time=start)
    echo_value(session, found, lambda: _stats_facts(found))
    if by is not None and session.output is Output.TABLE:
        typer.echo()
        columns = (f"{by.value} (UTC)", *(f">{title}" for title in _FINISHED_COLUMNS))
        echo_table(session, columns, list(_interval_rows(found, by)))


def tags(
    session: Session,
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="What the tags begin with.", show_default=False)
    ] = "",
    *,
    by_count: Annotated[bool, typer.Option("--by-count", help="The most frequent first.")] = False,
    archived: Archived = False,
    limit: Limit = None,
) -> None:
    """List tags, with the exact number of runs."""
    listing: Listing[runindex.TagCount] = Listing(
        (">runs", "tag"), lambda row: (f"{row.count:,}", row.tag), lambda row: row.tag, "No tags."
    )
    with session.client() as client:
        found = client.insights.tags(
            prefix,
            order="count" if by_count else "name",
            include_archived=archived,
            limit=asked_limit(session, limit),
        )
        echo_list(session, found, listing, limit)


def stale(
    session: Session,
    idle_for: Annotated[str, typer.Argument(metavar="IDLE_FOR", help="For how long at least: 90m, 2h, 7d.")],
    *,
    state: Annotated[
        Unfinished | None, typer.Option(help="Only runs in this state.", case_sensitive=False)
    ] = None,
    limit: Limit = None,
) -> None:
    """List unfinished runs that nobody touched.

    The stalest come first.
    """
    idle = span_of(idle_for)
    if not idle:
        refuse_usage(f"IDLE_FOR: {idle_for!r:.100} is no span of time such as 90m, 2h or 7d.")
    now = session.world.now()

    def row(run: "runindex.Run") -> Sequence[str]:
        return run.run_id, run.state.lower(), ago_text(run.activity_time, now), tags_text(run.tags)

    listing = Listing(("run", "state", "touched", "tags"), row, id_of, "No run is stale.")
    with session.client() as client:
        found = client.insights.stale(
            idle,
            states=() if state is None else state,
            limit=asked_limit(session, limit),
            with_metadata=session.output in {Output.JSON, Output.JSONL},
        )
        echo_list(session, found, listing, limit)


def errors(session: Session, *, archived: Archived = False, limit: Limit = None) -> None:
    """List the errors of failed runs, grouped.

    The most frequent come first. `-o ids` prints the newest run of each group.
    """

    def row(group: "runindex.ErrorGroup") -> Sequence[str]:
        return f"{group.count:,}", group.example.run_id, group.error

    columns = (">runs", "newest example", "error")
    listing = Listing(columns, row, lambda group: group.example.run_id, "No run has failed.")
    with session.client() as client:
        found = client.insights.errors(
            include_archived=archived,
            limit=asked_limit(session, limit),
            with_metadata=session.output in {Output.JSON, Output.JSONL},
        )
        echo_list(session, found, listing, limit)


_FINISHED_COLUMNS: Final = (
    "finished",
    "completed",
    "failed",
    "cancelled",
    "error rate",
    "mean",
    "p50",
    "p90",
    "p99",
)


def _start(now: datetime, every: Every, since: str | None) -> datetime:
    """Return from when on to tell what finished, or end the command."""
    back, _ = _EVERY[every]
    span = back if since is None else span_of(since)
    try:
        start = instant_of(since or "") if span is None else now - span
    except OverflowError:
        start = None
    if start is None:
        refuse_usage(f"--since: {since!r:.100} is neither a span such as 90m or 7d nor a date.")
    return start


def _stats_facts(stats: "runindex.RunStats") -> Iterator[tuple[str, str]]:
    """Yield what is told of all runs, or of those with a tag, a line each."""
    finished = stats.finished
    yield "Runs", f"{stats.count:,}: {counts_text(stats.by_state)}"
    yield "Finished", f"{finished.count:,}: {counts_text(finished.by_outcome)}"
    if finished.error_rate is not None:
        yield "Failed", percent_text(finished.error_rate)
    if finished.durations is not None:
        yield "Durations", ", ".join(f"{name} {text}" for name, text in _durations(finished.durations))


def _interval_rows(stats: "runindex.RunStats", every: Every) -> Iterator[Sequence[str]]:
    """Yield what is told of each interval, and last of all of them."""
    _, characters = _EVERY[every]
    for interval in stats.intervals:
        yield time_text(interval.start_time)[:characters], *_finished_cells(interval.finished)
    if stats.intervals_finished is not None:
        yield "all of these", *_finished_cells(stats.intervals_finished)


def _finished_cells(finished: "runindex.FinishedStats") -> list[str]:
    """Return a row of the table of what finished, without its name."""
    cells = [f"{finished.count:,}", *(f"{count:,}" for count in finished.by_outcome.values())]
    if finished.error_rate is not None and finished.durations is not None:
        cells += [percent_text(finished.error_rate), *(text for _, text in _durations(finished.durations))]
    return cells + ["-"] * (len(_FINISHED_COLUMNS) - len(cells))


def _durations(durations: "runindex.Durations") -> list[tuple[str, str]]:
    """Return what is told of durations: each figure's name, and its text."""
    return [(name, duration_text(getattr(durations, name))) for name in ("mean", "p50", "p90", "p99")]
