"""The rows of the global namespace beside records and their indexes, each against the row that it belongs to.

A row is judged only within one snapshot, so that this can be done while the store is written. Rows of a run
whose record is damaged are not judged: the record is told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final, TypeAlias

from google.protobuf.message import DecodeError, Message

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, decode_counter
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.walk import (
    DAMAGED,
    LEFT_OVER,
    MISSING,
    NO_SUCH_KEY,
    NOT_EMPTY,
    Walk,
    each,
)
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.answers import decode_answer
from runindex_server.schema.due import read_due
from runindex_server.schema.encoding import decode_u64, split_string
from runindex_server.schema.header import read_header
from runindex_server.schema.holdings import Holding
from runindex_server.schema.keys import KeyRange, Subspace
from runindex_server.schema.run import DEFAULT_RUN_ID, Run, RunId
from runindex_server.schema.templates import decode_template

PHASE: Final = "index rows"

GENERATIONS_REMEMBERED: Final = 8
"""Records of which the generation is remembered: the rows of what a run holds come one after the other."""

Check: TypeAlias = Callable[[ReadTxn, bytes, bytes], Iterator[Finding]]


def walks() -> Iterator[Walk]:
    """Yield the walks over the rows of the global namespace that can be judged on the running store."""
    for subspace, check in CHECKS.items():
        yield Walk(phase=PHASE, ranges=[subspace.range], visit=each(check))
    yield Walk(phase=PHASE, ranges=list(_gaps()), visit=each(_check_stranger), finish=_check_presence)


def read_run(key: bytes, value: bytes) -> Run | None:
    """Return the run in a row; None when the row is damaged."""
    try:
        return records.decode_run(key, value)
    except (StoreCorrupt, ValueError, LookupError):
        return None


def is_living(txn: ReadTxn, run_id: RunId, generation: int) -> bool | None:
    """Tell whether a run lives, in this generation; None when its record is damaged."""
    key = keys.run(run_id)
    value = txn.get(key)
    if value is None:
        return False
    found = _generation(key, value)
    return None if found is None else found == generation


@lru_cache(GENERATIONS_REMEMBERED)
def _generation(key: bytes, value: bytes) -> int | None:
    """Return the generation of the run in a row; None when the row is damaged."""
    run = read_run(key, value)
    return None if run is None else run.generation


# What belongs to runs.


def _check_due(txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that a run is due at the time by which it is found."""
    try:
        due_us, run_id, generation = keys.split_due(key)
    except ValueError:
        yield Finding(keys.DUE.name, key, NO_SUCH_KEY)
        return
    if value:
        yield Finding(keys.DUE.name, key, NOT_EMPTY)
    try:
        due = read_due(txn, run_id, generation)
    except StoreCorrupt:
        return
    if due is None or due.due_us != due_us:
        yield Finding(keys.DUE.name, key, "The run is not due at this time.")


def _check_due_of(txn: ReadTxn, key: bytes, _: bytes) -> Iterator[Finding]:
    """Check that a run which is due lives, and is found by its time."""
    of = key[len(keys.DUE_OF.prefix) :]
    if len(of) != 24:
        yield Finding(keys.DUE_OF.name, key, NO_SUCH_KEY)
        return
    run_id, generation = RunId(of[:16]), decode_u64(of[16:])
    if is_living(txn, run_id, generation) is False:
        yield Finding(keys.DUE_OF.name, key, LEFT_OVER)
    try:
        due = read_due(txn, run_id, generation)
    except StoreCorrupt:
        yield Finding(keys.DUE_OF.name, key, DAMAGED)
        return
    if due is None:
        return
    if due.revision > txn.revision:
        yield Finding(keys.DUE_OF.name, key, "It is of a revision that the store has not reached.")
    by_time = keys.due(due.due_us, run_id, generation)
    if txn.get(by_time) is None:
        yield Finding(keys.DUE.name, by_time, MISSING)


def _check_holding(txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that what is held is held by a run that lives; how much it is, is checked on the copy."""
    of = key[len(keys.HOLDING.prefix) :]
    if len(of) != 25 or of[24] not in set(Holding):
        yield Finding(keys.HOLDING.name, key, NO_SUCH_KEY)
        return
    yield from check_counter(keys.HOLDING.name, key, value)
    if is_living(txn, RunId(of[:16]), decode_u64(of[16:24])) is False:
        yield Finding(keys.HOLDING.name, key, LEFT_OVER)


def check_counter(subspace: str, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that a row is one that a counter can have."""
    try:
        if decode_counter(value) == 0:
            yield Finding(subspace, key, "It is a counter of 0, which has no row.")
    except ValueError:
        yield Finding(subspace, key, "It is no counter.")


def _check_tombstone(txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that a tombstone is of a run that lives no more."""
    try:
        run_id, generation = keys.split_tombstone(key)
    except ValueError:
        yield Finding(keys.TOMBSTONE.name, key, NO_SUCH_KEY)
        return
    if len(value) != 8:
        yield Finding(keys.TOMBSTONE.name, key, "It has no time.")
    if is_living(txn, run_id, generation):
        yield Finding(keys.TOMBSTONE.name, key, "Its run lives.")


# Answers.


def _check_request(txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that an answer can be read, and is found by its time."""
    try:
        caller, rest = split_string(key[len(keys.REQUEST.prefix) :])
        request_id, rest = split_string(rest)
        names = caller.decode(), request_id.decode()
    except ValueError:
        yield Finding(keys.REQUEST.name, key, NO_SUCH_KEY)
        return
    if rest:
        yield Finding(keys.REQUEST.name, key, NO_SUCH_KEY)
        return
    try:
        answer = decode_answer(key, value)
    except StoreCorrupt:
        yield Finding(keys.REQUEST.name, key, DAMAGED)
        return
    by_time = keys.request_by_time(answer.answer_us, *names)
    if txn.get(by_time) is None:
        yield Finding(keys.REQUEST_BY_TIME.name, by_time, MISSING)


def _check_request_by_time(txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that an answer was given at the time by which it is found."""
    try:
        answer_us, caller, request_id = keys.split_request_by_time(key)
    except ValueError:
        yield Finding(keys.REQUEST_BY_TIME.name, key, NO_SUCH_KEY)
        return
    if value:
        yield Finding(keys.REQUEST_BY_TIME.name, key, NOT_EMPTY)
    request = keys.request(caller, request_id)
    found = txn.get(request)
    try:
        is_named = found is not None and decode_answer(request, found).answer_us == answer_us
    except StoreCorrupt:
        return
    if not is_named:
        yield Finding(keys.REQUEST_BY_TIME.name, key, "No request was answered at this time under this id.")


# Templates.


def _check_template(_: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that a template can be read."""
    try:
        insight_keys.split_template(key)
    except ValueError:
        yield Finding(keys.TEMPLATE.name, key, NO_SUCH_KEY)
        return
    try:
        decode_template(key, value)
    except StoreCorrupt:
        yield Finding(keys.TEMPLATE.name, key, DAMAGED)


# Single rows.


def _check_presence(txn: ReadTxn) -> Iterator[Finding]:
    """Check that what every store has is there: its header and the default run."""
    for subspace, key in ((keys.HEADER, keys.STORE_HEADER), (keys.RUN, keys.run(DEFAULT_RUN_ID))):
        if txn.get(key) is None:
            yield Finding(subspace.name, key, MISSING)


def _check_header(txn: ReadTxn, key: bytes, _: bytes) -> Iterator[Finding]:
    """Check that the header can be read."""
    if key != keys.STORE_HEADER:
        yield Finding(keys.HEADER.name, key, NO_SUCH_KEY)
        return
    try:
        read_header(txn)
    except StoreCorrupt:
        yield Finding(keys.HEADER.name, key, DAMAGED)


def _check_message(
    _: ReadTxn, key: bytes, value: bytes, *, subspace: Subspace, message: type[Message]
) -> Iterator[Finding]:
    """Check that the only row of a subspace can be read."""
    if key != subspace.prefix:
        yield Finding(subspace.name, key, NO_SUCH_KEY)
        return
    try:
        message.FromString(records.unseal(key, value))
    except (StoreCorrupt, DecodeError):
        yield Finding(subspace.name, key, DAMAGED)


def _check_migration(txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
    """Check that no migration is left half-done: a later one would go on from there."""
    damage = list(_check_message(txn, key, value, subspace=keys.MIGRATION, message=pb.Migration))
    yield from damage or [
        Finding(keys.MIGRATION.name, key, "The store is migrated, and should have no such row.")
    ]


def _check_stranger(_: ReadTxn, key: bytes, __: bytes) -> Iterable[Finding]:
    """Find a row of no subspace."""
    return (Finding("none", key, NO_SUCH_KEY),)


def _gaps() -> Iterator[KeyRange]:
    """Yield the keys of the global namespace that are in no subspace."""
    yield KeyRange(b"\x00", keys.SUBSPACES[0].range.start)
    for before, after in pairwise(keys.SUBSPACES):
        yield KeyRange(before.range.end, after.range.start)
    yield KeyRange(keys.SUBSPACES[-1].range.end, after_namespace())


def after_namespace() -> bytes:
    """Return the first key after those of the global namespace."""
    return keys.GLOBAL_NAMESPACE[:-1] + b"\x01"


CHECKS: Final[Mapping[Subspace, Check]] = {
    keys.HEADER: _check_header,
    keys.DUE: _check_due,
    keys.DUE_OF: _check_due_of,
    keys.HOLDING: _check_holding,
    keys.REQUEST: _check_request,
    keys.REQUEST_BY_TIME: _check_request_by_time,
    keys.TOMBSTONE: _check_tombstone,
    keys.MIGRATION: _check_migration,
    keys.TEMPLATE: _check_template,
    **{
        subspace: partial(_check_message, subspace=subspace, message=message)
        for subspace, message in (
            (keys.CLOCK_TICK, pb.ClockTick),
            (keys.DEFAULT_POLICY_SWEEP, pb.DefaultPolicySweep),
            (keys.COMPACTION, pb.Compaction),
        )
    },
}
"""How each row of a subspace is checked. Records, what follows from them, histories, data are for a copy."""
