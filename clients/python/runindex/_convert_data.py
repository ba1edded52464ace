"""Messages about data, many runs and templates to the values that callers see."""

from collections.abc import Mapping
from typing import Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from runindex._convert import counts_of, retention_of, run_of, state_of, time_of
from runindex._data_types import Event, Item, Written
from runindex._insight_types import (
    Durations,
    ErrorGroup,
    FinishedStats,
    Interval,
    IntervalStats,
    RunStats,
    RunTree,
    TagCount,
    TagOrder,
    Template,
    Transition,
    TreeNode,
)
from runindex._metadata import dict_of, json_of, value_of
from runindex.v1 import insights_pb2 as insights_pb
from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import templates_pb2 as templates_pb

INTERVALS: Final[Mapping[Interval, insights_pb.StatsInterval.ValueType]] = {
    Interval.HOUR: insights_pb.STATS_INTERVAL_HOUR,
    Interval.DAY: insights_pb.STATS_INTERVAL_DAY,
}

TAG_ORDERS: Final[Mapping[TagOrder, insights_pb.TagOrder.ValueType]] = {
    TagOrder.NAME: insights_pb.TAG_ORDER_NAME,
    TagOrder.COUNT: insights_pb.TAG_ORDER_COUNT,
}


class WrittenResponse(Protocol):
    """What the responses to all writes of data have."""

    @property
    def version(self) -> int:
        """The version that was made."""
        ...

    @property
    def write_time(self) -> Timestamp:
        """When."""
        ...

    @property
    def revision(self) -> int:
        """The store's revision."""
        ...


def written_of(response: WrittenResponse) -> Written:
    """Return what a write of data has made."""
    return Written(response.version, time_of(response.write_time), response.revision)


def key_item(item: data_pb.KeyValue) -> Item:
    """Return a version of the value under a key."""
    return Item(item.key, value_of(item.value), item.version, time_of(item.write_time), item.deleted)


def cell_item(item: data_pb.StateCell) -> Item:
    """Return a version of a state cell."""
    return Item(item.cell, value_of(item.value), item.version, time_of(item.write_time))


def document_item(item: data_pb.Document) -> Item:
    """Return a version of a JSON document."""
    return Item(item.document, json_of(item.value), item.version, time_of(item.write_time), item.deleted)


def event_of(event: data_pb.Event) -> Event:
    """Return an event."""
    return Event(event.sequence, event.stream, value_of(event.value), time_of(event.append_time))


def finished_of(finished: insights_pb.FinishedStats) -> FinishedStats:
    """Return figures of finished runs."""
    durations = None
    if finished.HasField("durations"):
        told = finished.durations
        durations = Durations(
            told.mean.ToTimedelta(), told.p50.ToTimedelta(), told.p90.ToTimedelta(), told.p99.ToTimedelta()
        )
    error_rate = finished.error_rate if finished.HasField("error_rate") else None
    return FinishedStats(finished.count, counts_of(finished.by_outcome), error_rate, durations)


def stats_of(response: insights_pb.GetRunStatsResponse) -> RunStats:
    """Return figures of runs."""
    together = response.intervals_finished if response.HasField("intervals_finished") else None
    return RunStats(
        response.count,
        counts_of(response.by_state),
        finished_of(response.finished),
        tuple(
            IntervalStats(time_of(row.start_time), finished_of(row.finished)) for row in response.intervals
        ),
        None if together is None else finished_of(together),
        response.revision,
    )


def transition_of(row: insights_pb.RunTransition) -> Transition:
    """Return a change of a run's state."""
    before = state_of(row.from_state) if row.from_state else None
    return Transition(before, state_of(row.to_state), time_of(row.time), row.version, row.actor)


def node_of(node: insights_pb.TreeNode) -> TreeNode:
    """Return a run in a tree."""
    return TreeNode(run_of(node.run), node.level, counts_of(node.children), node.is_orphan, node.is_circular)


def tree_of(response: insights_pb.GetRunTreeResponse) -> RunTree:
    """Return a run with its relatives."""
    return RunTree(
        node_of(response.run),
        tuple(node_of(node) for node in response.ancestors),
        tuple(node_of(node) for node in response.descendants),
        response.truncated,
        response.ancestors_truncated,
        response.revision,
    )


def tag_count_of(row: insights_pb.TagCount) -> TagCount:
    """Return a tag with its count."""
    return TagCount(row.tag, row.count)


def error_group_of(group: insights_pb.ErrorGroup) -> ErrorGroup:
    """Return failed runs with the same error."""
    return ErrorGroup(group.error, group.count, run_of(group.example))


def template_of(template: templates_pb.RunTemplate) -> Template:
    """Return a template."""
    return Template(
        name=template.name,
        tags=tuple(template.tags),
        metadata=dict_of(template.metadata),
        retention=retention_of(template.retention) if template.HasField("retention") else None,
        version=template.version,
        create_time=time_of(template.create_time),
        update_time=time_of(template.update_time),
    )
