"""The 6 methods of RunInsights at the edge: check, call, convert. What they mean is told in the contract.

No method has a branch of its own, as in `servicer`.
"""

from collections.abc import Callable
from typing import TypeVar

from runindex.v1 import insights_pb2 as pb
from runindex_server import limits
from runindex_server.clock import Clock
from runindex_server.insights import errors, history, stale, stats, tags, tree
from runindex_server.kv.api import ReadTxn, Store
from runindex_server.rpc import insights_convert as convert
from runindex_server.rpc import insights_validate, validate
from runindex_server.rpc.insights_requests import (
    error_query,
    history_page,
    history_token,
    next_page_token,
    stale_query,
    tag_query,
)
from runindex_server.runs.page_token import PageTokens

T = TypeVar("T")


class RunInsightsServicer:
    """`service RunInsights`, over a store."""

    def __init__(self, store: Store, *, tokens: PageTokens, clock: Clock) -> None:
        """Take what the methods need.

        Args:
            store: Where runs are.
            tokens: Of that store.
            clock: Gives the time up to which figures are told, and from which idle times count.
        """
        self._store = store
        self._tokens = tokens
        self._clock = clock

    async def GetRunStats(self, request: pb.GetRunStatsRequest) -> pb.GetRunStatsResponse:
        tag = insights_validate.tag(request)
        intervals = insights_validate.intervals(request, now_us=self._clock.now_us())
        return await self._store.read(
            lambda txn: convert.stats_response(stats.get_run_stats(txn, tag, intervals), txn.revision),
            offload=intervals is not None,
        )

    async def GetRunHistory(self, request: pb.GetRunHistoryRequest) -> bytes:
        run_id, asked = validate.run_id(request.run_id), history_page(request, self._tokens)
        page, revision = await self._read(
            lambda txn: history.get_run_history(txn, run_id, asked, convert.transition),
            offload=asked.size > limits.PAGE_SIZE_DEFAULT,
        )
        token = history_token(request, self._tokens, page)
        response = pb.GetRunHistoryResponse(next_page_token=token, revision=revision)
        return convert.history_response(response, page)

    async def GetRunTree(self, request: pb.GetRunTreeRequest) -> bytes:
        run_id, asked = validate.run_id(request.run_id), insights_validate.tree_request(request)
        return await self._store.read(
            lambda txn: convert.tree_response(tree.get_run_tree(txn, run_id, asked), txn.revision),
            offload=asked.max_runs > limits.TREE_RUNS_DEFAULT,
        )

    async def ListTags(self, request: pb.ListTagsRequest) -> pb.ListTagsResponse:
        query = tag_query(request, self._tokens)
        page, revision = await self._read(lambda txn: tags.list_tags(txn, query), offload=query.by_count)
        token = next_page_token(request, self._tokens, page.end)
        return convert.tags_response(page, token, revision)

    async def ListStaleRuns(self, request: pb.ListStaleRunsRequest) -> bytes:
        query = stale_query(request, self._tokens, now_us=self._clock.now_us())
        page, revision = await self._read(lambda txn: stale.list_stale_runs(txn, query))
        token = next_page_token(request, self._tokens, page.end)
        response = pb.ListStaleRunsResponse(next_page_token=token, revision=revision)
        return convert.stale_response(response, page)

    async def ListErrors(self, request: pb.ListErrorsRequest) -> bytes:
        query = error_query(request, self._tokens)
        page, revision = await self._read(
            lambda txn: errors.list_errors(txn, query, convert.error_group), offload=True
        )
        token = next_page_token(request, self._tokens, page.end)
        response = pb.ListErrorsResponse(next_page_token=token, revision=revision)
        return convert.errors_response(response, page)

    async def _read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> tuple[T, int]:
        """Return what `fn` returns, and the revision of the snapshot that it saw."""
        return await self._store.read(lambda txn: (fn(txn), txn.revision), offload=offload)
