"""How commits go: counted as they happen, on the thread that commits, and read from any other."""

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The buckets of durations: from a write that a fast disk syncs at once to one that the watchdog ends."""

WRITES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""The buckets of writes in a commit; 64 is a full group."""


@dataclass(slots=True)
class Distribution:
    """Numbers, counted by buckets.

    Attributes:
        bounds: The upper bounds of the buckets, in order; another bucket has none.
        counts: How many numbers lie in each.
        total: All of them added up.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        """Begin without a number."""
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, number: float) -> None:
        """Count a number."""
        self.counts[bisect_left(self.bounds, number)] += 1
        self.total += number


@dataclass(slots=True)
class CommitFigures:
    """How commits went, since the store was opened by this process.

    Attributes:
        seconds: How long they took, from their turn to the disk having it all; waiting for other processes
            that write is a part of it.
        writes: How many writes each took.
        failures: Commits that failed, whatever for.
        last_failed: Whether the last one failed, or a write of it for want of room.
        begun_s: When the one that is under way began, by time.perf_counter; None when there is none.
    """

    seconds: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    writes: Distribution = field(default_factory=lambda: Distribution(WRITES))
    failures: int = 0
    last_failed: bool = False
    begun_s: float | None = None

    @contextmanager
    def counting(self) -> Iterator["Commit"]:
        """Count what is done meanwhile as a commit, and as a failure when it raises."""
        commit = Commit()
        begun_s = self.begun_s = time.perf_counter()
        try:
            yield commit
        except BaseException:
            commit.has_failed = True
            raise
        else:
            self.seconds.add(time.perf_counter() - begun_s)
            self.writes.add(commit.writes)
        finally:
            self.begun_s = None
            self.last_failed = commit.has_failed
            self.failures += commit.has_failed

    def lasts_s(self) -> float:
        """Return how long the commit that is under way has taken so far; 0 when there is none."""
        begun_s = self.begun_s
        return 0.0 if begun_s is None else time.perf_counter() - begun_s


@dataclass(slots=True)
class Commit:
    """A commit, told by whoever makes it.

    Attributes:
        writes: How many writes it takes.
        has_failed: Whether one of them found no room, although the others did.
    """

    writes: int = 0
    has_failed: bool = False
