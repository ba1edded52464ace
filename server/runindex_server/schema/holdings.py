"""What a run holds, by kind: counters kept with each write of data, so that a delete need not look."""

from enum import IntEnum

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.run import Run


class Holding(IntEnum):
    """A kind of thing that a run holds. Stored by number."""

    KV_KEYS = 1
    EVENTS = 2
    STATE_CELLS = 3
    DOCUMENTS = 4
    BYTES = 5


def add_holding(txn: WriteTxn, run: Run, kind: Holding, delta: int) -> None:
    """Count that a run holds more of a kind, or less."""
    if delta:
        txn.add(keys.holding(run.run_id, run.generation, kind), delta)


def read_holdings(txn: ReadTxn | WriteTxn, run: Run) -> dict[Holding, int]:
    """Return how much of each kind a run holds."""
    return {kind: txn.get_counter(keys.holding(run.run_id, run.generation, kind)) for kind in Holding}


def drop_holdings(txn: WriteTxn, run: Run) -> None:
    """Remove a run's counters."""
    for kind in Holding:
        txn.delete(keys.holding(run.run_id, run.generation, kind))
