"""Arguments of the calls for what many runs come to, checked; beside `validate`, and in its manner."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import insights_pb2 as pb
from runindex_server import limits
from runindex_server.errors import FieldRequired, InvalidField
from runindex_server.insights.stale import OPEN_STATES
from runindex_server.insights.stats import Intervals
from runindex_server.insights.tree import TreeRequest
from runindex_server.rpc import validate
from runindex_server.schema.insight_keys import DAY_US, HOUR_US
from runindex_server.schema.run import RunState

_SECOND_NS: Final = 1_000_000_000
_MICROSECOND_NS: Final = 1_000
_TIMESTAMP_S_MIN: Final = -62_135_596_800
"""The first second of the year 1, and so of `google.protobuf.Timestamp`."""

_TIMESTAMP_S_MAX: Final = 253_402_300_799
"""The last second of the year 9999."""

_WIDTHS_US: Final[Mapping[int, int | None]] = {
    pb.STATS_INTERVAL_UNSPECIFIED: None,
    pb.STATS_INTERVAL_HOUR: HOUR_US,
    pb.STATS_INTERVAL_DAY: DAY_US,
}
_IS_BY_COUNT: Final[Mapping[int, bool]] = {
    pb.TAG_ORDER_UNSPECIFIED: False,
    pb.TAG_ORDER_NAME: False,
    pb.TAG_ORDER_COUNT: True,
}
_NEVER_STALE: Final = frozenset(RunState) - OPEN_STATES


def tag(request: pb.GetRunStatsRequest) -> str | None:
    """Return the tag of the runs that are asked for; None for all runs.

    Raises:
        InvalidTag: It is present but empty, or as `validate.tag`.
    """
    return validate.tag(request.tag, field="tag") if request.HasField("tag") else None


def intervals(request: pb.GetRunStatsRequest, *, now_us: int) -> Intervals | None:
    """Return the intervals that are asked for; None for none.

    Args:
        request: The request.
        now_us: The time up to which they go when the request names none, the one in which it lies included.

    Raises:
        InvalidField: The interval is unknown, or comes with a tag; or a time comes without one, is no time,
            or is out of order; or the intervals are too many.
        FieldRequired: There is no start.
    """
    if request.interval not in _WIDTHS_US:
        raise InvalidField(f"{request.interval} is not an interval", field="interval")
    width_us = _WIDTHS_US[request.interval]
    if width_us is not None and request.HasField("tag"):
        raise InvalidField("goes without a tag only: by tag no times are kept", field="interval")
    start_ns = _time_ns(request, "start_time")
    end_ns = _time_ns(request, "end_time")
    if width_us is None:
        return None
    if start_ns is None:
        raise FieldRequired("start_time")
    return _intervals(width_us, start_ns, end_ns, now_us=now_us)


def tree_request(request: pb.GetRunTreeRequest) -> TreeRequest:
    """Return which relatives of a run are asked for.

    Raises:
        InvalidField: A number is negative, or the view is none.
    """
    return TreeRequest(
        max_depth=_at_most(
            request.max_depth, limits.TREE_DEPTH_MAX, default=limits.TREE_DEPTH_DEFAULT, field="max_depth"
        ),
        max_runs=_at_most(
            request.max_runs, limits.TREE_RUNS_MAX, default=limits.TREE_RUNS_DEFAULT, field="max_runs"
        ),
        include_archived=request.include_archived,
        view=validate.view(request.view),
    )


def tag_prefix(text: str) -> str:
    """Return what tags are to begin with.

    Raises:
        InvalidField: It is too long, or holds a control character.
    """
    validate.check_size(text, limits.TAG_BYTES_MAX, field="prefix")
    if validate.has_control_characters(text):
        raise InvalidField("a tag holds no control characters", field="prefix")
    return text


def is_by_count(order: int) -> bool:
    """Return whether tags are to be in the order of their counts, and not of their names.

    Raises:
        InvalidField: There is no order of this number.
    """
    known = _IS_BY_COUNT.get(order)
    if known is None:
        raise InvalidField(f"{order} is not an order", field="order")
    return known


def idle_for_us(request: pb.ListStaleRunsRequest) -> int:
    """Return how long stale runs were not touched at least, in microseconds.

    Raises:
        FieldRequired: It is unset.
        InvalidField: As `validate.duration_us`.
    """
    if not request.HasField("idle_for"):
        raise FieldRequired("idle_for")
    return validate.duration_us(request.idle_for, field="idle_for")


def check_can_be_stale(states: Iterable[int]) -> None:
    """Refuse states in which no run is stale.

    Raises:
        InvalidField: One of these numbers is that of such a state.
    """
    for place, number in enumerate(states):
        if number in _NEVER_STALE:
            raise InvalidField("is an end; ask for ACTIVE, PAUSED or both", field=f"states[{place}]")


def open_states(states: Sequence[int]) -> frozenset[RunState]:
    """Return the states that are asked for; for none all in which runs can be stale.

    Raises:
        InvalidState: As `validate.states`.
    """
    return validate.states(states) or OPEN_STATES


def _at_most(number: int, maximum: int, *, default: int, field: str) -> int:
    """Return how many of something are asked for at most.

    Raises:
        InvalidField: It is negative.
    """
    if number < 0:
        raise InvalidField(f"{number} is negative; use 0 for the default", field=field)
    return min(number or default, maximum)


def _time_ns(request: pb.GetRunStatsRequest, field: Literal["start_time", "end_time"]) -> int | None:
    """Return a time of a request in nanoseconds since 1970; None when it is unset.

    Raises:
        InvalidField: It comes without an interval, or is no time.
    """
    if not request.HasField(field):
        return None
    if request.interval == pb.STATS_INTERVAL_UNSPECIFIED:
        raise InvalidField("goes with an interval only", field=field)
    time: Timestamp = getattr(request, field)
    if not _TIMESTAMP_S_MIN <= time.seconds <= _TIMESTAMP_S_MAX:
        raise InvalidField("is not within the years 1 to 9999", field=field)
    if not 0 <= time.nanos < _SECOND_NS:
        raise InvalidField("is not a Timestamp with 0 to 999,999,999 nanos", field=field)
    return time.seconds * _SECOND_NS + time.nanos


def _intervals(width_us: int, start_ns: int, end_ns: int | None, *, now_us: int) -> Intervals:
    """Return the intervals from one time to another; to now when that is None.

    Raises:
        InvalidField: The end is not after the start, or they are too many.
    """
    field = "start_time" if end_ns is None else "end_time"
    if end_ns is None:
        # What has just finished is told, too.
        end_ns = (now_us + 1) * _MICROSECOND_NS
    if end_ns <= start_ns:
        problem = "lies in the future" if field == "start_time" else "is not after start_time"
        raise InvalidField(problem, field=field)
    width_ns = width_us * _MICROSECOND_NS
    first, last = start_ns // width_ns, (end_ns - 1) // width_ns
    number = last - first + 1
    if number > limits.STATS_INTERVALS_MAX:
        raise InvalidField(
            f"makes it {number} intervals; at most {limits.STATS_INTERVALS_MAX} are taken", field=field
        )
    return Intervals(width_us=width_us, first=first, number=number)
