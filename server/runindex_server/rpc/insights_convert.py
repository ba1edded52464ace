"""Answers of the calls for what many runs come to: to response messages, or to their wire form.

Runs come from the store in the wire form of `runindex.v1.Run` and are joined as they are.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.data.listing import Page
from runindex_server.insights.errors import ErrorGroup, ErrorPage
from runindex_server.insights.stale import StalePage
from runindex_server.insights.stats import Durations, Finished, Stats
from runindex_server.insights.tags import TagPage
from runindex_server.insights.tree import StateCounts, Tree, TreeNode
from runindex_server.rpc.convert import duration, joined
from runindex_server.schema.history import Transition
from runindex_server.schema.records import length_delimited, state_number, timestamp
from runindex_server.schema.run import RunState

_ITEM_FIELD: Final = 1
"""The number of what a page holds in every response that has one; a test holds it."""

_RUN_FIELD: Final = 1
"""The number of `run` in a node of a tree, and in the answer with one; a test holds it."""

_ANCESTORS_FIELD: Final = 2
"""The number of `ancestors` in the answer with a tree; a test holds it."""

_DESCENDANTS_FIELD: Final = 3
"""The number of `descendants` in the answer with a tree; a test holds it."""

_NODES_REMEMBERED: Final = 1_024
"""What nodes tell beside their runs, remembered: most of a tree have no children, and differ by nothing."""

_EXAMPLE_FIELD: Final = 3
"""The number of `example` in a group of errors; a test holds it."""


def stats_response(stats: Stats, revision: int) -> pb.GetRunStatsResponse:
    """Return figures of runs."""
    together = stats.intervals_finished
    return pb.GetRunStatsResponse(
        by_state=_state_counts(stats.by_state.items()),
        count=sum(stats.by_state.values()),
        finished=_finished(stats.finished),
        intervals=[
            pb.IntervalStats(start_time=timestamp(each.start_us), finished=_finished(each.finished))
            for each in stats.intervals
        ],
        intervals_finished=None if together is None else _finished(together),
        revision=revision,
    )


def history_response(response: pb.GetRunHistoryResponse, page: Page) -> bytes:
    """Return the wire form of a page of transitions, the rest of the response behind them."""
    return joined(_ITEM_FIELD, page.items, response)


def transition(transition: Transition) -> bytes:
    """Return a transition as the wire form of `runindex.v1.RunTransition`."""
    return pb.RunTransition(
        from_state=state_number(transition.from_state),
        to_state=state_number(transition.to_state),
        time=timestamp(transition.time_us),
        version=transition.version,
        actor=transition.actor,
    ).SerializeToString()


def tree_response(tree: Tree, revision: int) -> bytes:
    """Return the wire form of a run with its relatives."""
    response = pb.GetRunTreeResponse(
        truncated=tree.truncated, ancestors_truncated=tree.ancestors_truncated, revision=revision
    )
    return b"".join(
        (
            length_delimited(_RUN_FIELD, _node(tree.run)),
            joined(_ANCESTORS_FIELD, [_node(each) for each in tree.ancestors], pb.GetRunTreeResponse()),
            joined(_DESCENDANTS_FIELD, [_node(each) for each in tree.descendants], response),
        )
    )


def tags_response(page: TagPage, token: str, revision: int) -> pb.ListTagsResponse:
    """Return a page of tags."""
    tags = [pb.TagCount(tag=tag.tag, count=tag.runs) for tag in page.tags]
    return pb.ListTagsResponse(tags=tags, next_page_token=token, revision=revision)


def stale_response(response: pb.ListStaleRunsResponse, page: StalePage) -> bytes:
    """Return the wire form of a page of stale runs, the rest of the response behind them."""
    return joined(_ITEM_FIELD, page.runs, response)


def errors_response(response: pb.ListErrorsResponse, page: ErrorPage) -> bytes:
    """Return the wire form of a page of errors, the rest of the response behind them."""
    return joined(_ITEM_FIELD, page.groups, response)


def error_group(group: ErrorGroup) -> bytes:
    """Return failed runs with the same error as the wire form of `runindex.v1.ErrorGroup`."""
    head = pb.ErrorGroup(error=group.error, count=group.count).SerializeToString()
    return head + length_delimited(_EXAMPLE_FIELD, group.example)


def _node(node: TreeNode) -> bytes:
    """Return the wire form of `runindex.v1.TreeNode`."""
    _, *told = node
    return length_delimited(_RUN_FIELD, node.run) + _told_beside(*told)


@lru_cache(_NODES_REMEMBERED)
def _told_beside(level: int, children: StateCounts, is_orphan: bool, is_circular: bool) -> bytes:  # noqa: FBT001
    """Return what a node tells beside its run, as it stands on the wire."""
    node = pb.TreeNode(
        level=level, children=_state_counts(children), is_orphan=is_orphan, is_circular=is_circular
    )
    return node.SerializeToString()


def _state_counts(counts: Iterable[tuple[RunState, int]]) -> list[index_pb.StateCount]:
    """Return how many runs there are in states."""
    return [index_pb.StateCount(state=state_number(state), count=count) for state, count in counts]


def _finished(finished: Finished) -> pb.FinishedStats:
    """Return figures of finished runs."""
    durations = finished.durations
    return pb.FinishedStats(
        count=finished.count,
        by_outcome=_state_counts(finished.by_outcome.items()),
        error_rate=finished.error_rate,
        durations=None if durations is None else _durations(durations),
    )


def _durations(durations: Durations) -> pb.DurationStats:
    """Return how long runs took."""
    return pb.DurationStats(
        mean=duration(durations.mean_us),
        p50=duration(durations.p50_us),
        p90=duration(durations.p90_us),
        p99=duration(durations.p99_us),
    )
