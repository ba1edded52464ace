"""What a store tells of itself: its runs, what waits in the background, its last compaction."""

from collections.abc import Mapping
from dataclasses import dataclass

from runindex_server import limits
from runindex_server.jobs.retention.expire import expiry_listings
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.retention_state import Compaction, read_compaction
from runindex_server.schema.run import RetentionPolicy, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """What a store tells of itself. What waits is counted up to `limits.BACKLOG_COUNTED_MAX`.

    Attributes:
        runs: How many runs there are in each state, in the order of the states, zeros included.
        erasing_runs: Deleted runs whose data is still being erased.
        unmerged_changes: Changes of the search index that wait to be merged.
        due_runs: Runs at which the next compaction has to look.
        last_compaction: The last one that removed what was due; None before the first.
        revision: The revision that was seen.
    """

    runs: Mapping[RunState, int]
    erasing_runs: int
    unmerged_changes: int
    due_runs: int
    last_compaction: Compaction | None
    revision: int


def read_status(txn: ReadTxn, *, default_policy: RetentionPolicy, now_us: int) -> StoreStatus:
    """Return what a store tells of itself. Read-only.

    Args:
        txn: A transaction.
        default_policy: The store-wide one.
        now_us: The time by which runs are due, in microseconds since 1970.

    Raises:
        StoreCorrupt: The row of the last compaction is damaged.
    """
    return StoreStatus(
        runs={state: txn.get_counter(keys.state_count(state)) for state in RunState},
        erasing_runs=_count(txn, keys.TOMBSTONE.range),
        unmerged_changes=min(txn.get_counter(keys.PENDING_TERMS_COUNT), limits.BACKLOG_COUNTED_MAX),
        due_runs=_count(txn, *_due_ranges(default_policy, now_us)),
        last_compaction=read_compaction(txn),
        revision=txn.revision,
    )


def _due_ranges(default_policy: RetentionPolicy, now_us: int) -> list[KeyRange]:
    """Return the rows of runs that are due at a time: by expiry, by data, and by the default policy."""
    # A machine that has not yet learnt the time can stand before 1970.
    now_us = max(0, now_us)
    return [*expiry_listings(default_policy, now_us=now_us), keys.due_through_range(now_us)]


def _count(txn: ReadTxn, *ranges: KeyRange) -> int:
    """Return how many rows some ranges have, up to the bound."""
    count = 0
    for start, end in ranges:
        count += sum(1 for _ in txn.scan(start, end, limit=limits.BACKLOG_COUNTED_MAX - count))
    return count
