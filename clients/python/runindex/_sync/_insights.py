# Made by `scripts/gen_sync_client.py` of `_async/_insights.py`, where changes are made.
"""What many runs come to: figures, histories, trees, tags, stale runs, errors."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from runindex._convert import (
    duration_of,
    numbers_of,
    page_fields,
    page_of,
    runs_fields,
    runs_page_of,
    timestamp_of,
    view_of,
)
from runindex._convert_data import (
    INTERVALS,
    TAG_ORDERS,
    error_group_of,
    stats_of,
    tag_count_of,
    transition_of,
    tree_of,
)
from runindex._insight_types import ErrorGroup, Interval, RunStats, RunTree, TagCount, TagOrder, Transition
from runindex._sync._calls import Caller
from runindex._sync._pages import Items, Runs, fetching
from runindex._types import RunRef, RunState, id_of
from runindex.v1 import insights_pb2 as pb


class Insights:
    """What many runs come to; read-only, exact, and at the same cost however many runs there are."""

    def __init__(self, calls: Caller) -> None:
        """Make calls through a connection."""
        self._calls = calls

    def stats(
        self,
        *,
        tag: str | None = None,
        interval: Interval | str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> RunStats:
        """Return figures of all runs, of the runs with a tag, or by the hour or the day of their end.

        Args:
            tag: Only runs that carry it; not together with an interval.
            interval: Whether to tell the runs that finished by `hour` or by `day`, too.
            start_time: The first interval is the one in which it lies; required with an interval.
            end_time: The last interval is the one before it, or in which it lies; now when None.

        Raises:
            ValueError: There is no such interval, or a time has no time zone.
            InvalidTag: The tag cannot be one.
            InvalidField: What is asked for does not go together, or is too much.
            InvalidArgument: `start_time` is missing (FIELD_REQUIRED).
        """
        response = self._calls.unary(
            lambda: pb.GetRunStatsRequest(
                tag=tag,
                interval=INTERVALS[Interval(interval.upper())] if interval else pb.STATS_INTERVAL_UNSPECIFIED,
                start_time=timestamp_of(start_time) if start_time else None,
                end_time=timestamp_of(end_time) if end_time else None,
            ),
            pb.GetRunStatsResponse,
        )
        return stats_of(response)

    def history(
        self, run: RunRef, *, limit: int | None = None, page_size: int | None = None
    ) -> Items[Transition]:
        """Return the transitions of a run, oldest first: its creation, and each change of its state."""
        fetch = fetching(
            self._calls,
            lambda page: pb.GetRunHistoryRequest(run_id=id_of(run), **page_fields(page)),
            pb.GetRunHistoryResponse,
            lambda answer: page_of(map(transition_of, answer.transitions), answer),
        )
        return Items(fetch, limit=limit, page_size=page_size)

    def tree(
        self,
        run: RunRef,
        *,
        max_depth: int = 0,
        max_runs: int = 0,
        include_archived: bool = False,
        with_metadata: bool = True,
    ) -> RunTree:
        """Return a run with its ancestors and its descendants.

        Args:
            run: The run.
            max_depth: How many levels of descendants at most: 0 means 10, more than 100 means 100.
            max_runs: How many descendants at most: 0 means 100, more than 1,000 means 1,000.
            include_archived: Whether to return archived descendants, and what is below them, too.
            with_metadata: Whether to read the runs' metadata, too.

        Raises:
            InvalidRunId: It is no UUID.
            InvalidField: A bound is negative.
            RunNotFound: There is no such run.
        """
        response = self._calls.unary(
            lambda: pb.GetRunTreeRequest(
                run_id=id_of(run),
                max_depth=max_depth,
                max_runs=max_runs,
                include_archived=include_archived,
                view=view_of(with_metadata=with_metadata),
            ),
            pb.GetRunTreeResponse,
        )
        return tree_of(response)

    def tags(
        self,
        prefix: str = "",
        *,
        order: TagOrder | str = TagOrder.NAME,
        include_archived: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Items[TagCount]:
        """Return the tags that runs carry, each with the exact number of them.

        Args:
            prefix: What the tags begin with.
            order: By `name`, or by `count`: the most frequent first.
            include_archived: Whether to count archived runs too.
            limit: How many to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.

        Raises:
            ValueError: There is no such order.
        """
        ordered = TAG_ORDERS[TagOrder(order.upper())]
        fetch = fetching(
            self._calls,
            lambda page: pb.ListTagsRequest(
                prefix=prefix, order=ordered, include_archived=include_archived, **page_fields(page)
            ),
            pb.ListTagsResponse,
            lambda answer: page_of(map(tag_count_of, answer.tags), answer),
        )
        return Items(fetch, limit=limit, page_size=page_size)

    def stale(
        self,
        idle_for: timedelta,
        *,
        states: Iterable[RunState | str] | RunState | str = (),
        limit: int | None = None,
        page_size: int | None = None,
        with_metadata: bool = True,
    ) -> Runs:
        """Return the runs that have not finished and were not touched for some time, the stalest first.

        Args:
            idle_for: For how long at least: more than zero.
            states: ACTIVE, PAUSED or both; both when empty.
            limit: How many to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.
            with_metadata: Whether to read their metadata, too.

        Raises:
            ValueError: There is no such state.
        """
        wanted = numbers_of(states)
        fetch = fetching(
            self._calls,
            lambda page: pb.ListStaleRunsRequest(
                idle_for=duration_of(idle_for),
                states=wanted,
                **runs_fields(page, with_metadata=with_metadata),
            ),
            pb.ListStaleRunsResponse,
            runs_page_of,
        )
        return Runs(fetch, limit=limit, page_size=page_size)

    def errors(
        self,
        *,
        include_archived: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
        with_metadata: bool = True,
    ) -> Items[ErrorGroup]:
        """Return the errors of failed runs, grouped by what they have in common, the most frequent first.

        Args:
            include_archived: Whether to count archived runs too.
            limit: How many groups to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.
            with_metadata: Whether to read the examples' metadata, too.
        """
        fetch = fetching(
            self._calls,
            lambda page: pb.ListErrorsRequest(
                include_archived=include_archived, **runs_fields(page, with_metadata=with_metadata)
            ),
            pb.ListErrorsResponse,
            lambda answer: page_of(map(error_group_of, answer.errors), answer),
        )
        return Items(fetch, limit=limit, page_size=page_size)
