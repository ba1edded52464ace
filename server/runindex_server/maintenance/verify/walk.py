"""Walks: how a verification goes over the rows of a range, some at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.schema.keys import KeyRange

ROWS_MAX: Final = 500
"""Rows of one read: tens of milliseconds."""

BYTES_MAX: Final = 4 * 1024 * 1024
"""Values of one read, but for the last of them."""

Row: TypeAlias = tuple[bytes, bytes]
"""Key and value."""

Visit: TypeAlias = Callable[[ReadTxn, Sequence[Row]], Iterable[Finding]]
"""Checks some rows, by what else stands in the same snapshot."""

VisitRow: TypeAlias = Callable[[ReadTxn, bytes, bytes], Iterable[Finding]]
"""Checks one row in the same way."""

Finish: TypeAlias = Callable[[ReadTxn], Iterable[Finding]]
"""Checks what can be told only when all rows were visited."""

MISSING: Final = "It is missing."
LEFT_OVER: Final = "It follows from no record."
DAMAGED: Final = "It is damaged: it is not what was written under this key."
NO_SUCH_KEY: Final = "The store has no rows with such a key."
NOT_EMPTY: Final = "It has a value, and should have none."


def each(visit_row: VisitRow) -> Visit:
    """Return what checks rows one by one."""

    def visit(txn: ReadTxn, rows: Sequence[Row]) -> Iterator[Finding]:
        for key, value in rows:
            yield from visit_row(txn, key, value)

    return visit


def nothing(_: ReadTxn) -> Iterable[Finding]:
    """Find nothing."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A walk over rows.

    Attributes:
        phase: Of the verification.
        ranges: What it goes over, in order.
        visit: Checks rows. One that remembers what it saw is for a copy, where each row is visited once.
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
    rows: list[Row] = []
    next_start = None
    read_bytes = 0
    for key, value in txn.scan(start, end):
        rows.append((key, value))
        read_bytes += len(value)
        if len(rows) == ROWS_MAX or read_bytes > BYTES_MAX:
            next_start = key + b"\x00"
            break
    return Stretch(tuple(walk.visit(txn, rows)), len(rows), next_start, txn.revision)


def read_end(txn: ReadTxn, walk: Walk) -> Stretch:
    """End a walk."""
    return Stretch(tuple(walk.finish(txn)), 0, None, txn.revision)
