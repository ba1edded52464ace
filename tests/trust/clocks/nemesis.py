"""Clocks that no machine should have: what the wall clock does while the monotonic one goes on."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from tests.support.clock import DAY_US, HOUR_US, SECOND_US, START_US

YEAR_US: Final = 365 * DAY_US
STEP_US: Final = 50_000
"""How much time passes from one look at a clock to the next."""

SUDDEN: Final = 80
"""Looks at the clock before it jumps."""

Nemesis = Callable[[int, int, random.Random], int]
"""Returns the wall clock, of how much time has passed, how often it was looked at, and a source of chance."""


def steady(passed_us: int, _: int, __: random.Random) -> int:
    """Go right."""
    return START_US + passed_us


def one_hour_back(passed_us: int, look: int, _: random.Random) -> int:
    """Be put back, as when somebody sets the time of the year by hand."""
    return START_US + passed_us - (HOUR_US if look > SUDDEN else 0)


def ten_years_on(passed_us: int, look: int, _: random.Random) -> int:
    """Jump ahead, and stay there."""
    return START_US + passed_us + (10 * YEAR_US if look > SUDDEN else 0)


def ten_years_on_and_back(passed_us: int, look: int, _: random.Random) -> int:
    """Jump ahead, and be put right."""
    return START_US + passed_us + (10 * YEAR_US if SUDDEN < look < 2 * SUDDEN else 0)


def jump_at_each_look(_: int, __: int, chance: random.Random) -> int:
    """Tell another year each time."""
    return START_US + chance.randrange(-50 * YEAR_US, 50 * YEAR_US)


def from_1970(passed_us: int, _: int, __: random.Random) -> int:
    """Never have been set."""
    return passed_us


def through_2038(passed_us: int, _: int, __: random.Random) -> int:
    """Pass the last second that 32 bits can tell."""
    return 2**31 * SECOND_US - 5 * SECOND_US + passed_us


def leap_seconds(passed_us: int, look: int, _: random.Random) -> int:
    """Tell a second twice, again and again."""
    return START_US + passed_us - look // 10 * SECOND_US


def smeared(passed_us: int, look: int, _: random.Random) -> int:
    """Go slower, and then faster, by one in a thousand."""
    ppm = -1_000 if look % 40 < 20 else 1_000
    return START_US + passed_us + passed_us * ppm // 1_000_000


def backwards(passed_us: int, _: int, __: random.Random) -> int:
    """Go backwards, faster than time goes on."""
    return START_US - 3 * passed_us


NEMESES: Final[tuple[Nemesis, ...]] = (
    steady,
    one_hour_back,
    ten_years_on,
    ten_years_on_and_back,
    jump_at_each_look,
    from_1970,
    through_2038,
    leap_seconds,
    smeared,
    backwards,
)


def moment(us: int) -> datetime:
    """Return a time, in microseconds since 1970, as Python tells it."""
    return datetime.fromtimestamp(us / SECOND_US, UTC)


class NemesisClock:
    """A `runindex_server.clock.Clock` that goes wrong, in the same way each time."""

    def __init__(self, nemesis: Nemesis) -> None:
        """Take what the wall clock does."""
        self._nemesis = nemesis
        self._chance = random.Random(nemesis.__name__)
        self._passed_us = self.looks = 0

    def now_us(self) -> int:
        """Return the time, in microseconds since 1970-01-01 UTC."""
        self.looks += 1
        self._passed_us += STEP_US
        return self._nemesis(self._passed_us, self.looks, self._chance)

    def monotonic_us(self) -> int:
        """Return how much time has passed, in microseconds."""
        self._passed_us += STEP_US
        return self._passed_us
