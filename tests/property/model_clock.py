"""How far the wall clock is trusted, in the model, and when a pass of retention is scheduled.

By the contract nothing is removed when the wall clock has jumped forward by more than an hour, against the
monotonic clock or against the last time that was noted down, until as much time has passed.

Taken from the server is when it notes the clock down: at its start, at each pass asked for, refused or not,
and ten minutes after the last note, when its jobs run; that over a restart no time is known to have passed;
and that a clock that is set back takes as much from how far it is ahead. Also that passes are scheduled by
the monotonic clock: an interval after the last one asked for, after a start counted by the wall clock.
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


@dataclass
class Schedule:
    """When the next pass is scheduled.

    Attributes:
        interval_us: From one to the next; 0 for none.
        next_us: By the monotonic clock.
    """

    interval_us: int = 0
    next_us: int = 0

    def start(self, wall_us: int, monotonic_us: int, *, last_us: int | None) -> None:
        """Begin after a start of the server; the last pass began at a time, or there was none."""
        passed_us = 0 if last_us is None else max(0, wall_us - last_us)
        self.next_us = monotonic_us + max(0, self.interval_us - passed_us)

    def go_on(self, monotonic_us: int) -> None:
        """Schedule the pass after one that was asked for."""
        self.next_us = monotonic_us + self.interval_us

    def is_due(self, monotonic_us: int) -> bool:
        """Tell whether it is time."""
        return bool(self.interval_us) and monotonic_us >= self.next_us

    def next_time_us(self, wall_us: int, monotonic_us: int) -> int | None:
        """Return when that is, by the wall clock; None for never."""
        return wall_us + max(0, self.next_us - monotonic_us) if self.interval_us else None
