"""Removing a run with all that it holds: by a caller, or by retention."""

from runindex_server.kv.api import WriteTxn
from runindex_server.schema import insight_keys, keys
from runindex_server.schema.answers import Receipt
from runindex_server.schema.derive import write_run
from runindex_server.schema.due import drop_due
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.holdings import Holding, drop_holdings, read_holdings
from runindex_server.schema.run import Run, RunState


def remove_run(txn: WriteTxn, run: Run, *, revision: int) -> Receipt:
    """Remove a run's record and what follows from it, and return what it held.

    A tombstone is left by which the data of this generation is erased afterwards. What the run held is read
    from counters: the cost is the same whatever it holds.

    Args:
        txn: The write.
        run: As it is in the store.
        revision: Of this change.

    Raises:
        Overloaded: As `write_run`.
    """
    held = read_holdings(txn, run)
    receipt = Receipt(
        kv_keys=held[Holding.KV_KEYS],
        events=held[Holding.EVENTS],
        state_cells=held[Holding.STATE_CELLS],
        documents=held[Holding.DOCUMENTS],
        bytes=held[Holding.BYTES],
        orphaned_children=sum(
            txn.get_counter(insight_keys.child_count(run.run_id, state)) for state in RunState
        ),
    )
    write_run(txn, run, None, revision=revision)
    drop_holdings(txn, run)
    drop_due(txn, run)
    txn.put(keys.tombstone(run.run_id, run.generation), encode_u64(txn.issue_time_us()))
    return receipt
