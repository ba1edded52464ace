"""The sweep: brings a changed store-wide default policy to the runs that hold data already, in bounded steps.

What is written while a policy is the default is scheduled with the write. What was written before is not: so
each run without a policy of its own is gone through once, in the order of ids, and scheduled.
"""

from dataclasses import dataclass
from typing import Final

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.runs.mutation import find
from runindex_server.schema import keys, records
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.due import AT_ONCE, schedule
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.retention_state import (
    DefaultPolicySweep,
    read_default_policy_sweep,
    write_default_policy_sweep,
)
from runindex_server.schema.run import Run, RunId

RUNS_MAX: Final = 128
"""Runs of one step."""


@dataclass(frozen=True, slots=True)
class _Step:
    """The next runs of a sweep.

    Attributes:
        sweep: As it stands.
        reached: As it stands when these are done.
        run_ids: Those that have to be scheduled.
    """

    sweep: DefaultPolicySweep
    reached: DefaultPolicySweep
    run_ids: tuple[RunId, ...]


async def sweep_step(store: Store) -> bool:
    """Bring the default policy to some more runs.

    Returns:
        Whether there was anything to do.
    """
    step = await store.read(_next_runs, offload=True)
    if step is None:
        return False

    def write(txn: WriteTxn) -> None:
        if read_default_policy_sweep(txn) != step.sweep:
            return
        for run_id in step.run_ids:
            run = find(txn, run_id)
            if run is not None and run.retention is None:
                schedule(txn, run, due_us=AT_ONCE, revision=txn.revision)
        write_default_policy_sweep(txn, step.reached)

    await store.write(write)
    return True


def unswept_range(sweep: DefaultPolicySweep) -> KeyRange:
    """Return the records of the runs that a sweep has not reached."""
    start, end = keys.RUN.range
    return KeyRange(start + sweep.through + b"\x00" if sweep.through else start, end)


def concerns(txn: ReadTxn, run: Run) -> bool:
    """Tell whether a sweep schedules a run: the default acts on it, and it holds something. Read-only."""
    data = DataKeys.of(run).range
    return run.retention is None and any(True for _ in txn.scan(data.start, data.end, limit=1))


def _next_runs(txn: ReadTxn) -> _Step | None:
    """Return the next runs of a sweep; None when it is done."""
    sweep = read_default_policy_sweep(txn)
    if sweep.is_done:
        return None
    runs = [records.decode_run(key, value) for key, value in txn.scan(*unswept_range(sweep), limit=RUNS_MAX)]
    through = runs[-1].run_id if runs else sweep.through
    reached = DefaultPolicySweep(sweep.policy, through, is_done=len(runs) < RUNS_MAX)
    return _Step(sweep, reached, tuple(run.run_id for run in runs if concerns(txn, run)))
