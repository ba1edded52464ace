"""What follows from a run's record: index rows, counters and terms of search.

`derive` is the one place that says so. A write of a run touches derived state only by the difference between
what follows from the old record and from the new one, so that the two cannot drift apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from runindex_server.kv.api import WriteTxn
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema.changes import Change, append_change
from runindex_server.schema.counters import counter_changes, counters_of
from runindex_server.schema.error_text import error_digest
from runindex_server.schema.history import write_transition
from runindex_server.schema.keys import Subspace
from runindex_server.schema.run import Run
from runindex_server.schema.terms import terms_changed, terms_of


class _Listing(NamedTuple):
    """Rows of an index, and what of a record they follow from.

    Attributes:
        subspace: Theirs.
        fields: What they follow from, beside the ordinal, which a run keeps. Where it is equal, they are.
        keys: Their keys. The value of each is the run's id.
    """

    subspace: Subspace
    fields: Callable[[Run], object]
    keys: Callable[[Run], Sequence[bytes]]


LISTINGS: Final = (
    _Listing(
        keys.ALL_RUNS,
        lambda run: run.is_archived,
        lambda run: (keys.all_runs(archived=run.is_archived, ordinal=run.ordinal),),
    ),
    _Listing(keys.BY_STATE, lambda run: run.state, lambda run: (keys.by_state(run.state, run.ordinal),)),
    _Listing(
        keys.BY_CREATE_TIME,
        lambda run: run.create_us,
        # Create times and ordinals grow together in it, as search relies on: those of imported runs do not.
        lambda run: () if run.is_imported else (keys.by_create_time(run.create_us, run.ordinal),),
    ),
    _Listing(
        keys.BY_TAG,
        lambda run: (run.tags, run.is_archived),
        lambda run: [keys.by_tag(tag, archived=run.is_archived, ordinal=run.ordinal) for tag in run.tags],
    ),
    _Listing(
        keys.BY_PARENT,
        lambda run: (run.parent, run.is_archived),
        lambda run: (
            ()
            if run.parent is None
            else (keys.by_parent(run.parent, archived=run.is_archived, ordinal=run.ordinal),)
        ),
    ),
    _Listing(
        keys.EXPIRING,
        lambda run: run.expire_us,
        lambda run: () if run.expire_us is None else (keys.expiring(run.expire_us, run.ordinal),),
    ),
    _Listing(
        keys.ENDED,
        lambda run: (run.end_us, run.retention is None),
        lambda run: (
            () if run.end_us is None or run.retention is not None else (keys.ended(run.end_us, run.ordinal),)
        ),
    ),
    _Listing(
        keys.STALE,
        lambda run: (run.state, run.activity_us),
        lambda run: (
            ()
            if run.end_us is not None or run.is_default
            else (insight_keys.stale(run.state, run.activity_us, run.ordinal),)
        ),
    ),
    _Listing(
        keys.BY_ERROR,
        lambda run: (run.error, run.is_archived),
        lambda run: (
            ()
            if run.error is None
            else (
                insight_keys.by_error(error_digest(run.error), archived=run.is_archived, ordinal=run.ordinal),
            )
        ),
    ),
)
"""Every index of runs."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from a record.

    Attributes:
        rows: Index rows, key to value.
        counters: How much the run adds to each counter.
        terms: Its terms of search.
    """

    rows: Mapping[bytes, bytes]
    counters: Mapping[bytes, int]
    terms: frozenset[bytes]


def derive(run: Run) -> Derived:
    """Return what follows from a run's record."""
    return Derived(rows_of(run), counters_of(run), terms_of(run))


def rows_of(run: Run) -> Mapping[bytes, bytes]:
    """Return the index rows that follow from a run's record, key to value."""
    return {key: run.run_id for listing in LISTINGS for key in listing.keys(run)}


def write_run(txn: WriteTxn, old: Run | None, new: Run | None, *, revision: int, actor: str = "") -> None:
    """Write a run's record with all that follows from it: create, change or remove it.

    Args:
        txn: The write.
        old: The run as it is; None when it is being created.
        new: The run as it shall be, with the revision in it; None when it is being removed.
        revision: The revision of this change.
        actor: Who makes it, for the run's history; empty when callers are not told apart.

    Raises:
        Overloaded: Too many changed terms wait to be merged.
    """
    if new is not None:
        put = txn.insert if old is None else txn.put
        put(keys.run(new.run_id), records.encode_run(new))
    elif old is not None:
        txn.delete(keys.run(old.run_id))
    _write_rows(txn, old, new)
    txn.add_many(counter_changes(old, new))
    if old is not None and new is not None and old.state is not new.state:
        write_transition(txn, new, from_state=old.state, actor=actor)
    _write_terms(txn, old, new, revision)


def _write_rows(txn: WriteTxn, old: Run | None, new: Run | None) -> None:
    run_id = (new or old).run_id  # type: ignore[union-attr]  # One of them is a run.
    for listing in LISTINGS:
        if old is not None and new is not None and listing.fields(old) == listing.fields(new):
            continue
        before = frozenset(() if old is None else listing.keys(old))
        after = frozenset(() if new is None else listing.keys(new))
        for key in before - after:
            txn.delete(key)
        for key in after - before:
            txn.put(key, run_id)


def _write_terms(txn: WriteTxn, old: Run | None, new: Run | None, revision: int) -> None:
    if old is None or new is None:
        added = frozenset() if new is None else terms_of(new)
        removed = frozenset() if old is None else terms_of(old)
    else:
        added, removed = terms_changed(old, new)
    if added or removed:
        ordinal = (new or old).ordinal  # type: ignore[union-attr]  # One of them is a run.
        append_change(txn, Change(revision, ordinal, added, removed))


def touch_run(txn: WriteTxn, old: Run, new: Run) -> None:
    """Write a run's record with another activity time, from which no counter, term or transition follows."""
    txn.put(keys.run(new.run_id), records.encode_run(new))
    _write_rows(txn, old, new)
