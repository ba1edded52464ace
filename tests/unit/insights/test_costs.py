"""What figures, histories and trees cost, in rows: as much however many runs there are beside them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from runindex_server.data.listing import PageRequest
from runindex_server.insights.history import get_run_history
from runindex_server.insights.stats import Intervals, get_run_stats
from runindex_server.insights.tree import TreeRequest, get_run_tree
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema.derive import write_run
from runindex_server.schema.durations import bucket_of, group_of
from runindex_server.schema.insight_keys import DAY_US, HOUR_US
from runindex_server.schema.run import Run, RunId, RunState, RunView
from tests.support.clock import START_US, ManualClock
from tests.support.counting_store import CountingStore
from tests.support.search_world import drive, make_run

BATCH = 50
"""Runs of one write, which has its bound."""

COUNTERS = len(RunState)
"""Of all runs, and of the children of each."""


class World:
    """Runs in a store that counts what is read."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.store = CountingStore(MemoryStore(clock=ManualClock(), initialise=lambda _: None))
        for first in range(0, len(runs), BATCH):
            batch = runs[first : first + BATCH]

            def write(txn: WriteTxn, batch: Sequence[Run] = batch) -> None:
                for run in batch:
                    write_run(txn, None, run, revision=txn.next_revision())

            drive(self.store.write(write))

    def rows(self, fn: Callable[[ReadTxn], Any]) -> int:
        """Return how many rows a read touches."""
        self.store.reset()
        drive(self.store.read(fn))
        assert self.store.rows_written == 0
        return self.store.rows_touched


def finished(number: int) -> Run:
    """Return a run that has finished: one of seven durations, in one of three hours of a day."""
    end_us = START_US - START_US % DAY_US + number % 3 * HOUR_US + 1
    return make_run(
        number,
        state=RunState.COMPLETED,
        outcome=RunState.COMPLETED,
        create_us=end_us - 10 ** (number % 7),
        end_us=end_us,
        tags=("t",),
    )


@pytest.fixture(scope="module")
def worlds() -> tuple[World, World]:
    """Return few finished runs, and ten times as many."""
    few, many = (World([finished(number) for number in range(1, count + 1)]) for count in (210, 2_100))
    return few, many


DAY = START_US // DAY_US
OUTCOME: Any = {"state": RunState.COMPLETED, "outcome": RunState.COMPLETED}
TOLD = 1 + 1 + 1
"""One outcome, seconds, and microseconds."""
OF_ALL = TOLD + 6 + 3
"""The groups of the buckets of all that have finished, and a bucket for each percentile."""
OF_INTERVAL = TOLD + 7
"""All buckets of those that finished in it."""


@pytest.mark.parametrize(
    ("tag", "intervals", "rows"),
    [
        (None, None, COUNTERS + OF_ALL),
        ("t", None, 1 + OF_ALL),
        ("absent", None, 0),
        (None, Intervals(width_us=DAY_US, first=DAY - 100, number=200), COUNTERS + OF_ALL + OF_INTERVAL),
        (None, Intervals(width_us=HOUR_US, first=DAY * 24, number=24), COUNTERS + OF_ALL + 3 * OF_INTERVAL),
        (None, Intervals(width_us=HOUR_US, first=DAY * 24 + 1, number=1), COUNTERS + OF_ALL + OF_INTERVAL),
        (None, Intervals(width_us=HOUR_US, first=DAY * 24 + 3, number=400), COUNTERS + OF_ALL),
    ],
)
def test_figures_cost_as_many_rows_as_there_are_durations(
    worlds: tuple[World, World], tag: str | None, intervals: Intervals | None, rows: int
) -> None:
    costs = {world.rows(lambda txn: get_run_stats(txn, tag, intervals)) for world in worlds}

    assert costs == {rows}


@pytest.mark.parametrize("tag", [None, "t"])
def test_figures_of_all_durations_cost_hardly_more(tag: str | None) -> None:
    """Nearly every bucket from a microsecond to two seconds is in use; few of them are read."""
    durations_us = [
        low + part * low // 64 for low in (1 << power for power in range(6, 21)) for part in range(64)
    ]
    runs = [
        make_run(number, **OUTCOME, create_us=START_US - took_us, end_us=START_US, tags=("t",))
        for number, took_us in enumerate(durations_us, start=1)
    ]
    world = World(runs)

    groups = len({group_of(bucket_of(took_us)) for took_us in durations_us})
    assert (len(durations_us), groups) == (960, 60)
    counters = COUNTERS if tag is None else 1
    assert world.rows(lambda txn: get_run_stats(txn, tag, None)) == counters + TOLD + groups + 3 * 16


@pytest.mark.parametrize(("size", "rows"), [(1, 1), (2, 2), (3, 3), (9, 5), (10, 5), (100, 5)])
def test_a_page_of_a_history_costs_the_rows_that_it_tells(size: int, rows: int) -> None:
    """The record, which tells the creation, five transitions, and one more to see whether it ends there."""
    run = make_run(1)
    world = World([run, *(make_run(number) for number in range(2, 50))])

    def go_on(txn: WriteTxn, old: Run, new: Run) -> None:
        write_run(txn, old, new, revision=txn.next_revision())

    for version in range(2, 7):
        state = RunState.ACTIVE if run.state is RunState.PAUSED else RunState.PAUSED
        new = run._replace(state=state, version=version)
        drive(world.store.write(lambda txn, old=run, new=new: go_on(txn, old, new)))
        run = new

    assert world.rows(lambda txn: get_run_history(txn, run.run_id, PageRequest(size), repr_of)) == 1 + rows


def repr_of(transition: object) -> bytes:
    """Return something for a transition."""
    return repr(transition).encode()


@pytest.fixture(scope="module")
def family() -> World:
    """Return a run with two children, each with 300, the half of them archived."""
    top, *middle = (make_run(number, parent=PARENTS.get(number)) for number in (1, 2, 3))
    below = [
        make_run(
            number,
            parent=middle[number % 2].run_id,
            state=RunState.ARCHIVED if number % 4 < 2 else RunState.ACTIVE,
            end_us=START_US + number if number % 4 < 2 else None,
        )
        for number in range(4, 604)
    ]
    return World([top, *middle, *below])


TOP = RunId(bytes.fromhex(f"{1:032x}"))
PARENTS = {2: TOP, 3: TOP}


@pytest.mark.parametrize("include_archived", [False, True])
@pytest.mark.parametrize("view", [RunView.FULL, RunView.ID_ONLY])
@pytest.mark.parametrize("max_runs", [1, 2, 3, 50, 200])
def test_a_tree_costs_as_many_rows_as_it_returns(
    family: World, max_runs: int, view: RunView, *, include_archived: bool
) -> None:
    """For each run its listing, its record unless its id is enough, and its counters; little beside them."""
    request = TreeRequest(max_depth=10, max_runs=max_runs, include_archived=include_archived, view=view)

    rows = family.rows(lambda txn: get_run_tree(txn, TOP, request))

    listing_and_record = 1 if view is RunView.ID_ONLY else 2
    assert rows >= max_runs * (listing_and_record + COUNTERS)
    # The root, whose children are counted for itself too; a row too many of each listing.
    assert rows <= (max_runs + 1) * (listing_and_record + COUNTERS) + 2 * COUNTERS + 4
