"""When retention looks at a run: never later than something of it is due, and by one row alone."""

from collections.abc import Callable
from typing import Any

import pytest

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import due, keys, records
from runindex_server.schema.due import AT_ONCE, Due
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, Run
from tests.support.clock import ManualClock
from tests.support.search_world import drive, make_run

LATEST = RetentionPolicy(keep_latest_n=2)
DURATION = RetentionPolicy(keep_duration_us=10)
DELETE = RetentionPolicy(delete_after_us=10)
RUN = make_run(1, generation=7)


class World:
    """A store with nothing but due rows."""

    def __init__(self) -> None:
        self.store = MemoryStore(clock=ManualClock(), initialise=lambda _: None)

    def write(self, fn: Callable[[WriteTxn], Any]) -> None:
        drive(self.store.write(fn))

    def known(self, run: Run = RUN) -> Due | None:
        """Return when a run is looked at, by both of its rows."""
        found = drive(self.store.read(lambda txn: due.read_due(txn, run.run_id, run.generation)))
        by_time = drive(self.store.read(lambda txn: [key for key, _ in txn.scan(*keys.DUE.range)]))
        rows = [] if found is None else [keys.due(found.due_us, run.run_id, run.generation)]
        assert by_time == rows
        return found


@pytest.fixture
def world() -> World:
    """Return a store."""
    return World()


def test_the_earliest_time_counts_and_the_latest_revision(world: World) -> None:
    assert world.known() is None
    for due_us, revision, expected in ((50, 1, 50), (70, 2, 50), (50, 3, 50), (30, 4, 30)):
        world.write(lambda txn, at=due_us, by=revision: due.schedule(txn, RUN, due_us=at, revision=by))
        assert world.known() == Due(expected, revision)


def test_it_can_be_moved_and_dropped(world: World) -> None:
    world.write(lambda txn: due.schedule(txn, RUN, due_us=50, revision=1))
    world.write(lambda txn: due.set_due(txn, RUN, Due(90, 2), known=Due(50, 1)))
    assert world.known() == Due(90, 2)
    world.write(lambda txn: due.set_due(txn, RUN, Due(90, 3), known=Due(90, 2)))
    assert world.known() == Due(90, 3)
    world.write(lambda txn: due.drop_due(txn, RUN))
    assert world.known() is None
    world.write(lambda txn: due.drop_due(txn, RUN))
    assert world.known() is None


@pytest.mark.parametrize(
    ("policy", "depth", "expected"),
    [
        (KEEP_ALL, 9, None),
        (DELETE, 9, None),
        (DURATION, 0, Due(110, 3)),
        (DURATION, 9, Due(110, 3)),
        (LATEST, 1, None),
        (LATEST, 2, Due(AT_ONCE, 3)),
        (LATEST, 3, Due(AT_ONCE, 3)),
    ],
)
def test_what_is_superseded(world: World, policy: RetentionPolicy, depth: int, expected: Due | None) -> None:
    world.write(lambda txn: due.superseded(txn, RUN, policy, at_us=100, depth=depth, revision=3))
    assert world.known() == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(KEEP_ALL, None), (DELETE, None), (DURATION, Due(AT_ONCE, 3)), (LATEST, Due(AT_ONCE, 3))],
)
def test_a_policy_that_has_changed(world: World, policy: RetentionPolicy, expected: Due | None) -> None:
    run = make_run(1, generation=7, retention=policy)
    world.write(lambda txn: due.schedule(txn, RUN, due_us=50, revision=1))
    world.write(lambda txn: due.policy_changed(txn, run, revision=3))
    assert world.known() == expected


def test_lives_of_a_run_do_not_meet(world: World) -> None:
    other = make_run(1, generation=8)
    world.write(lambda txn: due.schedule(txn, RUN, due_us=50, revision=1))
    world.write(lambda txn: due.drop_due(txn, other))
    assert world.known() == Due(50, 1)


@pytest.mark.parametrize(("due_us", "expected"), [(50, None), (40, Due(50, 1))])
def test_a_stray_row_goes_alone(world: World, due_us: int, expected: Due | None) -> None:
    world.write(lambda txn: due.schedule(txn, RUN, due_us=50, revision=1))
    world.write(lambda txn: txn.put(keys.due(due_us, RUN.run_id, RUN.generation), b""))
    world.write(lambda txn: due.drop_stray(txn, RUN.run_id, RUN.generation, due_us=due_us))
    assert world.known() == expected


@pytest.mark.parametrize("damage", [b"damaged", None])
def test_a_damaged_row_is_corrupt(world: World, damage: bytes | None) -> None:
    key = keys.due_of(RUN.run_id, RUN.generation)
    world.write(lambda txn: txn.put(key, damage or records.seal(key, b"short")))
    with pytest.raises(StoreCorrupt):
        world.known()


def test_a_run_without_a_policy_of_its_own_has_the_default() -> None:
    assert due.policy_of(make_run(1), LATEST) == LATEST
    assert due.policy_of(make_run(1, retention=KEEP_ALL), LATEST) == KEEP_ALL
