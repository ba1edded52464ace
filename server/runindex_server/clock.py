"""Time, as something that can be injected. The only module that asks the system for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Return the wall-clock time, in microseconds since 1970-01-01 UTC."""
        ...

    def monotonic_us(self) -> int:
        """Return the time since some moment, in microseconds; it never goes back, and nobody sets it."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Return the machine's wall-clock time, in microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000

    def monotonic_us(self) -> int:
        """Return the machine's monotonic time, in microseconds; time in which it was suspended counts."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
