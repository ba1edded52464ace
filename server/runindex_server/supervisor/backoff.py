"""How long to wait before what has ended is started again."""

from typing import Final

FIRST_S: Final = 0.1
"""After a first end: a worker that was killed is back before most clients have tried again."""

LONGEST_S: Final = 5.0
"""At most: what fails at every start costs little, and what was mended is back soon."""

LONG_LIFE_US: Final = 5_000_000
"""Of life, after which an end is a first one again: it was no fault of the start, and callers wait."""


class Backoff:
    """The pauses before the starts of one worker: each twice the one before, up to a bound."""

    def __init__(self) -> None:
        """Begin with the shortest."""
        self._next_s = FIRST_S

    def pause_s(self, *, life_us: int) -> float:
        """Return the pause after an end, in seconds.

        Args:
            life_us: How long it had been going.
        """
        if life_us >= LONG_LIFE_US:
            self._next_s = FIRST_S
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, LONGEST_S)
        return pause_s
