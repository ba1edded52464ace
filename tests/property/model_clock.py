"""How far the wall clock is trusted, in the model.

By the contract nothing is removed when the wall clock has jumped forward by more than an hour, against the
monotonic clock or against the last time that was noted down, until as much time has passed.

Taken from the server is when it notes down the clock: at its start, at each pass that is asked for (refused
ones too) and, when ten minutes have passed since the last note, when its jobs run; that over a restart no
time is known to have passed; and that a clock that is set back takes as much from how far it is ahead.
"""

from dataclasses import dataclass
from typing import Final

HOUR_US: Final = 3_600 * 1_000_000
NOTE_INTERVAL_US: Final = 600 * 1_000_000


@dataclass
class ClockModel:
    """What is known of the clock.

    Attributes:
        noted_us: The wall clock at the last note; None before the first.
        noted_monotonic_us: The monotonic clock then; None when that was before a restart.
        distrust_us: How much time had yet to pass then.
    """

    noted_us: int | None = None
    noted_monotonic_us: int | None = None
    distrust_us: int = 0

    def ahead_us(self, wall_us: int, monotonic_us: int) -> int:
        """Return how much time has yet to pass before the wall clock is trusted; 0 when it is."""
        if self.noted_us is None:
            return 0
        passed_us = 0 if self.noted_monotonic_us is None else monotonic_us - self.noted_monotonic_us
        jump_us = wall_us - self.noted_us - passed_us
        left_us = max(0, self.distrust_us - passed_us + min(0, jump_us))
        return left_us + jump_us if jump_us > HOUR_US else left_us

    def note(self, wall_us: int, monotonic_us: int, *, trust: bool = False) -> None:
        """Note down the clock."""
        self.distrust_us = 0 if trust else self.ahead_us(wall_us, monotonic_us)
        self.noted_us, self.noted_monotonic_us = wall_us, monotonic_us

    def run_jobs(self, wall_us: int, monotonic_us: int) -> None:
        """Note down the clock if it is time."""
        known_us = self.noted_monotonic_us
        if known_us is None or monotonic_us - known_us >= NOTE_INTERVAL_US:
            self.note(wall_us, monotonic_us)

    def restart(self) -> None:
        """Forget how the monotonic clock stood."""
        self.noted_monotonic_us = None
