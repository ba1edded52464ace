"""Histories: the transitions of a copy, each against the one before it, and the last against the run."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.rows import PHASE, read_run
from runindex_server.maintenance.verify.survey import Survey
from runindex_server.maintenance.verify.walk import DAMAGED, LEFT_OVER, NO_SUCH_KEY, Walk, each
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.run import RunId, RunState

_NAME: Final = keys.TRANSITION.name
_STATES: Final = frozenset(map(int, RunState))


class _Life(NamedTuple):
    """A life of a run: the run, and its generation."""

    run_id: RunId
    generation: int


class _Head(NamedTuple):
    """What a history is held against."""

    generation: int
    state: int
    version: int


class HistoryCheck:
    """Checks the histories of a copy.

    What a history of a run says is judged only when the record is sound. Of a deleted run some of it may be
    erased already, and of a damaged record nobody knows which life it is of.
    """

    def __init__(self, survey: Survey) -> None:
        """Take what the records come to."""
        self._survey = survey
        self._changed = 0
        self._life: _Life | None = None
        self._run: _Head | None = None
        self._is_orphaned = False
        # The row before, and the state to which it led; None when that is not known.
        self._last_key = b""
        self._state: int | None = None

    def walks(self) -> Iterator[Walk]:
        """Yield the walks of the check, after those of the survey."""
        yield Walk(
            phase=PHASE, ranges=[keys.TRANSITION.range], visit=each(self._visit), finish=self._end_history
        )
        # Each history is of another run. So when they are as many, none is missing.
        if self._changed != self._survey.changed:
            yield Walk(phase=PHASE, ranges=[keys.RUN.range], visit=each(self._look_for), is_first=False)

    def _visit(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check a transition."""
        try:
            run_id, generation, version = insight_keys.split_transition(key)
        except ValueError:
            yield Finding(_NAME, key, NO_SUCH_KEY)
            return
        if self._life != (run_id, generation):
            yield from self._end_history(txn)
            self._begin_history(txn, _Life(run_id, generation))
        self._last_key = key
        if self._is_orphaned:
            yield Finding(_NAME, key, LEFT_OVER)
            return
        if self._run is not None and version > self._run.version:
            yield Finding(_NAME, key, "It is of a version that the run has not reached.")
        yield from self._follow(key, value)

    def _follow(self, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a transition begins where the one before it ended."""
        before, self._state = self._state, None
        try:
            # As `decode_transition`, which takes three times as long.
            transition = records.read_message(pb.Transition, key, value, what=_NAME)
        except StoreCorrupt:
            yield Finding(_NAME, key, DAMAGED)
            return
        if transition.to_state not in _STATES:
            yield Finding(_NAME, key, "It leads to no state.")
            return
        self._state = transition.to_state
        is_known = self._run is not None and before is not None and transition.from_state != 0
        if is_known and transition.from_state != before:
            yield Finding(_NAME, key, "It begins in another state than the run was in.")

    def _begin_history(self, txn: ReadTxn, life: _Life) -> None:
        """Look for the run whose transitions follow."""
        record = keys.run(life.run_id)
        value = txn.get(record)
        head = None if value is None or life.run_id in self._survey.damaged else _read_head(record, value)
        lives = head is not None and head.generation == life.generation
        is_unknown = value is not None and head is None
        is_erased = not lives and txn.get(keys.tombstone(*life)) is not None
        self._life = life
        self._run = head if lives else None
        self._is_orphaned = not (lives or is_unknown or is_erased)
        self._state = RunState.ACTIVE

    def _end_history(self, _: ReadTxn) -> Iterator[Finding]:
        """Check that a history ends in the state of the run."""
        run, self._run = self._run, None
        if run is None:
            return
        self._changed += run.state != RunState.ACTIVE
        if self._state is not None and self._state != run.state:
            yield Finding(_NAME, self._last_key, "The history ends in another state than the run is in.")

    def _look_for(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a run which has left its first state has a history."""
        run = read_run(key, value)
        if run is None or run.state is RunState.ACTIVE:
            return
        history = insight_keys.transitions_range(run.run_id, run.generation)
        if not any(txn.scan(*history, limit=1)):
            missing = insight_keys.transition(run.run_id, run.generation, run.version)
            yield Finding(_NAME, missing, "The run has left its first state, and has no history.")


def _read_head(key: bytes, value: bytes) -> _Head | None:
    """Return what a history is held against; None when the record is damaged."""
    try:
        generation, record = records.basic_message(key, value)
    except StoreCorrupt:
        return None
    return _Head(generation, record.state, record.version)
