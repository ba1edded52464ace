"""Trimming: finds what goes of runs that stay, and removes it, of several runs in a write.

What a read has found is looked at again in the write: whether the run is in the same life and under the same
policy. When nothing is left to remove, the run's due time moves on, unless something was written meanwhile
that may have made more due.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from runindex_server.jobs.retention.compaction import CompactedRun
from runindex_server.jobs.retention.removal import remove_victims
from runindex_server.jobs.retention.sweep import concerns, unswept_range
from runindex_server.jobs.retention.victims import EventRef, Moment, Victim, Victims
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import find
from runindex_server.schema import keys, records
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.due import Due, drop_stray, policy_of, read_due, set_due
from runindex_server.schema.items import decode_event
from runindex_server.schema.retention_state import sweep_of
from runindex_server.schema.run import RetentionPolicy, Run, RunId

VICTIMS_MAX: Final = 128
"""Versions and events of one write: about as many rows as a step of erasure has."""

VALUE_BYTES_MAX: Final = 256 * 1024
"""Values of one write, which are read and their pages freed; the first may be more, by its frame."""

RUNS_MAX: Final = 64
"""Runs of one look."""


class Candidate(NamedTuple):
    """A run at which to look.

    Attributes:
        row: The key of the row that led to it.
        run_id: The run.
        generation: Which life of it.
        is_due: Whether to look: there may be something to remove, and no other row leads to it.
    """

    row: bytes
    run_id: RunId
    generation: int
    is_due: bool = True


class Resume(NamedTuple):
    """From where to look next.

    Attributes:
        row: The first row to look at.
        after: The last victim that was found in its run, where a look ended within it; None else.
    """

    row: bytes
    after: Victim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrim:
    """What goes of one run.

    Attributes:
        row: The key of the row that led to it.
        run_id: The run.
        generation: Which life of it.
        policy: What acts on it; None when there is no such run any more.
        is_default_policy: Whether that is the store-wide default.
        victims: What goes.
        due: When it had to be looked at.
        is_settled: Whether nothing is left to remove afterwards.
        next_us: Then: when to look at it again; None for never.
    """

    row: bytes
    run_id: RunId
    generation: int
    policy: RetentionPolicy | None = None
    is_default_policy: bool = False
    victims: tuple[Victim, ...] = ()
    due: Due | None = None
    is_settled: bool = True
    next_us: int | None = None


@dataclass(frozen=True, slots=True)
class Trims:
    """What goes in one write.

    Attributes:
        runs: By run.
        resume: From where to look next; None at the end.
        revision: At which it was found.
    """

    runs: tuple[RunTrim, ...]
    resume: Resume | None
    revision: int

    def pieces(self) -> list[CompactedRun]:
        """Return what would go, as it is told."""
        return [
            _piece(run, run.policy, run.victims, revision=self.revision)
            for run in self.runs
            if run.policy is not None and run.victims
        ]


Source: TypeAlias = Callable[[ReadTxn, bytes, int], Iterator[Candidate]]
"""Yields the runs at which to look, from a row on, at a moment. An empty row is before the first."""


def due_runs(txn: ReadTxn, first: bytes, now_us: int) -> Iterator[Candidate]:
    """Yield the runs whose data is due, in the order of their times. Read-only."""
    start, end = keys.due_through_range(now_us)
    for row, _ in txn.scan(max(start, first), end):
        _, run_id, generation = keys.split_due(row)
        yield Candidate(row, run_id, generation)


def unswept_runs(
    txn: ReadTxn, first: bytes, now_us: int, *, default_policy: RetentionPolicy
) -> Iterator[Candidate]:
    """Yield the runs that a sweep has yet to schedule under the default policy. Read-only."""
    sweep = sweep_of(txn, default_policy)
    if sweep.is_done:
        return
    start, end = unswept_range(sweep)
    for row, value in txn.scan(max(start, first), end):
        run = records.decode_run(row, value)
        due = read_due(txn, run.run_id, run.generation)
        is_due = (due is None or due.due_us > now_us) and concerns(txn, run)
        yield Candidate(row, run.run_id, run.generation, is_due)


def find_trims(
    txn: ReadTxn, source: Source, resume: Resume, *, moment: Moment, default_policy: RetentionPolicy
) -> Trims:
    """Return what goes of the next runs, as much as goes into one write. Read-only.

    Args:
        txn: The snapshot.
        source: Where the runs come from.
        resume: From where to look.
        moment: Of the pass.
        default_policy: What acts on runs without a policy of their own.

    Raises:
        StoreCorrupt: A row is damaged.
    """
    runs: list[RunTrim] = []
    budget = _Budget()
    for looked, candidate in enumerate(source(txn, resume.row, moment.now_us)):
        if looked == RUNS_MAX:
            return Trims(tuple(runs), Resume(candidate.row), txn.revision)
        if not candidate.is_due:
            continue
        after = resume.after if candidate.row == resume.row else None
        found = _look(txn, candidate, after, budget, moment=moment, default_policy=default_policy)
        runs.append(found)
        if budget.is_spent:
            last = found.victims[-1] if found.victims else after
            return Trims(tuple(runs), Resume(candidate.row, last), txn.revision)
    return Trims(tuple(runs), None, txn.revision)


def trim_runs(txn: WriteTxn, trims: Trims, *, default_policy: RetentionPolicy) -> list[CompactedRun]:
    """Remove what was found, as far as it is still so, and return what went.

    Raises:
        StoreCorrupt: A row is damaged.
    """
    pieces: list[CompactedRun] = []
    revision = txn.revision
    for trim in trims.runs:
        run = _living(txn, trim.run_id, trim.generation)
        policy = None if run is None else policy_of(run, default_policy)
        if run is not None and policy is not None and policy == trim.policy:
            removed = remove_victims(txn, run, policy, trim.victims)
            if removed:
                # What reads answer has changed: once a write.
                revision = revision if pieces else txn.next_revision()
                pieces.append(_piece(trim, policy, removed, revision=revision))
            if trim.is_settled and trim.due is not None:
                _settle(txn, run, trim.due, trim.next_us, revision=revision)
        _drop_stray(txn, run, trim)
    return pieces


class _Budget:
    """How much one write still takes."""

    def __init__(self) -> None:
        self._victims = 0
        self._value_bytes = 0
        self.is_spent = False

    def takes(self, victim: Victim) -> bool:
        """Take a victim, or find that the write is full. The first one always fits."""
        with_bytes = self._value_bytes + victim.value_bytes
        if self._victims and (self._victims == VICTIMS_MAX or with_bytes > VALUE_BYTES_MAX):
            self.is_spent = True
            return False
        self._victims += 1
        self._value_bytes = with_bytes
        return True


def _look(
    txn: ReadTxn,
    candidate: Candidate,
    after: Victim | None,
    budget: _Budget,
    *,
    moment: Moment,
    default_policy: RetentionPolicy,
) -> RunTrim:
    """Return what goes of a run, as far as the budget takes it."""
    row, run_id, generation, _ = candidate
    run = _living(txn, run_id, generation)
    if run is None:
        return RunTrim(row=row, run_id=run_id, generation=generation)
    data, policy = DataKeys.of(run), policy_of(run, default_policy)
    search = Victims(txn, data, policy, moment, after=after)
    victims: list[Victim] = []
    is_settled = True
    for victim in search:
        if not budget.takes(victim):
            is_settled = False
            break
        victims.append(victim)
    is_settled = is_settled and not search.has_later
    return RunTrim(
        row=row,
        run_id=run_id,
        generation=generation,
        policy=policy,
        is_default_policy=run.retention is None,
        victims=tuple(victims),
        due=read_due(txn, run_id, generation),
        is_settled=is_settled,
        next_us=_next_due_us(txn, data, policy, victims, now_us=moment.now_us) if is_settled else None,
    )


def _next_due_us(
    txn: ReadTxn, data: DataKeys, policy: RetentionPolicy, victims: list[Victim], *, now_us: int
) -> int | None:
    """Return when the first of what stays is due; None for never, as far as is known.

    By number nothing is due until more is written, which then says so.
    """
    duration_us = policy.keep_duration_us
    if duration_us is None:
        return None
    times_us = []
    rest = data.superseded_through_range(now_us - duration_us).end, data.superseded_range.end
    for key, _ in txn.scan(*rest, limit=1):
        times_us.append(data.split_superseded(key)[0])
    gone = victims[-1].what if victims else None
    first = gone.sequence + 1 if isinstance(gone, EventRef) else 0
    for key, value in txn.scan(*data.event_range(start=first), limit=1):
        times_us.append(decode_event(key, value).append_us)
    return min(times_us) + duration_us if times_us else None


def _living(txn: ReadTxn | WriteTxn, run_id: RunId, generation: int) -> Run | None:
    """Return a run in one life of it; None when that is over."""
    run = find(txn, run_id)
    return None if run is None or run.generation != generation else run


def _settle(txn: WriteTxn, run: Run, seen: Due, next_us: int | None, *, revision: int) -> None:
    """Move on the time at which a run has to be looked at, unless it has been set since it was seen."""
    known = read_due(txn, run.run_id, run.generation)
    if known == seen:
        set_due(txn, run, None if next_us is None else Due(next_us, revision), known=known)


def _drop_stray(txn: WriteTxn, run: Run | None, trim: RunTrim) -> None:
    """Remove the row that led here if it leads to no run, or the run does not know of it."""
    due_us, run_id, generation = keys.split_due(trim.row)
    known = read_due(txn, run_id, generation)
    if run is None or known is None or known.due_us != due_us:
        drop_stray(txn, run_id, generation, due_us=due_us)


def _piece(
    trim: RunTrim, policy: RetentionPolicy, victims: Sequence[Victim], *, revision: int
) -> CompactedRun:
    """Return what is told of what goes of a run."""
    events = sum(isinstance(victim.what, EventRef) for victim in victims)
    return CompactedRun(
        run_id=trim.run_id,
        policy=policy,
        is_default_policy=trim.is_default_policy,
        versions=len(victims) - events,
        events=events,
        bytes=sum(victim.value_bytes for victim in victims),
        revision=revision,
    )
