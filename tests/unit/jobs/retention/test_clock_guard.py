"""The clock guard: a wall clock that jumps forward is not believed until as much time has passed."""

import asyncio

import pytest

from runindex_server.jobs.retention.clock_guard import JUMP_US, NOTE_INTERVAL_US, ClockGuard, ClockJump
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema.retention_state import ClockTick, read_clock_tick
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, START_US, ManualClock
from tests.support.search_world import drive


class World:
    """A guard over a store, and its clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock, initialise=lambda _: None)
        self.restart()

    def restart(self) -> None:
        self.guard = ClockGuard(self.store, self.clock)

    def note(self, *, trust: bool = False) -> int:
        return drive(self.guard.note(trust=trust))

    def jump(self, us: int) -> None:
        """Set the wall clock ahead, or back; no time passes."""
        self.clock.set(self.clock.now_us() + us)

    def ahead_us(self) -> int:
        """Return how far ahead the clock may be, as the guard and the store have it."""
        found = self.guard.jump()
        self.note()
        assert self.guard.jump() == found
        ahead_us = 0 if found is None else found.ahead_us
        assert drive(self.store.read(read_clock_tick)) == ClockTick(self.clock.now_us(), ahead_us)
        return ahead_us


def test_the_first_clock_is_trusted() -> None:
    world = World()
    assert world.guard.jump() is None

    assert world.note() == START_US
    assert world.ahead_us() == 0


@pytest.mark.parametrize(
    ("jump_us", "ahead_us"), [(JUMP_US, 0), (JUMP_US + 1, JUMP_US + 1), (DAY_US, DAY_US)]
)
@pytest.mark.parametrize("passed_us", [0, MINUTE_US, 30 * DAY_US])
def test_more_than_an_hour_ahead_of_the_monotonic_clock_is_a_jump(
    jump_us: int, ahead_us: int, passed_us: int
) -> None:
    world = World()
    world.note()
    world.clock.advance(passed_us)
    world.jump(jump_us)

    assert world.ahead_us() == ahead_us


def test_as_much_time_has_to_pass() -> None:
    world = World()
    world.note()
    world.jump(DAY_US)
    resume_us = world.clock.now_us() + DAY_US
    assert world.guard.jump() == ClockJump(ahead_us=DAY_US, resume_us=resume_us)

    for _ in range(23):
        world.note()
        world.clock.advance(HOUR_US)
        assert world.guard.jump() is not None
        assert world.guard.jump().resume_us == resume_us
    world.clock.advance(HOUR_US - 1)
    assert world.ahead_us() == 1
    world.clock.advance(1)
    assert world.ahead_us() == 0


def test_a_restart_goes_on_with_it_and_counts_nothing_for_the_time_in_between() -> None:
    world = World()
    world.note()
    world.jump(DAY_US)
    world.note()
    world.clock.advance(HOUR_US)
    world.note()
    world.restart()
    world.clock.advance(10 * MINUTE_US)
    world.note()

    assert world.ahead_us() == DAY_US - HOUR_US


@pytest.mark.parametrize(("gap_us", "ahead_us"), [(JUMP_US, 0), (JUMP_US + 1, JUMP_US + 1)])
def test_after_a_start_the_last_note_is_what_the_clock_is_held_against(gap_us: int, ahead_us: int) -> None:
    world = World()
    world.note()
    world.restart()
    world.clock.advance(gap_us)
    world.note()

    assert world.ahead_us() == ahead_us


def test_it_can_be_trusted_by_order() -> None:
    world = World()
    world.note()
    world.jump(DAY_US)
    world.note()

    assert world.note(trust=True) == START_US + DAY_US
    assert world.ahead_us() == 0
    world.restart()
    world.note()
    assert world.ahead_us() == 0


def test_a_clock_that_is_set_back_is_harmless() -> None:
    world = World()
    world.note()
    world.jump(-DAY_US)
    assert world.ahead_us() == 0
    world.jump(DAY_US)
    assert world.ahead_us() == DAY_US, "ahead of the last note"


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize(("back_us", "ahead_us"), [(DAY_US, 0), (2 * DAY_US, 0), (HOUR_US, 23 * HOUR_US)])
def test_a_clock_that_is_put_right_is_trusted(back_us: int, ahead_us: int, *, is_restarted: bool) -> None:
    world = World()
    world.note()
    world.jump(DAY_US)
    world.note()
    if is_restarted:
        world.restart()
    world.jump(-back_us)
    world.note()

    assert world.ahead_us() == ahead_us


def test_jumps_add_up() -> None:
    world = World()
    world.note()
    world.jump(2 * HOUR_US)
    world.note()
    world.clock.advance(HOUR_US)
    world.jump(3 * HOUR_US)

    assert world.ahead_us() == 4 * HOUR_US


def test_a_note_is_due_every_ten_minutes() -> None:
    world = World()
    world.note()
    world.clock.advance(NOTE_INTERVAL_US - 1)
    assert not world.guard.is_due
    world.clock.advance(1)
    assert world.guard.is_due


def test_notes_at_once_do_not_undo_an_order() -> None:
    world = World()
    world.note()
    world.jump(DAY_US)

    async def notes() -> None:
        await asyncio.gather(world.guard.note(), world.guard.note(trust=True), world.guard.note())

    asyncio.run(notes())
    assert world.ahead_us() == 0
