"""Walks: how a verification goes over the rows of a range, some at a time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.schema.keys import KeyRange

ROWS_MAX: Final = 500
"""Rows of one read: tens of milliseconds."""

BYTES_MAX: Final = 4 * 1024 * 1024
"""Values of one read, but for the last of them."""

Visit: TypeAlias = Callable[[ReadTxn, bytes, bytes], Iterable[Finding]]
"""Checks one row, by what else stands in the same snapshot."""

Finish: TypeAlias = Callable[[ReadTxn], Iterable[Finding]]
"""Checks what can be told only when all rows were visited."""

MISSING: Final = "It is missing."
LEFT_OVER: Final = "It follows from no record."
DAMAGED: Final = "It is damaged: it is not what was written under this key."
NO_SUCH_KEY: Final = "The store has no rows with such a key."
NOT_EMPTY: Final = "It has a value, and should have none."


def nothing(_: ReadTxn) -> Iterable[Finding]:
    """Find nothing."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A walk over rows.

    Attributes:
        phase: Of the verification.
        ranges: What it goes over, in order.
        visit: Checks each row. One that remembers what it saw is for a copy, where each row is visited once.
        finish: Ends the walk.
        is_first: Whether its rows count as checked; another walk counted them when not.
    """

    phase: str
    ranges: Sequence[KeyRange]
    visit: Visit
    finish: Finish = nothing
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one read of a walk came to.

    Attributes:
        findings: What it found.
        rows: Rows that it visited.
        next_start: Where the walk goes on in the range; None at its end.
        revision: Of the snapshot.
    """

    findings: tuple[Finding, ...]
    rows: int
    next_start: bytes | None
    revision: int


def read_stretch(txn: ReadTxn, walk: Walk, start: bytes, end: bytes) -> Stretch:
    """Visit the rows from `start` on, as many as go into one read."""
    findings: list[Finding] = []
    rows = read_bytes = 0
    for key, value in txn.scan(start, end):
        findings.extend(walk.visit(txn, key, value))
        rows += 1
        read_bytes += len(value)
        if rows == ROWS_MAX or read_bytes > BYTES_MAX:
            return Stretch(tuple(findings), rows, key + b"\x00", txn.revision)
    return Stretch(tuple(findings), rows, None, txn.revision)


def read_end(txn: ReadTxn, walk: Walk) -> Stretch:
    """End a walk."""
    return Stretch(tuple(walk.finish(txn)), 0, None, txn.revision)
