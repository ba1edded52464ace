"""What calls about many runs, and about templates, return."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from runindex._types import Counts, Json, Retention, Run, RunState


class Interval(StrEnum):
    """Intervals of time, in UTC."""

    HOUR = "HOUR"
    DAY = "DAY"


class TagOrder(StrEnum):
    """Orders of tags: by name, or the most frequent first."""

    NAME = "NAME"
    COUNT = "COUNT"


@dataclass(frozen=True, slots=True)
class Durations:
    """How long runs took, from creation to end: the mean, exact, and percentiles, to 0.8 %."""

    mean: timedelta
    p50: timedelta
    p90: timedelta
    p99: timedelta


@dataclass(frozen=True, slots=True)
class FinishedStats:
    """Figures of runs that have finished.

    Attributes:
        count: How many they are.
        by_outcome: By outcome, zeros included.
        error_rate: The failed among them, from 0 to 1; None when there is none.
        durations: How long they took; None when there is none.
    """

    count: int
    by_outcome: Counts = field(hash=False)
    error_rate: float | None
    durations: Durations | None


@dataclass(frozen=True, slots=True)
class IntervalStats:
    """The runs that finished in one interval, which ends where the next one begins."""

    start_time: datetime
    finished: FinishedStats


@dataclass(frozen=True, slots=True)
class RunStats:
    """Figures of runs.

    Attributes:
        count: The runs in all states.
        by_state: The runs in each state, zeros included.
        finished: Those that have finished.
        intervals: With an interval: each, oldest first, without a gap.
        intervals_finished: With an interval: those that finished in all these together; else None.
        revision: The store's revision that was seen.
    """

    count: int
    by_state: Counts = field(hash=False)
    finished: FinishedStats
    intervals: tuple[IntervalStats, ...]
    intervals_finished: FinishedStats | None
    revision: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a run's state.

    Attributes:
        from_state: The state before it; None for the creation, and where it is not known.
        to_state: The state after it.
        time: When it was made.
        version: The run's version after it.
        actor: Who made it; empty where that is not known.
    """

    from_state: RunState | None
    to_state: RunState
    time: datetime
    version: int
    actor: str


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A run in a tree.

    Attributes:
        run: The run.
        level: How many levels it stands below the run that was asked for; for ancestors, above.
        children: The states of all its direct children, those that are not returned included.
        is_orphan: Whether its parent was deleted.
        is_circular: Whether going on from here comes back to a run that was on the way already.
    """

    run: Run
    level: int
    children: Counts = field(hash=False)
    is_orphan: bool
    is_circular: bool


@dataclass(frozen=True, slots=True)
class RunTree:
    """A run with its relatives.

    Attributes:
        root: The run that was asked for.
        ancestors: Its parent, the parent of that, and so on.
        descendants: Level by level, the children of each together, newest first.
        truncated: Whether there are descendants that are not returned.
        ancestors_truncated: Whether there are ancestors that are not returned.
        revision: The store's revision that was seen.
    """

    root: TreeNode
    ancestors: tuple[TreeNode, ...]
    descendants: tuple[TreeNode, ...]
    truncated: bool
    ancestors_truncated: bool
    revision: int


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and how many runs carry it."""

    tag: str
    count: int


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failed runs with the same error.

    Attributes:
        error: What their errors have in common, in one line.
        count: How many they are.
        example: The one that was created last.
    """

    error: str
    count: int
    example: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What runs begin with.

    Attributes:
        name: Its name.
        tags: As `Run.tags`.
        metadata: As `Run.metadata`.
        retention: The retention policy of the runs; None for none of their own.
        version: How often it has been written, from 1.
        create_time: When it was first written.
        update_time: When it was last changed.
    """

    name: str
    tags: tuple[str, ...]
    metadata: dict[str, Json] = field(hash=False)
    retention: Retention | None
    version: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """A run that was created from a template or from another run; `get` returns the rest of it.

    Attributes:
        run_id: Its id.
        create_time: When it was created.
        revision: The store's revision that its creation made.
    """

    run_id: str
    create_time: datetime
    revision: int
