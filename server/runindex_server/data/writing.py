"""What every write of a run's data has in common: the checks before it, and the sign of life after it."""

from runindex_server.kv.api import WriteTxn
from runindex_server.runs.mutation import Conditions, Guard, admit, minute_of
from runindex_server.schema.derive import touch_run
from runindex_server.schema.run import Run, RunId


def open_run(txn: WriteTxn, run_id: RunId, operation: str) -> Run:
    """Return the run whose data is to be written. Read-only.

    Args:
        txn: The write.
        run_id: The run.
        operation: What is to be done, for the refusal: `put value`.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        StoreCorrupt: Its record is damaged.
    """
    # An expected version is one of what is written, never of the run.
    return admit(txn, run_id, Conditions(), Guard(operation=operation, frozen_when_archived=True))


def note_activity(txn: WriteTxn, run: Run, *, now_us: int) -> None:
    """Note that a run's data was written: at most once a minute, because it rewrites the run's record."""
    activity_us = minute_of(now_us)
    if activity_us > run.activity_us:
        touch_run(txn, run, run._replace(activity_us=activity_us))
