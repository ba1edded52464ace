"""The 24 methods of RunIndex at the edge: check, call, convert. What they mean is told in the contract.

No method has a branch of its own: what is decided, is decided in `validate`, in `runs`, or in the boundary.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from runindex.v1 import run_index_pb2 as pb
from runindex_server import limits
from runindex_server.clock import Clock
from runindex_server.kv.api import ReadTxn, Store
from runindex_server.rpc import convert, validate
from runindex_server.rpc.digest import query_digest
from runindex_server.rpc.requests import PageCall, conditions, draft, page_call, request_key
from runindex_server.runs import run_index
from runindex_server.runs.page_token import PageTokens, Position
from runindex_server.runs.paging import Page, PageRequest
from runindex_server.schema.run import RunId
from runindex_server.search import effort
from runindex_server.search.effort import TooMuchWork
from runindex_server.search.index import SearchIndex, SearchRequest
from runindex_server.search.query import parse_query

T = TypeVar("T")


class RunIndexServicer:
    """`service RunIndex`, over a store."""

    def __init__(
        self,
        store: Store,
        *,
        tokens: PageTokens,
        search_index: SearchIndex,
        search_budget_records: int,
        clock: Clock,
        new_run_id: Callable[[], RunId],
    ) -> None:
        """Take what the methods need.

        Args:
            store: Where runs are.
            tokens: Of that store.
            search_index: Over that store.
            search_budget_records: Candidates that one search examines at most.
            clock: Gives the time from which the ages of a search count.
            new_run_id: Makes ids for runs that come without one.
        """
        self._store = store
        self._tokens = tokens
        self._search_index = search_index
        self._search_budget_records = search_budget_records
        self._clock = clock
        self._new_run_id = new_run_id

    # Records.

    async def CreateRun(self, request: pb.CreateRunRequest) -> bytes:
        create = partial(
            run_index.create_run, draft=draft(request, self._new_run_id), request=request_key(request)
        )
        created = await self._store.write(create)
        return convert.run_response(created.run, created.revision)

    async def GetRun(self, request: pb.GetRunRequest) -> bytes:
        run_id, view = validate.run_id(request.run_id), validate.view(request.view)
        run, revision = await self._read(lambda txn: run_index.get_run(txn, run_id, view))
        return convert.run_response(run, revision)

    async def ListRuns(self, request: pb.ListRunsRequest) -> bytes:
        states, archived = validate.states(request.states), request.include_archived
        call = page_call(request, self._tokens)
        page, revision = await self._read(
            lambda txn: run_index.list_runs(txn, states, call.page, include_archived=archived),
            offload=call.page.skip > limits.PAGE_SIZE_MAX,
        )
        response = pb.ListRunsResponse(next_page_token=self._token(call, page), revision=revision)
        return convert.page_response(response, page)

    async def RunExists(self, request: pb.RunExistsRequest) -> pb.RunExistsResponse:
        run_id = validate.run_id(request.run_id)
        exists, revision = await self._read(lambda txn: run_index.run_exists(txn, run_id))
        return pb.RunExistsResponse(exists=exists, revision=revision)

    async def UpdateRunMetadata(self, request: pb.UpdateRunMetadataRequest) -> pb.UpdateRunMetadataResponse:
        run_id, metadata = validate.run_id(request.run_id), validate.required_metadata(request)
        depends, merge = conditions(request), request.merge
        answer = await self._store.write(
            lambda txn: run_index.update_run_metadata(txn, run_id, metadata, depends, merge=merge)
        )
        return convert.change_response(pb.UpdateRunMetadataResponse, answer)

    # Lifecycle.

    async def CloseRun(self, request: pb.CloseRunRequest) -> pb.CloseRunResponse:
        run_id, depends = validate.run_id(request.run_id), conditions(request)
        answer = await self._store.write(lambda txn: run_index.close_run(txn, run_id, depends))
        return convert.change_response(pb.CloseRunResponse, answer)

    async def PauseRun(self, request: pb.PauseRunRequest) -> pb.PauseRunResponse:
        run_id, depends = validate.run_id(request.run_id), conditions(request)
        answer = await self._store.write(lambda txn: run_index.pause_run(txn, run_id, depends))
        return convert.change_response(pb.PauseRunResponse, answer)

    async def ResumeRun(self, request: pb.ResumeRunRequest) -> pb.ResumeRunResponse:
        run_id, depends = validate.run_id(request.run_id), conditions(request)
        answer = await self._store.write(lambda txn: run_index.resume_run(txn, run_id, depends))
        return convert.change_response(pb.ResumeRunResponse, answer)

    async def FailRun(self, request: pb.FailRunRequest) -> pb.FailRunResponse:
        run_id, error = validate.run_id(request.run_id), validate.error_text(request.error)
        depends = conditions(request)
        answer = await self._store.write(lambda txn: run_index.fail_run(txn, run_id, error, depends))
        return convert.change_response(pb.FailRunResponse, answer)

    async def CancelRun(self, request: pb.CancelRunRequest) -> pb.CancelRunResponse:
        run_id, depends = validate.run_id(request.run_id), conditions(request)
        answer = await self._store.write(lambda txn: run_index.cancel_run(txn, run_id, depends))
        return convert.change_response(pb.CancelRunResponse, answer)

    async def ArchiveRun(self, request: pb.ArchiveRunRequest) -> pb.ArchiveRunResponse:
        run_id, depends = validate.run_id(request.run_id), conditions(request)
        answer = await self._store.write(lambda txn: run_index.archive_run(txn, run_id, depends))
        return convert.change_response(pb.ArchiveRunResponse, answer)

    async def DeleteRun(self, request: pb.DeleteRunRequest) -> pb.DeleteRunResponse:
        run_id, depends = validate.run_id(request.run_id), conditions(request)
        answer = await self._store.write(lambda txn: run_index.delete_run(txn, run_id, depends))
        return convert.delete_response(answer)

    # Queries.

    async def QueryRunsByState(self, request: pb.QueryRunsByStateRequest) -> bytes:
        state, call = validate.required_state(request.state), page_call(request, self._tokens)
        page, revision = await self._read(lambda txn: run_index.query_runs_by_state(txn, state, call.page))
        response = pb.QueryRunsByStateResponse(next_page_token=self._token(call, page), revision=revision)
        return convert.page_response(response, page)

    async def QueryRunsByTag(self, request: pb.QueryRunsByTagRequest) -> bytes:
        tag, call = validate.required_tag(request.tag), page_call(request, self._tokens)
        archived = request.include_archived
        page, revision = await self._read(
            lambda txn: run_index.query_runs_by_tag(txn, tag, call.page, include_archived=archived)
        )
        response = pb.QueryRunsByTagResponse(next_page_token=self._token(call, page), revision=revision)
        return convert.page_response(response, page)

    async def CountRuns(self, request: pb.CountRunsRequest) -> pb.CountRunsResponse:
        states, archived = validate.states(request.states), request.include_archived
        counts, revision = await self._read(
            lambda txn: run_index.count_runs(txn, states, include_archived=archived)
        )
        return convert.count_response(counts, revision)

    async def SearchRuns(self, request: pb.SearchRunsRequest) -> bytes:
        expression = parse_query(validate.query_text(request.query))
        call = page_call(
            request,
            self._tokens,
            default_size=limits.SEARCH_PAGE_SIZE_DEFAULT,
            # A clock that has not learnt the time may be before 1970, which a page token cannot hold.
            now_us=max(0, self._clock.now_us()),
        )
        search = SearchRequest(
            expression=expression,
            include_archived=request.include_archived,
            before_ordinal=call.page.before,
            now_us=call.now_us,
            budget=self._search_budget_records,
            wanted=call.page.size + 1,
            work_max=effort.BRIEF,
        )
        page, revision = await self._search(search, call.page)
        token = self._token(call, page)
        response = pb.SearchRunsResponse(next_page_token=token, truncated=page.truncated, revision=revision)
        return convert.page_response(response, page)

    async def _search(self, search: SearchRequest, page: PageRequest) -> tuple[Page, int]:
        """Search on the event loop, or in a thread when that would hold up other calls."""
        try:
            return await self._read(lambda txn: run_index.search_runs(txn, self._search_index, search, page))
        except TooMuchWork:
            search = replace(search, work_max=None)
        return await self._read(
            lambda txn: run_index.search_runs(txn, self._search_index, search, page), offload=True
        )

    # Tags.

    async def AddRunTags(self, request: pb.AddRunTagsRequest) -> pb.AddRunTagsResponse:
        run_id, tags = validate.run_id(request.run_id), validate.required_tags(request.tags)
        depends = conditions(request)
        answer = await self._store.write(lambda txn: run_index.add_run_tags(txn, run_id, tags, depends))
        return convert.change_response(pb.AddRunTagsResponse, answer)

    async def RemoveRunTags(self, request: pb.RemoveRunTagsRequest) -> pb.RemoveRunTagsResponse:
        run_id, tags = validate.run_id(request.run_id), validate.required_tags(request.tags)
        depends = conditions(request)
        answer = await self._store.write(lambda txn: run_index.remove_run_tags(txn, run_id, tags, depends))
        return convert.change_response(pb.RemoveRunTagsResponse, answer)

    async def GetRunTags(self, request: pb.GetRunTagsRequest) -> pb.GetRunTagsResponse:
        run_id = validate.run_id(request.run_id)
        tags, revision = await self._read(lambda txn: run_index.get_run_tags(txn, run_id))
        return pb.GetRunTagsResponse(tags=tags, revision=revision)

    # Hierarchy.

    async def CreateChildRun(self, request: pb.CreateChildRunRequest) -> bytes:
        parent = validate.run_id(request.parent_run_id, field="parent_run_id")
        create = partial(
            run_index.create_child_run,
            draft=draft(request, self._new_run_id, parent=parent),
            request=request_key(request),
        )
        created = await self._store.write(create)
        return convert.run_response(created.run, created.revision)

    async def GetChildRuns(self, request: pb.GetChildRunsRequest) -> bytes:
        parent, call = validate.run_id(request.run_id), page_call(request, self._tokens)
        archived = request.include_archived
        page, revision = await self._read(
            lambda txn: run_index.get_child_runs(txn, parent, call.page, include_archived=archived)
        )
        response = pb.GetChildRunsResponse(next_page_token=self._token(call, page), revision=revision)
        return convert.page_response(response, page)

    async def GetParentRun(self, request: pb.GetParentRunRequest) -> pb.GetParentRunResponse:
        run_id = validate.run_id(request.run_id)
        parent, revision = await self._read(lambda txn: run_index.get_parent_run(txn, run_id))
        return convert.parent_response(parent, revision)

    # Retention.

    async def SetRunRetention(self, request: pb.SetRunRetentionRequest) -> pb.SetRunRetentionResponse:
        run_id, policy = validate.run_id(request.run_id), validate.required_retention_policy(request)
        depends = conditions(request)
        answer = await self._store.write(
            lambda txn: run_index.set_run_retention(txn, run_id, policy, depends)
        )
        return convert.change_response(pb.SetRunRetentionResponse, answer)

    async def GetRunRetention(self, request: pb.GetRunRetentionRequest) -> pb.GetRunRetentionResponse:
        run_id = validate.run_id(request.run_id)
        policy, revision = await self._read(lambda txn: run_index.get_run_retention(txn, run_id))
        return convert.retention_response(policy, revision)

    async def _read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> tuple[T, int]:
        """Return what `fn` returns, and the revision of the snapshot that it saw."""
        return await self._store.read(lambda txn: (fn(txn), txn.revision), offload=offload)

    def _token(self, call: PageCall, page: Page) -> str:
        """Return the token of the page after this one; empty at the end."""
        if page.next_before is None:
            return ""
        position = Position(before=page.next_before, now_us=call.now_us)
        return self._tokens.encode(query_digest(call.request), position.pack())
