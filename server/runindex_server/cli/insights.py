"""`stats`, `tags`, `stale` and `errors`: what the runs of a running server come to."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Annotated, Final, TypeVar

import typer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2
from runindex_server.cli.answers import echo_facts, echo_json, echo_table
from runindex_server.cli.asking import DEFAULT_ADDRESS, Address, AsJson
from runindex_server.cli.exits import exit_with
from runindex_server.cli.remote import insights
from runindex_server.cli.words import (
    age_text,
    duration_text,
    percent_text,
    state_text,
    states_text,
    time_text,
)
from runindex_server.clock import SystemClock
from runindex_server.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, RETENTION_DURATION_US_MAX
from runindex_server.schema.spans import parse_span_us

TIMEOUT_S = 30.0

_Request = TypeVar("_Request", pb.ListTagsRequest, pb.ListStaleRunsRequest, pb.ListErrorsRequest)
_Response = TypeVar("_Response", pb.ListTagsResponse, pb.ListStaleRunsResponse, pb.ListErrorsResponse)

Limit = Annotated[int, typer.Option(min=1, help="How many to print at most.")]


class Interval(Enum):
    """By what `stats` can tell when runs finished."""

    HOUR = "hour"
    DAY = "day"


class Unfinished(Enum):
    """The states in which a run can be stale."""

    ACTIVE = "active"
    PAUSED = "paused"


_INTERVALS: Final = {
    Interval.HOUR: (pb.STATS_INTERVAL_HOUR, "24h", len("2026-03-01 12:00")),
    Interval.DAY: (pb.STATS_INTERVAL_DAY, "30d", len("2026-03-01")),
}
"""Of each: its value in the contract, how far to look back by default, and how much of a time names it."""

_STATES: Final = {
    Unfinished.ACTIVE: run_index_pb2.RUN_STATE_ACTIVE,
    Unfinished.PAUSED: run_index_pb2.RUN_STATE_PAUSED,
}


def stats(
    address: Address = DEFAULT_ADDRESS,
    *,
    tag: Annotated[str | None, typer.Option(help="Only runs that carry this tag; not with --by.")] = None,
    by: Annotated[Interval | None, typer.Option(help="Tell also what finished in each of these.")] = None,
    since: Annotated[
        str | None, typer.Option(help="With --by: from how long ago on. Default: 24h by hour, 30d by day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell how many runs there are by state and outcome, how many fail, and how long they take."""
    request = pb.GetRunStatsRequest(tag=tag)
    if by is not None:
        request.interval, default_since, _ = _INTERVALS[by]
        since_us = _span_us("--since", since or default_since)
        request.start_time.FromMicroseconds(max(0, SystemClock().now_us() - since_us))
    elif since is not None:
        exit_with("--since goes with --by hour or --by day.")
    with insights(address) as stub:
        response = stub.GetRunStats(request, timeout=TIMEOUT_S)
    if as_json:
        echo_json(response)
        return
    echo_facts(_stats_rows(response))
    if by is not None:
        typer.echo()
        columns = (f"{by.value} (UTC)", *(f">{title}" for title in _FINISHED_COLUMNS))
        echo_table(columns, _interval_rows(response, by))


def tags(
    prefix: Annotated[str, typer.Argument(help="What the tags begin with.")] = "",
    address: Address = DEFAULT_ADDRESS,
    *,
    by_count: Annotated[bool, typer.Option("--by-count", help="The most frequent first.")] = False,
    archived: Annotated[bool, typer.Option("--archived", help="Count archived runs too.")] = False,
    limit: Limit = PAGE_SIZE_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the tags that runs carry, each with the exact number of runs."""
    request = pb.ListTagsRequest(
        prefix=prefix,
        include_archived=archived,
        order=pb.TAG_ORDER_COUNT if by_count else pb.TAG_ORDER_NAME,
    )
    with insights(address) as stub:
        response = _gather(stub.ListTags, request, lambda page: len(page.tags), limit)
    if as_json:
        echo_json(response)
        return
    rows = [(f"{row.count:,}", row.tag) for row in response.tags]
    _echo_list((">runs", "tag"), rows, "No run carries such a tag.", response.next_page_token)


def stale(
    idle_for: Annotated[str, typer.Argument(help="For how long at least: 90m, 2h, 7d.")],
    address: Address = DEFAULT_ADDRESS,
    *,
    state: Annotated[Unfinished | None, typer.Option(help="Only runs in this state.")] = None,
    limit: Limit = PAGE_SIZE_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the runs that have not finished and were not touched for some time, the stalest first."""
    idle = Duration()
    idle.FromMicroseconds(_span_us("IDLE_FOR", idle_for))
    request = pb.ListStaleRunsRequest(
        idle_for=idle,
        states=[] if state is None else [_STATES[state]],
        view=run_index_pb2.RUN_VIEW_BASIC,
    )
    with insights(address) as stub:
        response = _gather(stub.ListStaleRuns, request, lambda page: len(page.runs), limit)
    if as_json:
        echo_json(response)
        return
    now_us = SystemClock().now_us()
    rows = [
        (run.run_id, state_text(run.state), _age_text(run.activity_time, now_us), ", ".join(run.tags))
        for run in response.runs
    ]
    _echo_list(("run", "state", ">idle for", "tags"), rows, "No run is stale.", response.next_page_token)


def errors(
    address: Address = DEFAULT_ADDRESS,
    *,
    archived: Annotated[bool, typer.Option("--archived", help="Count archived runs too.")] = False,
    limit: Limit = PAGE_SIZE_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the errors of failed runs, grouped by what they have in common, the most frequent first."""
    request = pb.ListErrorsRequest(include_archived=archived, view=run_index_pb2.RUN_VIEW_BASIC)
    with insights(address) as stub:
        response = _gather(stub.ListErrors, request, lambda page: len(page.errors), limit)
    if as_json:
        echo_json(response)
        return
    rows = [(f"{group.count:,}", group.example.run_id, group.error) for group in response.errors]
    _echo_list((">runs", "newest example", "error"), rows, "No run has failed.", response.next_page_token)


def _span_us(name: str, text: str) -> int:
    """Return a span in microseconds, or end the command."""
    span_us = parse_span_us(text)
    if span_us is None or span_us > RETENTION_DURATION_US_MAX:
        exit_with(f"{name}: {text!r} is no span of time such as 90m, 2h or 7d.")
    return span_us


def _gather(
    call: Callable[..., _Response], request: _Request, size: Callable[[_Response], int], limit: int
) -> _Response:
    """Return the answer of as many pages as it takes, as one.

    Args:
        call: Asks for a page.
        request: For the first one.
        size: How many items an answer has.
        limit: How many items to ask for at most. Where it ends the list, the answer has a token to go on by.
    """
    request.page_size = min(limit, PAGE_SIZE_MAX)
    response = call(request, timeout=TIMEOUT_S)
    while response.next_page_token and size(response) < limit:
        request.page_token = response.next_page_token
        request.page_size = min(limit - size(response), PAGE_SIZE_MAX)
        page = call(request, timeout=TIMEOUT_S)
        response.MergeFrom(page)
        response.next_page_token = page.next_page_token  # Which an empty one does not merge into.
    return response


def _echo_list(columns: Sequence[str], rows: Sequence[Sequence[str]], none: str, more: str) -> None:
    """Print a list as a table; that there is nothing, or more, for people only."""
    if rows:
        echo_table(columns, rows)
    else:
        typer.echo(none, err=True)
    if more:
        typer.echo(f"There are more than these {len(rows):,}: see --limit.", err=True)


def _age_text(time: Timestamp, now_us: int) -> str:
    """Return how long ago a time was."""
    return age_text(now_us - time.ToMicroseconds())


# Figures.

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


def _stats_rows(response: pb.GetRunStatsResponse) -> list[tuple[str, str]]:
    """Return what is told of all runs, or of those with a tag, a line each."""
    finished = response.finished
    rows = [
        ("Runs", f"{response.count:,}: {states_text(response.by_state)}"),
        ("Finished", f"{finished.count:,}: {states_text(finished.by_outcome)}"),
    ]
    if finished.count:
        took = ", ".join(f"{name} {text}" for name, text in _durations(finished.durations))
        rows += [("Error rate", percent_text(finished.error_rate)), ("Durations", took)]
    return rows


def _interval_rows(response: pb.GetRunStatsResponse, by: Interval) -> Iterator[tuple[str, ...]]:
    """Yield what is told of each interval, and last of all of them."""
    _, _, characters = _INTERVALS[by]
    for interval in response.intervals:
        yield time_text(interval.start_time)[:characters], *_finished_cells(interval.finished)
    yield "all of these", *_finished_cells(response.intervals_finished)


def _finished_cells(finished: pb.FinishedStats) -> list[str]:
    """Return a row of the table of what finished, without its name."""
    cells = [f"{finished.count:,}", *(f"{row.count:,}" for row in finished.by_outcome)]
    if finished.count:
        cells += [percent_text(finished.error_rate), *(text for _, text in _durations(finished.durations))]
    return cells + ["-"] * (len(_FINISHED_COLUMNS) - len(cells))


def _durations(durations: pb.DurationStats) -> list[tuple[str, str]]:
    """Return what is told of durations: each figure's name, and its text."""
    figures = {name: getattr(durations, name) for name in ("mean", "p50", "p90", "p99")}
    return [(name, duration_text(figure.ToMicroseconds())) for name, figure in figures.items()]
