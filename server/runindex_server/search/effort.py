"""How much work one search may do where it runs: on the event loop little, in a thread of its own enough."""

from typing import Final

POSTING: Final = 1
"""To look for a posting, or to fetch a run that matches: some 10 microseconds."""

CHANGE: Final = 2
"""To read a pending change of a run."""

CANDIDATE: Final = 10
"""To check a run by its record, and once more for each `index.RECORD_UNIT_BYTES` of it."""

BRIEF: Final = 300
"""What a search may do on the event loop: a few milliseconds of work."""


class TooMuchWork(Exception):
    """A search would do more work than it may. What it has found so far is not to be used."""


class Effort:
    """Work that a search has left to do.

    Attributes:
        is_unbounded: Whether it may do any.
    """

    __slots__ = ("_left", "is_unbounded")

    def __init__(self, work_max: int | None = None) -> None:
        """Take how much it may do; None when nothing but the search's own bounds ends it."""
        self.is_unbounded = work_max is None
        self._left = 1 << 62 if work_max is None else work_max

    def spend(self, work: int) -> None:
        """Do some of it.

        Raises:
            TooMuchWork: There is not so much left.
        """
        self._left -= work
        if self._left < 0:
            raise TooMuchWork

    def expect(self, work: int) -> None:
        """Make sure that it may do so much.

        Raises:
            TooMuchWork: There is not so much left.
        """
        if self._left < work:
            raise TooMuchWork
