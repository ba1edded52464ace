"""The watchdog: finds workers that keep all others from writing."""

from collections.abc import Callable
from typing import Final

from runindex_server.clock import Clock

HOLD_US_MAX: Final = 10_000_000
"""How long a worker may hold the write lock. A group of writes takes milliseconds, and a sync that takes
seconds is a disk's worst; meanwhile all writers wait, whatever worker they have. Who is killed too early
loses only what was not acknowledged."""

LOOK_INTERVAL_US: Final = 1_000_000
"""From one look to the next."""


class Watchdog:
    """Looks again and again at who holds the write lock.

    It counts only time that it has seen pass: when the whole machine stood still, nobody is to blame.
    """

    def __init__(self, holding_since_us: Callable[[int], int], *, workers: int, clock: Clock) -> None:
        """Begin without suspicion.

        Args:
            holding_since_us: Tells of a worker's number since when it holds the lock; 0 when it does not.
            workers: How many there are.
            clock: The monotonic clock.
        """
        self._holding_since_us = holding_since_us
        self._clock = clock
        self._looked_us = clock.monotonic_us()
        self._seen_us = [0] * workers
        self._held_us = [0] * workers

    def look(self) -> list[int]:
        """Return the workers that have held the lock for too long since they were last returned."""
        now_us = self._clock.monotonic_us()
        passed_us = min(now_us - self._looked_us, 2 * LOOK_INTERVAL_US)
        self._looked_us = now_us
        return [worker for worker in range(len(self._seen_us)) if self._is_stuck(worker, passed_us)]

    def _is_stuck(self, worker: int, passed_us: int) -> bool:
        """Add what has passed to how long a worker has held the lock, and tell whether that is too long."""
        since_us = self._holding_since_us(worker)
        is_the_same = since_us != 0 and since_us == self._seen_us[worker]
        self._seen_us[worker] = since_us
        self._held_us[worker] = self._held_us[worker] + passed_us if is_the_same else 0
        if self._held_us[worker] < HOLD_US_MAX:
            return False
        self._held_us[worker] = 0
        return True
