"""The watchdog: finds who holds the write lock for too long, and nobody else."""

from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.watchdog import HOLD_US_MAX, LOOK_INTERVAL_US, Watchdog
from tests.support.clock import HOUR_US, ManualClock

LOOKS = HOLD_US_MAX // LOOK_INTERVAL_US


class World:
    """Two workers that note what they hold, and who watches them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.clock.advance(HOUR_US)
        self.memory = WorkerMemory.create()
        self.slots = [self.memory.slot(worker, self.clock) for worker in range(2)]
        self.watchdog = Watchdog(self.memory.holding_since_us, workers=2, clock=self.clock)

    def look(self, times: int = 1) -> list[list[int]]:
        """Look so many times, and return what each look found."""
        found = []
        for _ in range(times):
            self.clock.advance(LOOK_INTERVAL_US)
            found.append(self.watchdog.look())
        return found


def test_who_holds_nothing_is_left_alone() -> None:
    world = World()

    assert world.look(3 * LOOKS) == [[]] * (3 * LOOKS)


def test_who_holds_the_lock_too_long_is_found() -> None:
    world = World()
    world.slots[1].begin()

    # The first look only sees that it is held.
    assert world.look(LOOKS) == [[]] * LOOKS
    assert world.look() == [[1]]


def test_who_is_found_is_not_found_again_at_once() -> None:
    world = World()
    world.slots[1].begin()
    world.look(LOOKS + 1)

    assert world.look(LOOKS) == [[]] * (LOOKS - 1) + [[1]]


def test_who_gives_the_lock_back_in_between_is_left_alone() -> None:
    world = World()
    for _ in range(3):
        world.slots[0].begin()
        assert world.look(LOOKS) == [[]] * LOOKS
        world.slots[0].end()
        assert world.look() == [[]]


def test_who_takes_the_lock_again_and_again_is_left_alone() -> None:
    world = World()
    for _ in range(3 * LOOKS):
        world.slots[0].begin()
        assert world.look() == [[]]
        world.slots[0].end()


def test_what_a_worker_held_is_forgotten_with_it() -> None:
    world = World()
    world.slots[0].begin()
    world.look(LOOKS)
    world.memory.clear(0)

    assert world.look(2 * LOOKS) == [[]] * (2 * LOOKS)


def test_time_in_which_nobody_looked_does_not_count() -> None:
    world = World()
    world.slots[0].begin()
    world.look()
    # The machine was suspended, or the supervisor stopped together with the workers.
    world.clock.advance(HOUR_US)

    assert world.look(LOOKS - 2) == [[]] * (LOOKS - 2)
    assert world.look() == [[0]]
