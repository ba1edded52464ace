"""When a call is made again: after UNAVAILABLE only, a bounded number of times, and within its deadline."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runindex._errors import RunIndexError, Unavailable

RETRIES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How calls are made again. Only UNAVAILABLE says that a call may be.

    The pause before a retry doubles from the first, and is drawn between its half and its whole, so that
    callers who failed together do not come back together. A server that says when is never asked before.

    Attributes:
        retries: How often a call is made again at most.
        pause_s: The first pause at its longest, in seconds.
        pause_max_s: The longest pause, in seconds; not counting what a server asks for.
        monotonic: The clock, in seconds.
        random: Returns numbers from 0 to below 1.
    """

    retries: int = RETRIES
    pause_s: float = 0.1
    pause_max_s: float = 2.0
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random


class Attempts:
    """The attempts of one call."""

    def __init__(self, policy: RetryPolicy, timeout_s: float) -> None:
        """Begin: from now on the time runs.

        Args:
            policy: How to go about it.
            timeout_s: How long all attempts and pauses may take together, in seconds.
        """
        self._policy = policy
        self._end_s = policy.monotonic() + timeout_s
        self._retries = 0

    def remaining_s(self) -> float:
        """Return how long the next attempt may take."""
        return max(self._end_s - self._policy.monotonic(), 0)

    def pause_after(self, refusal: RunIndexError) -> float | None:
        """Return for how long to wait before the next attempt, in seconds; None when there is none."""
        if not isinstance(refusal, Unavailable) or self._retries >= self._policy.retries:
            return None
        longest_s = min(self._policy.pause_s * 2**self._retries, self._policy.pause_max_s)
        pause_s = longest_s * (0.5 + self._policy.random() / 2)
        if refusal.retry_after is not None:
            pause_s = max(pause_s, refusal.retry_after.total_seconds())
        self._retries += 1
        return pause_s if pause_s < self.remaining_s() else None
