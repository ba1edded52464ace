"""A clock that stands still until a test moves it."""

from typing import Final

START_US: Final = 1_772_366_430_123_456
"""2026-03-01T12:00:30.123456Z: neither a whole second nor a whole minute."""

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US


class ManualClock:
    """A `runindex_server.clock.Clock` that only tests move; its wall clock may go backwards."""

    def __init__(self, now_us: int = START_US) -> None:
        """Start at a fixed time."""
        self._now_us = now_us
        self._monotonic_us = 0

    def now_us(self) -> int:
        """Return the time, in microseconds since 1970-01-01 UTC."""
        return self._now_us

    def monotonic_us(self) -> int:
        """Return how much time has passed, in microseconds."""
        return self._monotonic_us

    def set(self, now_us: int) -> None:
        """Set the wall clock to a time, earlier ones included; no time passes."""
        self._now_us = now_us

    def advance(self, us: int) -> int:
        """Let microseconds pass, and return the new time; a negative number sets the wall clock back."""
        self._now_us += us
        self._monotonic_us += max(us, 0)
        return self._now_us
