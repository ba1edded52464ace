"""Retention in several processes of one server: what one of them does, the others know."""

import pytest

from runindex_server.errors import ClockJumped
from runindex_server.jobs.retention.board import BOARD_BYTES, Board
from runindex_server.jobs.retention.clock_guard import ClockGuard, ClockJump
from runindex_server.jobs.retention.enforcement import Pieces, Retention
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.retention_state import ClockTick, read_clock_tick
from runindex_server.schema.run import KEEP_ALL
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, ManualClock
from tests.support.retention_world import INTERVAL_S, HookedStore
from tests.support.search_world import drive

INTERVAL_US = INTERVAL_S * SECOND_US


class World:
    """Two processes over one store. The first runs the jobs, the second only answers calls."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        # A machine that has been up for a while.
        self.clock.advance(DAY_US)
        self.store = MemoryStore(clock=self.clock, initialise=initialise)
        self._memory = memoryview(bytearray(BOARD_BYTES))
        self.jobs, self.other = self.process(), self.process()

    def process(self) -> Retention:
        retention = Retention(
            self.store,
            clock=self.clock,
            default_policy=KEEP_ALL,
            interval_s=INTERVAL_S,
            board=Board(self._memory),
        )
        drive(retention.prepare())
        return retention

    def next_times(self) -> set[int | None]:
        return {self.jobs.next_time_us, self.other.next_time_us}

    def jumps(self) -> set[ClockJump | None]:
        return {self.jobs.clock_jump(), self.other.clock_jump()}


def take(pieces: Pieces) -> None:
    async def to_the_end() -> None:
        async for _ in pieces:
            pass

    drive(to_the_end())


def test_a_new_board_tells_nothing() -> None:
    board = Board()

    assert (board.note(), board.next_us()) == (None, None)


def test_all_tell_when_the_next_pass_is() -> None:
    world = World()
    assert world.next_times() == {world.clock.now_us() + INTERVAL_US}
    world.clock.advance(INTERVAL_US)
    assert world.next_times() == {world.clock.now_us()}
    assert drive(world.jobs.run_due())
    assert world.next_times() == {world.clock.now_us() + INTERVAL_US}


def test_a_pass_that_another_process_takes_counts() -> None:
    world = World()
    world.clock.advance(INTERVAL_US - 1)
    take(world.other.compact())

    assert world.next_times() == {world.clock.now_us() + INTERVAL_US}
    world.clock.advance(INTERVAL_US - 1)
    assert not drive(world.jobs.run_due())
    world.clock.advance(1)
    assert drive(world.jobs.run_due())


def test_who_takes_the_jobs_over_goes_on_where_they_were() -> None:
    world = World()
    world.clock.advance(INTERVAL_US // 2)
    due_us = world.clock.now_us() + INTERVAL_US // 2
    # Nobody noted the clock since; the wall clock is set back meanwhile.
    world.clock.set(world.clock.now_us() - DAY_US)
    world.jobs = world.process()

    assert world.next_times() == {due_us - DAY_US}
    world.clock.advance(INTERVAL_US // 2)
    assert drive(world.jobs.run_due())


def test_all_know_that_the_clock_jumped_and_when_it_is_trusted() -> None:
    world = World()
    assert world.jumps() == {None}
    world.clock.set(world.clock.now_us() + DAY_US)

    expected = ClockJump(ahead_us=DAY_US, resume_us=world.clock.now_us() + DAY_US)
    assert world.jumps() == {expected}
    with pytest.raises(ClockJumped):
        take(world.other.compact())
    world.clock.advance(HOUR_US)
    assert world.jumps() == {ClockJump(ahead_us=DAY_US - HOUR_US, resume_us=expected.resume_us)}
    # Who comes later, too, though the time in between was noted by nobody.
    world.jobs = world.process()
    assert world.jumps() == {ClockJump(ahead_us=DAY_US - HOUR_US, resume_us=expected.resume_us)}


def test_a_clock_that_one_process_was_told_to_trust_is_trusted_by_all() -> None:
    world = World()
    world.clock.set(world.clock.now_us() + DAY_US)
    assert not drive(world.jobs.run_due())
    take(world.other.compact(trust_clock=True))

    assert world.jumps() == {None}
    world.clock.advance(INTERVAL_US)
    assert drive(world.jobs.run_due())


def test_a_note_that_comes_between_is_not_undone() -> None:
    clock, board = ManualClock(), Board()
    store = MemoryStore(clock=clock, initialise=lambda _: None)
    other = ClockGuard(store, clock, board)
    drive(other.note())
    clock.set(clock.now_us() + DAY_US)
    between = [lambda: drive(other.note(trust=True))]

    def trust_once() -> None:
        while between:
            between.pop()()

    guard = ClockGuard(HookedStore(store, trust_once), clock, board)
    drive(guard.note())

    assert guard.jump() is None
    assert drive(store.read(read_clock_tick)) == ClockTick(clock.now_us())


def test_what_the_board_does_not_tell_is_in_the_store() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock, initialise=lambda _: None)
    drive(ClockGuard(store, clock, Board()).note())
    # All processes have ended, and a new server begins.
    clock.advance(MINUTE_US)
    clock.set(clock.now_us() + DAY_US)
    guard = ClockGuard(store, clock, Board())
    drive(guard.note())

    # How much time passed meanwhile nobody knows.
    assert guard.jump() == ClockJump(DAY_US + MINUTE_US, clock.now_us() + DAY_US + MINUTE_US)
