"""Erasure: removes what deleted runs held, and their history, tombstone by tombstone, in bounded steps.

From the delete on nothing of it can be read: its keys carry a generation that no run has any more. So erasing
is only a matter of room, may be interrupted anywhere, and may be done twice.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Final

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import insight_keys, keys

ROWS_MAX: Final = 250
"""Rows of one step, tombstones among them. With the rest that the runner takes between steps, other writers'
p99 grows by about a half while a million entries go: `benchmarks/cascade.py`."""

VALUE_BYTES_MAX: Final = 256 * 1024
"""Values of one step, whose pages are freed; the first may be more, by its frame."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What one write erases.

    Attributes:
        rows: Rows of data.
        tombstones: Those of which no row is left then.
    """

    rows: tuple[bytes, ...]
    tombstones: tuple[bytes, ...]


async def erase_step(store: Store) -> bool:
    """Erase some rows of the first tombstones, and the tombstones of which none are left.

    Returns:
        Whether there was anything to do.
    """
    step = await store.read(_first_rows, offload=True)
    if not (step.rows or step.tombstones):
        return False

    def erase(txn: WriteTxn) -> None:
        for key in (*step.rows, *step.tombstones):
            txn.delete(key)

    await store.write(erase)
    return True


def _first_rows(txn: ReadTxn) -> _Step:
    """Return what goes into the next write. Read-only."""
    rows: list[bytes] = []
    tombstones: list[bytes] = []
    value_bytes = 0
    for tombstone, _ in txn.scan(*keys.TOMBSTONE.range):
        of = keys.split_tombstone(tombstone)
        for key, value in chain(
            txn.scan(*keys.data_range(*of)), txn.scan(*insight_keys.transitions_range(*of))
        ):
            value_bytes += len(value)
            if len(rows) + len(tombstones) == ROWS_MAX or (rows and value_bytes > VALUE_BYTES_MAX):
                return _Step(tuple(rows), tuple(tombstones))
            rows.append(key)
        if len(rows) + len(tombstones) == ROWS_MAX:
            break
        tombstones.append(tombstone)
    return _Step(tuple(rows), tuple(tombstones))
