"""What waits in the background is counted up to a bound, so that status is cheap."""

import asyncio

import pytest

from runindex_server import limits
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.maintenance.status import StoreStatus, read_status
from runindex_server.schema import keys
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, RunId
from tests.support.clock import DAY_US, START_US, ManualClock
from tests.support.counting_store import CountingStore

BOUND = 5
A_DAY = RetentionPolicy(delete_after_us=DAY_US)


def read(counts: dict[str, int], *, default_policy: RetentionPolicy = KEEP_ALL) -> tuple[StoreStatus, int]:
    """Return the status of a store with so many rows of some kinds, and how many rows that touched."""

    def write(txn: WriteTxn) -> None:
        for number in range(counts.get("tombstones", 0)):
            txn.put(keys.tombstone(RunId(bytes(16)), number), b"")
        for number in range(counts.get("expiring", 0)):
            txn.put(keys.expiring(START_US - number, number), b"")
        for number in range(counts.get("due", 0)):
            txn.put(keys.due(START_US - number, RunId(bytes(16)), number), b"")
        for number in range(counts.get("ended", 0)):
            txn.put(keys.ended(START_US - DAY_US - number, number), b"")
        for number in range(counts.get("later", 0)):
            txn.put(keys.expiring(START_US + 1 + number, number), b"")
            txn.put(keys.due(START_US + 1 + number, RunId(bytes(16)), number), b"")
            txn.put(keys.ended(START_US - DAY_US + 1 + number, number), b"")
        txn.add(keys.PENDING_TERMS_COUNT, counts.get("changes", 0))

    async def write_and_read() -> tuple[StoreStatus, int]:
        store = CountingStore(MemoryStore(clock=ManualClock(), initialise=write))
        status = await store.read(
            lambda txn: read_status(txn, default_policy=default_policy, now_us=START_US)
        )
        return status, store.rows_touched

    return asyncio.run(write_and_read())


@pytest.fixture(autouse=True)
def low_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKLOG_COUNTED_MAX", BOUND)


@pytest.mark.parametrize(
    ("counts", "erasing", "unmerged", "due"),
    [
        ({}, 0, 0, 0),
        ({"later": 3}, 0, 0, 0),
        ({"tombstones": BOUND - 1, "changes": BOUND - 1}, BOUND - 1, BOUND - 1, 0),
        ({"tombstones": BOUND, "changes": BOUND}, BOUND, BOUND, 0),
        ({"tombstones": BOUND + 1, "changes": BOUND + 1}, BOUND, BOUND, 0),
        ({"expiring": 1, "due": 2, "later": 1}, 0, 0, 3),
        ({"expiring": 3, "due": 3}, 0, 0, BOUND),
        ({"expiring": BOUND, "due": 3}, 0, 0, BOUND),
        # Runs without a policy are kept by the default one.
        ({"ended": 3, "due": 1}, 0, 0, 1),
    ],
)
def test_what_waits_is_counted_up_to_the_bound(
    counts: dict[str, int], erasing: int, unmerged: int, due: int
) -> None:
    status, rows_touched = read(counts)

    assert (status.erasing_runs, status.unmerged_changes, status.due_runs) == (erasing, unmerged, due)
    assert rows_touched <= 3 * BOUND


def test_a_default_policy_makes_ended_runs_due() -> None:
    status, _ = read({"ended": 3, "due": 1, "later": 1}, default_policy=A_DAY)

    assert status.due_runs == 4


def test_a_machine_that_does_not_know_the_time_has_nothing_due() -> None:
    async def read_early() -> StoreStatus:
        store = MemoryStore(clock=ManualClock(), initialise=lambda _: None)
        return await store.read(lambda txn: read_status(txn, default_policy=A_DAY, now_us=-1))

    assert asyncio.run(read_early()).due_runs == 0
