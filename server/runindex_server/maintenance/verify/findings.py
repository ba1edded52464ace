"""What a verification tells: how far it is, each drift that it finds, and what it came to."""

from dataclasses import dataclass
from typing import NamedTuple


class Finding(NamedTuple):
    """Something that does not follow from the records.

    Attributes:
        subspace: The kind of rows it is in: the name of a subspace, or of a part of data; else `none`.
        key: The key of the row that is wrong, missing or left over.
        problem: What is wrong: a sentence for people, without anything that callers wrote.
    """

    subspace: str
    key: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verification is.

    Attributes:
        phase: What is being checked: `index rows`, `copy`, `search terms`, `data` or `counters`. Index rows
            are checked in two parts, before the copy is made and on it.
        rows: Rows that were checked in this phase.
        revision: Of the snapshot that was read last.
    """

    phase: str
    rows: int
    revision: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A finding that is told.

    Attributes:
        subspace: As in `Finding`.
        key: As in `Finding`.
        problem: As in `Finding`.
        revision: Of the snapshot in which it was found.
    """

    subspace: str
    key: bytes
    problem: str
    revision: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a verification came to.

    Attributes:
        runs: Runs that were checked.
        rows: Rows that were checked, of all kinds, each once.
        drifts: Findings, those included that were not told; 0 for a sound store.
        duration_us: How long it took, in microseconds.
        revision: Of the copy.
    """

    runs: int
    rows: int
    drifts: int
    duration_us: int
    revision: int
