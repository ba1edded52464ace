"""The calls of RunIndex that read."""

from collections.abc import Iterable
from typing import TypeVar, overload

from runindex._async._calls import AsyncCalls
from runindex._async._pages import AsyncFetch, AsyncRuns, fetching
from runindex._convert import (
    counts_of,
    numbers_of,
    query_of,
    retention_of,
    run_of,
    runs_fields,
    runs_page_of,
)
from runindex._errors import RunNotFound
from runindex._types import (
    MISSING,
    Counts,
    Missing,
    Retention,
    Run,
    RunRef,
    RunState,
    id_of,
)
from runindex.v1 import run_index_pb2 as pb

D = TypeVar("D")


class AsyncQueries:
    """Reads runs, and finds them."""

    def __init__(self, calls: AsyncCalls) -> None:
        """Make calls through a connection."""
        self._calls = calls

    @overload
    async def get(self, run: RunRef) -> Run: ...
    @overload
    async def get(self, run: RunRef, default: D) -> Run | D: ...
    async def get(self, run: RunRef, default: D | Missing = MISSING) -> Run | D:
        """Return a run, whatever its state.

        Args:
            run: The run.
            default: What to return when there is none, instead of an error.

        Raises:
            InvalidRunId: It is no UUID.
            RunNotFound: There is no such run, and no default.
        """
        try:
            response = await self._calls.unary(lambda: pb.GetRunRequest(run_id=id_of(run)), pb.GetRunResponse)
        except RunNotFound:
            if isinstance(default, Missing):
                raise
            return default
        return run_of(response.run)

    async def exists(self, run: RunRef) -> bool:
        """Tell whether a run exists, in any state.

        Raises:
            InvalidRunId: It is no UUID.
        """
        response = await self._calls.unary(
            lambda: pb.RunExistsRequest(run_id=id_of(run)), pb.RunExistsResponse
        )
        return response.exists

    async def tags(self, run: RunRef) -> tuple[str, ...]:
        """Return a run's tags, in the order in which they were added.

        Raises:
            InvalidRunId: It is no UUID.
            RunNotFound: There is no such run.
        """
        response = await self._calls.unary(
            lambda: pb.GetRunTagsRequest(run_id=id_of(run)), pb.GetRunTagsResponse
        )
        return tuple(response.tags)

    async def parent(self, run: RunRef) -> str | None:
        """Return the id of a run's parent, also when that was deleted since; None for a root.

        Raises:
            InvalidRunId: It is no UUID.
            RunNotFound: There is no such run.
        """
        response = await self._calls.unary(
            lambda: pb.GetParentRunRequest(run_id=id_of(run)), pb.GetParentRunResponse
        )
        return response.parent_run_id if response.HasField("parent_run_id") else None

    async def retention(self, run: RunRef) -> Retention:
        """Return a run's own retention policy; KeepAll when none was set.

        Raises:
            InvalidRunId: It is no UUID.
            RunNotFound: There is no such run.
        """
        response = await self._calls.unary(
            lambda: pb.GetRunRetentionRequest(run_id=id_of(run)), pb.GetRunRetentionResponse
        )
        return retention_of(response.policy)

    async def count(
        self, *, states: Iterable[RunState | str] | RunState | str = (), include_archived: bool = False
    ) -> int:
        """Return how many runs there are, exactly, at the same cost however many there are.

        Args:
            states: The states to count; all but ARCHIVED when empty.
            include_archived: Whether to count archived runs too; of no effect with states.
        """
        response = await self._count(states, include_archived=include_archived)
        return response.count

    async def count_by_state(
        self, *, states: Iterable[RunState | str] | RunState | str = (), include_archived: bool = False
    ) -> Counts:
        """Return how many runs are in each state, zeros included, as `count` does."""
        response = await self._count(states, include_archived=include_archived)
        return counts_of(response.by_state)

    async def _count(
        self, states: Iterable[RunState | str] | RunState | str, *, include_archived: bool
    ) -> pb.CountRunsResponse:
        return await self._calls.unary(
            lambda: pb.CountRunsRequest(states=numbers_of(states), include_archived=include_archived),
            pb.CountRunsResponse,
        )

    def runs(
        self,
        *,
        states: Iterable[RunState | str] | RunState | str = (),
        tag: str | None = None,
        include_archived: bool = False,
        skip: int = 0,
        limit: int | None = None,
        page_size: int | None = None,
        with_metadata: bool = True,
    ) -> AsyncRuns:
        """Return runs, newest first. Nothing is called before they are iterated over.

        Args:
            states: Only those; all but ARCHIVED when empty.
            tag: Only runs that carry it. With states too the runs are found by a search.
            include_archived: Whether to return archived runs too; of no effect with states.
            skip: How many to pass over first, at most 100,000; not together with a tag.
            limit: How many to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.
            with_metadata: Whether to read their metadata, too.

        Raises:
            ValueError: There is no such state, or a tag together with `skip`.
        """
        wanted = numbers_of(states)
        if tag is not None and skip:
            msg = "runs with a tag cannot be skipped: iterate over them"
            raise ValueError(msg)
        if tag is not None and wanted:
            query = query_of(states, tag)
            return self.search(query, limit=limit, page_size=page_size, with_metadata=with_metadata)

        if tag is not None:
            fetch = self._with_tag(tag, include_archived=include_archived, with_metadata=with_metadata)
        elif len(wanted) == 1 and not skip:
            fetch = self._in_state(wanted[0], with_metadata=with_metadata)
        else:
            fetch = self._listed(
                wanted, include_archived=include_archived, skip=skip, with_metadata=with_metadata
            )
        return AsyncRuns(fetch, limit=limit, page_size=page_size)

    def _with_tag(self, tag: str, *, include_archived: bool, with_metadata: bool) -> AsyncFetch[Run]:
        return fetching(
            self._calls,
            lambda page: pb.QueryRunsByTagRequest(
                tag=tag, include_archived=include_archived, **runs_fields(page, with_metadata=with_metadata)
            ),
            pb.QueryRunsByTagResponse,
            runs_page_of,
        )

    def _in_state(self, state: pb.RunState.ValueType, *, with_metadata: bool) -> AsyncFetch[Run]:
        return fetching(
            self._calls,
            lambda page: pb.QueryRunsByStateRequest(
                state=state, **runs_fields(page, with_metadata=with_metadata)
            ),
            pb.QueryRunsByStateResponse,
            runs_page_of,
        )

    def _listed(
        self, states: list[pb.RunState.ValueType], *, include_archived: bool, skip: int, with_metadata: bool
    ) -> AsyncFetch[Run]:
        return fetching(
            self._calls,
            lambda page: pb.ListRunsRequest(
                states=states,
                include_archived=include_archived,
                skip=0 if page.page_token else skip,
                **runs_fields(page, with_metadata=with_metadata),
            ),
            pb.ListRunsResponse,
            runs_page_of,
        )

    def search(
        self,
        query: str,
        *,
        include_archived: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
        with_metadata: bool = True,
    ) -> AsyncRuns:
        """Return the runs that match a query, newest first. Nothing is called before they are iterated over.

        Args:
            query: Words, `"phrases"`, `prefix*`, `state:failed`, `tag:prod`, `meta.model:gpt*`, `created<1h`,
                `-negated`, `a OR b`, parentheses; the contract tells all of it at SearchRuns.
            include_archived: Whether to find archived runs too.
            limit: How many to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.
            with_metadata: Whether to read their metadata, too.
        """
        fetch = fetching(
            self._calls,
            lambda page: pb.SearchRunsRequest(
                query=query,
                include_archived=include_archived,
                **runs_fields(page, with_metadata=with_metadata),
            ),
            pb.SearchRunsResponse,
            runs_page_of,
        )
        return AsyncRuns(fetch, limit=limit, page_size=page_size)

    def children(
        self,
        run: RunRef,
        *,
        include_archived: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
        with_metadata: bool = True,
    ) -> AsyncRuns:
        """Return the direct children of a run, also of one that was deleted, newest first.

        Args:
            run: The parent.
            include_archived: Whether to return archived children too.
            limit: How many to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.
            with_metadata: Whether to read their metadata, too.
        """
        fetch = fetching(
            self._calls,
            lambda page: pb.GetChildRunsRequest(
                run_id=id_of(run),
                include_archived=include_archived,
                **runs_fields(page, with_metadata=with_metadata),
            ),
            pb.GetChildRunsResponse,
            runs_page_of,
        )
        return AsyncRuns(fetch, limit=limit, page_size=page_size)
