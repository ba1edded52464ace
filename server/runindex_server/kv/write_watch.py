"""Whoever watches how long a process keeps other processes from writing."""

from typing import Final, Protocol


class WriteWatch(Protocol):
    """Is told by the thread that writes; must return at once, and not raise."""

    def begin(self) -> None:
        """Take note that this process holds the store's only write transaction from now on."""
        ...

    def end(self) -> None:
        """Take note that it does not hold it any more."""
        ...


class _Unwatched:
    """A `WriteWatch` that leads nowhere."""

    def begin(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


UNWATCHED: Final[WriteWatch] = _Unwatched()
"""For a process that nobody watches."""
