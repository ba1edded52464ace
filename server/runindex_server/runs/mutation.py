"""What every mutation has in common: the order of its checks, versions, times, remembered answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runindex_server.errors import (
    DefaultRunProtected,
    RequestIdReused,
    RunArchived,
    RunNotFound,
    VersionMismatch,
)
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema.answers import Answer, RememberedAnswer, decode_answer, encode_answer
from runindex_server.schema.derive import write_run
from runindex_server.schema.due import policy_changed
from runindex_server.schema.run import ENDED, KEEP_ALL, Run, RunId, run_id_text

MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What makes a mutation safe to retry.

    Attributes:
        caller: Who asks; empty as long as nobody is told apart.
        request_id: The caller's id of the request.
        digest: Of the canonical request: 16 bytes.
    """

    caller: str
    request_id: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """On what a mutation of a run depends.

    Attributes:
        expected_version: The version that the run must have; None for any.
        request: What makes it safe to retry; None when it is not.
        actor: Who asks, for the run's history; empty as long as nobody is told apart.
    """

    expected_version: int | None = None
    request: RequestKey | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Which runs an operation may not touch.

    Attributes:
        operation: Its name, for the refusal: `add tags`.
        protects_default: Whether the default run refuses it.
        frozen_when_archived: Whether an archived run refuses it.
    """

    operation: str
    protects_default: bool = False
    frozen_when_archived: bool = False


def find(txn: ReadTxn | WriteTxn, run_id: RunId) -> Run | None:
    """Return a run; None when no run has this id. Read-only.

    Raises:
        StoreCorrupt: Its record is damaged.
    """
    key = keys.run(run_id)
    value = txn.get(key)
    return None if value is None else records.decode_run(key, value)


def load(txn: ReadTxn | WriteTxn, run_id: RunId) -> Run:
    """Return a run. Read-only.

    Raises:
        RunNotFound: No run has this id.
        StoreCorrupt: Its record is damaged.
    """
    run = find(txn, run_id)
    if run is None:
        raise RunNotFound(run_id_text(run_id))
    return run


def recall(txn: WriteTxn, request: RequestKey | None) -> Answer | None:
    """Return the answer that was given to this request before, or None. Read-only.

    Raises:
        RequestIdReused: The id came with another request.
        StoreCorrupt: The answer is damaged.
    """
    if request is None:
        return None
    key = keys.request(request.caller, request.request_id)
    value = txn.get(key)
    if value is None:
        return None
    remembered = decode_answer(key, value)
    if remembered.digest != request.digest:
        raise RequestIdReused(request.request_id)
    return remembered.answer


def remember(txn: WriteTxn, request: RequestKey | None, answer: Answer) -> None:
    """Keep an answer for as long as is promised, in the transaction of the write itself."""
    if request is None:
        return
    answer_us = txn.issue_time_us()
    key = keys.request(request.caller, request.request_id)
    remembered = RememberedAnswer(answer=answer, digest=request.digest, answer_us=answer_us)
    txn.insert(key, encode_answer(key, remembered))
    txn.put(keys.request_by_time(answer_us, request.caller, request.request_id), b"")


def admit(txn: WriteTxn, run_id: RunId, conditions: Conditions, guard: Guard) -> Run:
    """Return the run that a mutation is about, after the checks that all have in common, in order.

    Raises:
        RunNotFound: No run has this id.
        DefaultRunProtected: It is the default run, which refuses the operation.
        RunArchived: It is archived, and the operation would write its frozen record.
        VersionMismatch: Its version is not the expected one.
        StoreCorrupt: Its record is damaged.
    """
    run = load(txn, run_id)
    if guard.protects_default and run.is_default:
        raise DefaultRunProtected(run_id_text(run_id), operation=guard.operation)
    if guard.frozen_when_archived and run.is_archived:
        raise RunArchived(run_id_text(run_id), operation=guard.operation)
    expected = conditions.expected_version
    if expected is not None and expected != run.version:
        raise VersionMismatch(run_id_text(run_id), expected_version=expected, current_version=run.version)
    return run


def change(
    txn: WriteTxn, run_id: RunId, conditions: Conditions, guard: Guard, edit: Callable[[Run], Run]
) -> Answer:
    """Change a run, or find that nothing changes, and answer.

    Args:
        txn: The write.
        run_id: The run.
        conditions: On what it depends.
        guard: Which runs refuse it.
        edit: Returns the run as it shall be; an equal one changes nothing. Version, revision and times are
            set here.

    Raises:
        RequestIdReused: As `recall`.
        RunNotFound, DefaultRunProtected, RunArchived, VersionMismatch: As `admit`.
        RunIndexError: What `edit` raises.
        Overloaded: As `write_run`.
    """
    answered = recall(txn, conditions.request)
    if answered is not None:
        return answered
    run = admit(txn, run_id, conditions, guard)
    edited = edit(run)
    revision = txn.revision
    if not _looks_alike(run, edited):
        revision = txn.next_revision()
        edited = stamp(edited, now_us=txn.issue_time_us(), revision=revision)
    if edited != run:
        write_run(txn, run, edited, revision=revision, actor=conditions.actor)
    if edited.retention != run.retention:
        policy_changed(txn, edited, revision=revision)
    answer = Answer(run_id=run_id, version=edited.version, revision=revision, update_us=edited.update_us)
    remember(txn, conditions.request, answer)
    return answer


def stamp(run: Run, *, now_us: int, revision: int) -> Run:
    """Return a changed run with its next version, its revision and its times."""
    return run._replace(
        version=run.version + 1,
        revision=revision,
        update_us=now_us,
        end_us=now_us if run.end_us is None and run.state in ENDED else run.end_us,
        activity_us=minute_of(now_us),
    )


def _looks_alike(run: Run, edited: Run) -> bool:
    """Tell whether a caller sees no difference.

    A policy of KeepAll on a run that had none is one: it only exempts the run from the default policy.
    """
    return run == edited or (
        run.retention is None and edited.retention == KEEP_ALL and edited._replace(retention=None) == run
    )


def minute_of(us: int) -> int:
    """Return a time rounded down to the minute."""
    return us - us % MINUTE_US
