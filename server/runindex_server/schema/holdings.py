"""What a run holds, by kind: counters kept with each write of data, so that a delete need not look."""

from enum import IntEnum

from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.run import Run


class Holding(IntEnum):
    """A kind of thing that a run holds. Stored by number."""

    KV_KEYS = 1
    EVENTS = 2
    STATE_CELLS = 3
    DOCUMENTS = 4
    BYTES = 5


def read_holdings(txn: WriteTxn, run: Run) -> dict[Holding, int]:
    """Return how much of each kind a run holds."""
    return {kind: txn.get_counter(keys.holding(run.run_id, run.generation, kind)) for kind in Holding}


def drop_holdings(txn: WriteTxn, run: Run) -> None:
    """Remove a run's counters."""
    for kind in Holding:
        txn.delete(keys.holding(run.run_id, run.generation, kind))
