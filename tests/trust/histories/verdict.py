"""What can be wrong with a history, by name."""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """How a history breaks strict serialisability, or the promise of request ids."""

    NO_WRITE = "a revision that no write made"
    TWO_WRITES = "two writes with one revision"
    OTHER_ANSWER = "another answer than that of its revision"
    OUT_OF_ORDER = "decided before what had ended before it began"
    TWICE = "answered twice differently under one request id"
    MISPLACED = "refused where its request id was known, or answered where it was not"
    NO_REVISION = "decided in the store, and does not tell when"
    TIME = "a time that is not between those of its neighbours"


@dataclass(frozen=True)
class Violation:
    """Something that is wrong with a history.

    Attributes:
        revision: At which.
        text: What, with the operations that show it.
    """

    fault: Fault
    revision: int
    text: str

    def __str__(self) -> str:
        """Tell it."""
        return f"revision {self.revision}: {self.fault.value}: {self.text}"
