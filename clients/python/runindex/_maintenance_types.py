"""What calls about the store itself return."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from runindex._types import Counts, Retention


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Which store it is.

    Attributes:
        store_id: Its id: 32 hex digits, the same in every copy.
        epoch: Which history of that store: 16 hex digits, renewed when a backup is restored.
        storage_version: The version of its keys and records.
        create_time: When it was created.
        server_version: The version of the server that answers.
    """

    store_id: str
    epoch: str
    storage_version: int
    create_time: datetime
    server_version: str


@dataclass(frozen=True, slots=True)
class StoreSizes:
    """How large a store is.

    Attributes:
        used_bytes: Pages that hold something.
        free_bytes: Pages of the file that are free, and are used again before it grows.
        disk_bytes: The file.
        map_bytes: What the file can grow to.
    """

    used_bytes: int
    free_bytes: int
    disk_bytes: int
    map_bytes: int


@dataclass(frozen=True, slots=True)
class StoreReaders:
    """Who reads a store.

    Attributes:
        count: Snapshots that are open at this moment.
        oldest_lag_commits: How many commits the oldest of them is behind.
    """

    count: int
    oldest_lag_commits: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be done in the background; each number is counted up to 10,000.

    Attributes:
        erasing_runs: Deleted runs whose data is still being erased from the disk.
        unmerged_changes: Changes of the search index that are not merged yet.
        due_runs: Runs at which the next compaction has to look.
    """

    erasing_runs: int
    unmerged_changes: int
    due_runs: int


@dataclass(frozen=True, slots=True)
class ClockJump:
    """A jump of the wall clock, because of which nothing is removed.

    Attributes:
        ahead: How far ahead it may be.
        resume_time: When removing goes on by itself, by the wall clock.
    """

    ahead: timedelta
    resume_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSummary:
    """What a compaction came to.

    Attributes:
        start_time: When it began.
        duration: How long it took.
        dry_run: Whether nothing was removed, and the numbers tell what would be.
        runs_deleted: Runs that were deleted.
        runs_trimmed: Runs of which something was removed.
        versions: Superseded versions that were removed without their run.
        events: Events that were removed without their run.
        data_bytes: The bytes of the values of all that.
    """

    start_time: datetime
    duration: timedelta
    dry_run: bool
    runs_deleted: int
    runs_trimmed: int
    versions: int
    events: int
    data_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactedRun:
    """What compaction removes of a run, and why.

    Attributes:
        run_id: The run.
        policy: The policy that says so.
        is_default_policy: Whether it is the store-wide default, and not the run's own.
        run_deleted: Whether the run itself goes, with all that it holds.
        versions: Superseded versions that go without the run.
        events: Events that go without the run.
        data_bytes: The bytes of the values that go.
        end_time: When the run ended, when it goes itself; else None.
    """

    run_id: str
    policy: Retention
    is_default_policy: bool
    run_deleted: bool
    versions: int
    events: int
    data_bytes: int
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class RetentionStatus:
    """How retention stands.

    Attributes:
        default_policy: The policy for runs without one of their own; None when everything of them is kept.
        last: The last compaction that was not a dry run; None before the first.
        next_time: When the next one is due; None when none is scheduled.
        clock_jump: Why nothing is removed at present; None when the wall clock is trusted.
    """

    default_policy: Retention | None
    last: CompactionSummary | None
    next_time: datetime | None
    clock_jump: ClockJump | None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store is like.

    Attributes:
        store: Which store it is.
        sizes: How large it is.
        readers: Who reads it.
        runs: The runs in each state, archived ones too, zeros included.
        backlog: What waits to be done in the background.
        retention: How retention stands.
        revision: The store's revision that was seen.
    """

    store: StoreIdentity
    sizes: StoreSizes
    readers: StoreReaders
    runs: Counts = field(hash=False)
    backlog: Backlog
    retention: RetentionStatus
    revision: int


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a verification is: the phase, and the rows that were checked in it."""

    phase: str
    rows: int


@dataclass(frozen=True, slots=True)
class Drift:
    """Something in a store that does not follow from its records.

    Attributes:
        subspace: The kind of rows it is in.
        key: The key: hex digits.
        problem: What is wrong: a sentence for people.
    """

    subspace: str
    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """What a verification came to.

    Attributes:
        runs: Runs that were checked.
        rows: Rows that were checked, of all kinds.
        drifts: Drifts that were found, those that were not told included; 0 for a sound store.
        duration: How long it took.
    """

    runs: int
    rows: int
    drifts: int
    duration: timedelta


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """How far a backup is, in bytes."""

    received_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A whole backup.

    Attributes:
        file: Where it is.
        store: What it is of.
        create_time: When the snapshot was taken.
        total_bytes: How large the snapshot is.
        revision: The revision of the snapshot.
    """

    file: Path
    store: StoreIdentity
    create_time: datetime
    total_bytes: int
    revision: int
