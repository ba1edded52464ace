"""How often callers may call: a token bucket for each."""

from collections import OrderedDict
from typing import Final

from runindex_server.clock import Clock
from runindex_server.errors import RateLimited

CALLERS_REMEMBERED: Final = 10_000
"""Callers whose calls are counted. Those who called longest ago are forgotten first, and begin anew."""

_SECOND_US: Final = 1_000_000


class Rates:
    """Bounds how often each caller calls. Belongs to one event loop."""

    def __init__(self, calls_per_s: float, clock: Clock) -> None:
        """Take the bound.

        Args:
            calls_per_s: How many calls a caller may make in a second, and at once after a pause; at least 1.
            clock: Its monotonic time is used.
        """
        self._interval_us = _SECOND_US / calls_per_s
        self._clock = clock
        # When all calls that a caller has made would be over, were they spread evenly.
        self._spread_until_us: OrderedDict[str, float] = OrderedDict()

    def check(self, caller: str) -> None:
        """Count a call.

        Raises:
            RateLimited: The caller has used up their calls; this one does not count.
        """
        now_us = self._clock.monotonic_us()
        ahead_us = max(0, self._spread_until_us.get(caller, 0) - now_us) + self._interval_us
        if ahead_us > _SECOND_US:
            raise RateLimited(retry_after_ms=int((ahead_us - _SECOND_US) / 1_000) + 1)
        self._spread_until_us[caller] = now_us + ahead_us
        self._spread_until_us.move_to_end(caller)
        if len(self._spread_until_us) > CALLERS_REMEMBERED:
            self._spread_until_us.popitem(last=False)
