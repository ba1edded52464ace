"""What calls return: plain, frozen values. Times are in UTC; durations are `timedelta`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")

Json = Any
"""What JSON has: None, bool, int, float, str, list and dict with string keys."""


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""Says that no default was given, where None is one."""


class RunState(StrEnum):
    """Where a run is in its lifecycle."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    ARCHIVED = "ARCHIVED"
    UNKNOWN = "UNKNOWN"
    """None, or one that is newer than this client."""

    @classmethod
    def _missing_(cls, value: object) -> "RunState":
        """Take a name in lower case too, and a name that is not known for UNKNOWN."""
        upper = str(value).upper()
        return cls(upper) if upper in cls.__members__ else cls.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it was when it was read.

    Attributes:
        run_id: Its canonical id.
        state: Where it is in its lifecycle.
        version: How often it has been written, from 1.
        create_time: When it was created.
        update_time: When it was last changed.
        activity_time: Its last change, or the last write of its data, to the minute.
        end_time: When it ended; None before.
        duration: From `create_time` to `end_time`; None before the end.
        expire_time: When retention deletes it; None when it does not.
        outcome: The state in which it finished, kept when it is archived; None before.
        error: Why it failed; None when it did not.
        tags: In the order in which they were added.
        parent_run_id: The run under which it was created; None for a root.
        cloned_from: The run that it was copied from; None for all others.
        creator: The caller who created it; empty when callers are not told apart.
        revision: The store's revision at its last change.
        metadata: Empty when there is none, and when it was not asked for. Whole numbers are int.
    """

    run_id: str
    state: RunState
    version: int
    create_time: datetime
    update_time: datetime
    activity_time: datetime
    end_time: datetime | None = None
    duration: timedelta | None = None
    expire_time: datetime | None = None
    outcome: RunState | None = None
    error: str | None = None
    tags: tuple[str, ...] = ()
    parent_run_id: str | None = None
    cloned_from: str | None = None
    creator: str = ""
    revision: int = 0
    metadata: dict[str, Json] = field(default_factory=dict, hash=False)


class HasRunId(Protocol):
    """What stands for a run."""

    @property
    def run_id(self) -> str:
        """Its id."""
        ...


RunRef = str | UUID | HasRunId
"""How a run is named in a call: by its id, or by a run."""


def id_of(run: RunRef) -> str:
    """Return a run's id."""
    return str(run) if isinstance(run, str | UUID) else run.run_id


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of a run has led to.

    Attributes:
        version: The run's version after it.
        update_time: The run's `update_time` after it.
        revision: The store's revision that it made, or saw when it changed nothing.
    """

    version: int
    update_time: datetime
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteReceipt:
    """What a run held when it was deleted.

    Attributes:
        kv_keys: Keys with a value.
        events: Events, over all streams.
        state_cells: State cells.
        documents: JSON documents.
        data_bytes: Bytes of the values of all that, superseded versions included.
        orphaned_children: Children that are without a parent from now on.
        revision: The store's revision that the deletion made.
    """

    kv_keys: int
    events: int
    state_cells: int
    documents: int
    data_bytes: int
    orphaned_children: int
    revision: int


@dataclass(frozen=True, slots=True)
class KeepAll:
    """Retention that keeps everything."""


@dataclass(frozen=True, slots=True)
class KeepLatest:
    """Retention that keeps the newest versions of each key, cell and document, and events of each stream."""

    count: int


@dataclass(frozen=True, slots=True)
class KeepFor:
    """Retention that keeps what was superseded, and events, for a time."""

    duration: timedelta


@dataclass(frozen=True, slots=True)
class DeleteAfter:
    """Retention that deletes the whole run some time after its end."""

    duration: timedelta


Retention = KeepAll | KeepLatest | KeepFor | DeleteAfter
"""What the storage layer keeps of a run."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a collection.

    Attributes:
        items: In the collection's order.
        next_page_token: Where the next page begins; empty exactly at the end.
        revision: The store's revision that it saw.
        truncated: Whether a search stopped early here because its budget was spent.
    """

    items: tuple[T, ...]
    next_page_token: str
    revision: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What is asked of a page.

    Attributes:
        page_token: Where it begins; empty for the first.
        page_size: How many items it holds at most.
        ids_only: Whether the ids of runs are enough.
    """

    page_token: str
    page_size: int
    ids_only: bool


Counts = Mapping[RunState, int]
"""How many runs are in each state."""
