"""Wall-clock time, as something that can be injected. The only module that asks the system for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Return the wall-clock time, in microseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Return the machine's wall-clock time, in microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000
