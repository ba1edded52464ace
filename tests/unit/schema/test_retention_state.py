"""What retention remembers comes back as it was written, and damage is told."""

from collections.abc import Callable
from typing import Any

import pytest

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys, records
from runindex_server.schema.retention_state import (
    ClockTick,
    Compaction,
    DefaultPolicySweep,
    begin_default_policy,
    read_clock_tick,
    read_compaction,
    read_default_policy_sweep,
    sweep_of,
    write_clock_tick,
    write_compaction,
    write_default_policy_sweep,
)
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy
from tests.support.clock import ManualClock
from tests.support.search_world import drive

LATEST = RetentionPolicy(keep_latest_n=2)
DELETE = RetentionPolicy(delete_after_us=1)


@pytest.fixture
def store() -> MemoryStore:
    """Return a store."""
    return MemoryStore(clock=ManualClock(), initialise=lambda _: None)


@pytest.mark.parametrize("tick", [ClockTick(0), ClockTick(1, 2), ClockTick(2**62, 2**62)])
def test_a_tick(store: MemoryStore, tick: ClockTick) -> None:
    assert drive(store.read(read_clock_tick)) is None
    drive(store.write(lambda txn: write_clock_tick(txn, tick)))
    assert drive(store.read(read_clock_tick)) == tick


@pytest.mark.parametrize(
    "sweep",
    [
        DefaultPolicySweep(KEEP_ALL),
        DefaultPolicySweep(LATEST, b"r" * 16),
        DefaultPolicySweep(RetentionPolicy(keep_duration_us=2**60), b"r" * 16, is_done=True),
    ],
)
def test_a_sweep(store: MemoryStore, sweep: DefaultPolicySweep) -> None:
    drive(store.write(lambda txn: write_default_policy_sweep(txn, sweep)))
    assert drive(store.read(read_default_policy_sweep)) == sweep


@pytest.mark.parametrize(
    "compaction",
    [
        Compaction(start_us=0, duration_us=0),
        Compaction(
            start_us=1, duration_us=2, runs_deleted=3, runs_trimmed=4, versions=5, events=6, bytes=2**60
        ),
    ],
)
def test_a_compaction(store: MemoryStore, compaction: Compaction) -> None:
    assert drive(store.read(read_compaction)) is None
    drive(store.write(lambda txn: write_compaction(txn, compaction)))
    assert drive(store.read(read_compaction)) == compaction


def test_a_store_without_a_default_policy_keeps_all() -> None:
    store = MemoryStore(clock=ManualClock(), initialise=lambda txn: begin_default_policy(txn, KEEP_ALL))
    assert drive(store.read(lambda txn: list(txn.scan(b"\x00", b"\xff" * 17)))) == []
    assert drive(store.read(read_default_policy_sweep)) == DefaultPolicySweep(KEEP_ALL, is_done=True)


@pytest.mark.parametrize(("policy", "is_done"), [(LATEST, False), (DELETE, True), (KEEP_ALL, True)])
def test_another_default_policy_begins_anew(
    store: MemoryStore, policy: RetentionPolicy, *, is_done: bool
) -> None:
    first = DefaultPolicySweep(RetentionPolicy(keep_duration_us=1), b"r" * 16, is_done=True)
    drive(store.write(lambda txn: write_default_policy_sweep(txn, first)))
    expected = DefaultPolicySweep(policy, is_done=is_done)

    assert drive(store.read(lambda txn: sweep_of(txn, policy))) == expected
    drive(store.write(lambda txn: begin_default_policy(txn, policy)))
    assert drive(store.read(read_default_policy_sweep)) == expected


def test_the_same_default_policy_goes_on(store: MemoryStore) -> None:
    sweep = DefaultPolicySweep(LATEST, b"r" * 16)
    drive(store.write(lambda txn: write_default_policy_sweep(txn, sweep)))
    drive(store.write(lambda txn: begin_default_policy(txn, LATEST)))
    assert drive(store.read(read_default_policy_sweep)) == sweep


@pytest.mark.parametrize("payload", [None, b"\xff\xff"])
@pytest.mark.parametrize(
    ("subspace", "read"),
    [
        (keys.CLOCK_TICK, read_clock_tick),
        (keys.DEFAULT_POLICY_SWEEP, read_default_policy_sweep),
        (keys.COMPACTION, read_compaction),
    ],
)
def test_a_damaged_row_is_corrupt(
    store: MemoryStore, subspace: keys.Subspace, read: Callable[[Any], Any], payload: bytes | None
) -> None:
    key = subspace.prefix
    value = b"damaged" if payload is None else records.seal(key, payload)
    drive(store.write(lambda txn: txn.put(key, value)))
    with pytest.raises(StoreCorrupt):
        drive(store.read(read))
