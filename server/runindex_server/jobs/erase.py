"""Erasure: removes from the disk what deleted runs held, tombstone by tombstone, in bounded steps.

From the delete on nothing of it can be read: its keys carry a generation that no run has any more. So erasing
is only a matter of room, may be interrupted anywhere, and may be done twice.
"""

from typing import Final

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import keys

ROWS_MAX: Final = 1_000
"""Rows of one step. Deleting 1,000 holds up other writers by milliseconds, 150,000 by a fifth of a second."""


async def erase_step(store: Store) -> bool:
    """Erase some rows of the first tombstone, or the tombstone itself when none are left.

    Returns:
        Whether there was anything to do.
    """
    found = await store.read(_first_rows)
    if found is None:
        return False
    tombstone, rows = found

    def erase(txn: WriteTxn) -> None:
        if txn.get(tombstone) is None:
            return
        for key in rows:
            txn.delete(key)
        if len(rows) < ROWS_MAX:
            txn.delete(tombstone)

    await store.write(erase)
    return True


def _first_rows(txn: ReadTxn) -> tuple[bytes, list[bytes]] | None:
    """Return the first tombstone and the first rows that it leaves to erase; None without a tombstone."""
    start, end = keys.TOMBSTONE.range
    for tombstone, _ in txn.scan(start, end, limit=1):
        data = keys.data_range(*keys.split_tombstone(tombstone))
        rows = [key for key, _ in txn.scan(data.start, data.end, limit=ROWS_MAX)]
        return tombstone, rows
    return None
