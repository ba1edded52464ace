"""What the figures have to be, as tables: by the name of a row, or of a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Target:
    """A bound.

    Attributes:
        bound: What is still good.
        is_least: Whether more is better.
    """

    bound: float
    is_least: bool = False

    def is_met(self, value: float | None) -> bool:
        """Tell whether a figure is good; one that was not measured is not."""
        if value is None:
            return False
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        """Return it as it stands in a table."""
        return f"{'≥' if self.is_least else '≤'} {self.bound:,g}"


READS_OF_ONE: Final = (
    "GetRun",
    "RunExists",
    "CountRuns",
    "GetRunTags",
    "GetParentRun",
    "GetRunRetention",
)
PAGES: Final = ("ListRuns", "QueryRunsByState", "QueryRunsByTag", "GetChildRuns")
SEARCHES: Final = (
    "SearchRuns: two words in 1 %",
    "SearchRuns: a word in all, a tag of 2 %",
    "SearchRuns: failed, a word of 0.01 %",
    "SearchRuns: no match",
)
READS: Final = (*READS_OF_ONE, *PAGES, *SEARCHES)
INSIGHTS: Final = ("GetRunStats: all", "GetRunStats: a tag")

TRANSITIONS: Final = ("PauseRun", "ResumeRun", "FailRun", "CancelRun", "CloseRun", "ArchiveRun")
CHANGES: Final = (*TRANSITIONS, "AddRunTags", "RemoveRunTags", "UpdateRunMetadata")
WRITE_GROUPS: Final = (
    ("CreateRun", "CloseRun", "ArchiveRun", "DeleteRun"),
    ("CreateRun with a request id", "FailRun", "UpdateRunMetadata"),
    ("CreateChildRun", "CancelRun", "SetRunRetention"),
    ("PauseRun", "ResumeRun", "AddRunTags", "RemoveRunTags"),
)
"""Writes that are measured in turn, so that what one leaves behind is there for the next."""

WRITES: Final = tuple(name for group in WRITE_GROUPS for name in group)

CPU_OVER_EMPTY: Final[Mapping[str, Target]] = {
    **dict.fromkeys(READS_OF_ONE, Target(1.25)),
    **dict.fromkeys(PAGES, Target(1.8)),
    **dict.fromkeys(SEARCHES, Target(2.0)),
    "CreateRun": Target(2.0),
}
"""The server's CPU time for one call, over the empty handler's: with 1 and with 16 in flight."""

RATE_OVER_EMPTY: Final[Mapping[str, Target]] = dict.fromkeys(CHANGES, Target(0.5, is_least=True))
"""Calls in a second with 16 in flight, over the empty handler's."""

GROWTH: Final[Mapping[str, Target]] = {
    **dict.fromkeys((*READS, *INSIGHTS), Target(1.25)),
    **dict.fromkeys(WRITES, Target(1.6)),
}
"""CPU time of a call, and its median time, with many runs over with few: with 1 and with 16 in flight."""

LIFE: Final = ("CreateRun", "CloseRun")
LIFE_OVER_BASE: Final = Target(1.3)
"""The server's CPU time of creating and finishing a run, over that of another commit."""

TOKEN_OVER_NONE: Final[Mapping[str, Target]] = {"GetRun": Target(1.15)}
"""CPU time of a call, and its median time, with a token over where nobody is asked: with 1 and with 16 in
flight."""

SYNCS_OF_A_WRITE: Final = 2
WRITE_MS: Final = 0.5
"""How long a durable transition may take beyond an empty call: so many syncs, and so many milliseconds."""

FOUR_WORKERS: Final = Target(1.2)
"""The servers' CPU time of a write, with 4 workers over with 1."""

WRITERS_WITH_MERGING: Final = Target(2.0)
"""The 99th percentile of creates at a steady rate, with merging over without."""

DISK_BYTES_PER_RUN: Final = Target(4_096)
PRIVATE_MIB: Final = Target(200)
LOADED_RUNS_PER_S: Final = Target(3_000, is_least=True)
