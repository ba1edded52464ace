"""Messages of the contract to and from the values that callers see, but for metadata and data."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from runindex._metadata import dict_of
from runindex._types import (
    Change,
    DeleteAfter,
    DeleteReceipt,
    KeepAll,
    KeepFor,
    KeepLatest,
    Page,
    PageRequest,
    Retention,
    Run,
    RunState,
)
from runindex.v1 import run_index_pb2 as pb

T = TypeVar("T")

STATES: Final[Mapping[pb.RunState.ValueType, RunState]] = {
    pb.RUN_STATE_ACTIVE: RunState.ACTIVE,
    pb.RUN_STATE_PAUSED: RunState.PAUSED,
    pb.RUN_STATE_COMPLETED: RunState.COMPLETED,
    pb.RUN_STATE_FAILED: RunState.FAILED,
    pb.RUN_STATE_CANCELLED: RunState.CANCELLED,
    pb.RUN_STATE_ARCHIVED: RunState.ARCHIVED,
}

NUMBERS: Final[Mapping[RunState, pb.RunState.ValueType]] = {state: number for number, state in STATES.items()}

SECOND: Final = timedelta(seconds=1)


def time_of(time: Timestamp) -> datetime:
    """Return a time in UTC, to the microsecond."""
    return time.ToDatetime(tzinfo=UTC)


def timestamp_of(time: datetime) -> Timestamp:
    """Return a time as it is sent.

    Raises:
        ValueError: It has no time zone, so that nobody can know which time it is.
    """
    if time.tzinfo is None:
        msg = f"{time} has no time zone: use datetime.now(UTC), say"
        raise ValueError(msg)
    sent = Timestamp()
    sent.FromDatetime(time)
    return sent


def duration_of(duration: timedelta) -> Duration:
    """Return a duration as it is sent."""
    sent = Duration()
    sent.FromTimedelta(duration)
    return sent


def state_of(number: pb.RunState.ValueType) -> RunState:
    """Return a state; UNKNOWN for one that is newer than this client."""
    return STATES.get(number, RunState.UNKNOWN)


def number_of(state: RunState | str) -> pb.RunState.ValueType:
    """Return a state as it is sent.

    Raises:
        ValueError: There is no such state.
    """
    known = RunState(state)
    if known not in NUMBERS:
        names = ", ".join(known.value for known in NUMBERS)
        msg = f"{str(state)!r:.100} is no state; there are {names}"
        raise ValueError(msg)
    return NUMBERS[known]


def numbers_of(states: Iterable[RunState | str] | RunState | str) -> list[pb.RunState.ValueType]:
    """Return states as they are sent; a single one for a list of it.

    Raises:
        ValueError: There is no such state.
    """
    return [number_of(state) for state in ([states] if isinstance(states, str) else states)]


def tags_of(tags: Iterable[str]) -> list[str]:
    """Return tags as they are sent.

    Raises:
        TypeError: They are a single text, whose characters nobody means as tags.
    """
    if isinstance(tags, str):
        msg = f"tags are a list of texts; for one tag write [{tags!r:.150}]"
        raise TypeError(msg)
    return list(tags)


def counts_of(counts: Iterable[pb.StateCount]) -> dict[RunState, int]:
    """Return how many runs are in each state."""
    return {state_of(row.state): row.count for row in counts}


def optional_time(message: Message, field: str) -> datetime | None:
    """Return a time in a message; None when it is unset."""
    return time_of(getattr(message, field)) if message.HasField(field) else None


def run_of(run: pb.Run) -> Run:
    """Return a run."""
    return Run(
        run_id=run.run_id,
        state=state_of(run.state),
        version=run.version,
        create_time=time_of(run.create_time),
        update_time=time_of(run.update_time),
        activity_time=time_of(run.activity_time),
        end_time=optional_time(run, "end_time"),
        duration=run.duration.ToTimedelta() if run.HasField("duration") else None,
        expire_time=optional_time(run, "expire_time"),
        outcome=state_of(run.outcome) if run.outcome else None,
        error=run.error if run.HasField("error") else None,
        tags=tuple(run.tags),
        parent_run_id=run.parent_run_id if run.HasField("parent_run_id") else None,
        cloned_from=run.cloned_from if run.HasField("cloned_from") else None,
        creator=run.creator,
        revision=run.revision,
        metadata=dict_of(run.metadata),
    )


class ChangeResponse(Protocol):
    """What the responses to all changes of a run have."""

    @property
    def version(self) -> int:
        """The run's version."""
        ...

    @property
    def update_time(self) -> Timestamp:
        """The run's `update_time`."""
        ...

    @property
    def revision(self) -> int:
        """The store's revision."""
        ...


def change_of(response: ChangeResponse) -> Change:
    """Return what a change has led to."""
    return Change(response.version, time_of(response.update_time), response.revision)


def receipt_of(response: pb.DeleteRunResponse) -> DeleteReceipt:
    """Return what a run held when it was deleted."""
    receipt = response.receipt
    return DeleteReceipt(
        kv_keys=receipt.kv_keys,
        events=receipt.events,
        state_cells=receipt.state_cells,
        documents=receipt.documents,
        data_bytes=receipt.bytes,
        orphaned_children=receipt.orphaned_children,
        revision=response.revision,
    )


def policy_of(retention: Retention) -> pb.RetentionPolicy:
    """Return a retention policy as it is sent."""
    match retention:
        case KeepAll():
            return pb.RetentionPolicy(keep_all=pb.KeepAll())
        case KeepLatest(count):
            return pb.RetentionPolicy(keep_latest_n=count)
        case KeepFor(duration):
            return pb.RetentionPolicy(keep_duration=duration_of(duration))
        case DeleteAfter(duration):
            return pb.RetentionPolicy(delete_after=duration_of(duration))


def retention_of(policy: pb.RetentionPolicy) -> Retention:
    """Return a retention policy; KeepAll for a kind that is newer than this client."""
    match policy.WhichOneof("policy"):
        case "keep_latest_n":
            return KeepLatest(policy.keep_latest_n)
        case "keep_duration":
            return KeepFor(policy.keep_duration.ToTimedelta())
        case "delete_after":
            return DeleteAfter(policy.delete_after.ToTimedelta())
        case _:
            return KeepAll()


class PageResponse(Protocol):
    """What the responses of all lists have, beside their items."""

    @property
    def next_page_token(self) -> str:
        """Where the next page begins."""
        ...

    @property
    def revision(self) -> int:
        """The store's revision."""
        ...


class RunsResponse(PageResponse, Protocol):
    """What the responses of all lists of runs have."""

    @property
    def runs(self) -> Iterable[pb.Run]:
        """The runs."""
        ...


def page_of(items: Iterable[T], response: PageResponse) -> Page[T]:
    """Return the page that items of a response are."""
    return Page(tuple(items), response.next_page_token, response.revision)


def runs_page_of(response: RunsResponse) -> Page[Run]:
    """Return a page of runs."""
    runs = tuple(run_of(run) for run in response.runs)
    return Page(runs, response.next_page_token, response.revision, getattr(response, "truncated", False))


def view_of(*, with_metadata: bool, ids_only: bool = False) -> pb.RunView.ValueType:
    """Return how much of each run is asked for."""
    if ids_only:
        return pb.RUN_VIEW_ID_ONLY
    return pb.RUN_VIEW_FULL if with_metadata else pb.RUN_VIEW_BASIC


def page_fields(page: PageRequest) -> dict[str, Any]:
    """Return the fields that all requests for a page have."""
    return {"page_size": page.page_size, "page_token": page.page_token}


def runs_fields(page: PageRequest, *, with_metadata: bool) -> dict[str, Any]:
    """Return the fields that all requests for a page of runs have."""
    return page_fields(page) | {"view": view_of(with_metadata=with_metadata, ids_only=page.ids_only)}


def query_of(states: Iterable[RunState | str], tag: str) -> str:
    """Return the search for runs of some states that carry a tag.

    Raises:
        ValueError: There is no such state.
    """
    names = [state_of(number).lower() for number in numbers_of(states)]
    quoted = tag.replace("\\", "\\\\").replace('"', '\\"')
    return f'tag:"{quoted}" ({" OR ".join(f"state:{name}" for name in names)})'
