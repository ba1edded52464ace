"""When retention has to look at what a run holds: one row by time for each run under such a policy.

The row is a lower bound, written with the change that makes something due, so that a pass looks only at runs
that are due. Which versions and events go is then read from the run's own rows, which know no policy: a
policy may change, and only this row has to be set.

The time of a run also carries the revision of the last change that set it, so that a pass which found nothing
left can take the row away without missing what came in between.
"""

import struct
from dataclasses import dataclass
from typing import Final

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, Run, RunId

AT_ONCE: Final = 0
"""The time of a run at which the next pass looks, whatever the clock says. The store's times can be ahead of
the wall clock, after one that had jumped was put right."""

_DUE: Final = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Due:
    """When retention has to look at a run's data.

    Attributes:
        due_us: The time, in microseconds since 1970.
        revision: Of the last change that may have made something due.
    """

    due_us: int
    revision: int


def policy_of(run: Run, default_policy: RetentionPolicy) -> RetentionPolicy:
    """Return the policy that acts on a run: its own, or else the store-wide default."""
    return default_policy if run.retention is None else run.retention


def trims_data(policy: RetentionPolicy) -> bool:
    """Tell whether a policy removes versions and events from runs that stay."""
    return policy.keep_latest_n is not None or policy.keep_duration_us is not None


def read_due(txn: ReadTxn | WriteTxn, run_id: RunId, generation: int) -> Due | None:
    """Return when retention has to look at a run's data; None for never.

    Raises:
        StoreCorrupt: The row is damaged.
    """
    key = keys.due_of(run_id, generation)
    value = txn.get(key)
    if value is None:
        return None
    payload = records.unseal(key, value)
    if len(payload) != _DUE.size:
        raise StoreCorrupt(f"due time under {key.hex()}")
    return Due(*_DUE.unpack(payload))


def schedule(txn: WriteTxn, run: Run, *, due_us: int, revision: int) -> None:
    """See to it that retention looks at a run's data at a time, if not earlier."""
    known = read_due(txn, run.run_id, run.generation)
    set_due(txn, run, Due(due_us if known is None else min(known.due_us, due_us), revision), known=known)


def set_due(txn: WriteTxn, run: Run, due: Due | None, *, known: Due | None) -> None:
    """Set when retention has to look at a run's data, None for never, whatever was known before.

    Args:
        txn: The write.
        run: The run.
        due: The time from now on.
        known: As `read_due` has it.
    """
    of = keys.due_of(run.run_id, run.generation)
    if known is not None and (due is None or due.due_us != known.due_us):
        txn.delete(keys.due(known.due_us, run.run_id, run.generation))
    if due is None:
        if known is not None:
            txn.delete(of)
        return
    if known is None or due.due_us != known.due_us:
        txn.put(keys.due(due.due_us, run.run_id, run.generation), b"")
    txn.put(of, records.seal(of, _DUE.pack(due.due_us, due.revision)))


def drop_due(txn: WriteTxn, run: Run) -> None:
    """Let retention look at a run's data no more."""
    set_due(txn, run, None, known=read_due(txn, run.run_id, run.generation))


def drop_stray(txn: WriteTxn, run_id: RunId, generation: int, *, due_us: int) -> None:
    """Remove a row by time that leads to no run, or of which the run's own row tells another time."""
    known = read_due(txn, run_id, generation)
    if known is not None and known.due_us == due_us:
        txn.delete(keys.due_of(run_id, generation))
    txn.delete(keys.due(due_us, run_id, generation))


def policy_changed(txn: WriteTxn, run: Run, *, revision: int) -> None:
    """Set when retention has to look at a run's data after its own policy has changed."""
    if trims_data(run.retention or KEEP_ALL):
        schedule(txn, run, due_us=AT_ONCE, revision=revision)
    else:
        drop_due(txn, run)


def superseded(
    txn: WriteTxn, run: Run, policy: RetentionPolicy, *, at_us: int, depth: int, revision: int
) -> None:
    """Note that something of a run was superseded, or an event appended.

    Args:
        txn: The write.
        run: The run.
        policy: What acts on it.
        at_us: When.
        depth: How many versions, or events, its item or stream has from now on, beyond one.
        revision: Of this write.
    """
    if policy.keep_duration_us is not None:
        schedule(txn, run, due_us=at_us + policy.keep_duration_us, revision=revision)
    elif policy.keep_latest_n is not None and depth >= policy.keep_latest_n:
        schedule(txn, run, due_us=AT_ONCE, revision=revision)
