"""What follows from a run's record: index rows, counters and terms of search.

`derive` is the one place that says so. A write of a run touches derived state only by the difference between
what follows from the old record and from the new one, so that the two cannot drift apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema.changes import Change, append_change
from runindex_server.schema.run import Run
from runindex_server.schema.terms import terms_of


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from a record.

    Attributes:
        rows: Index rows, key to value.
        counters: How much the run adds to each counter.
        terms: Its terms of search.
    """

    rows: Mapping[bytes, bytes] = field(default_factory=dict)
    counters: Mapping[bytes, int] = field(default_factory=dict)
    terms: frozenset[bytes] = frozenset()


NOTHING: Final = Derived()
"""What follows from no record."""


def derive(run: Run) -> Derived:
    """Return what follows from a run's record."""
    return Derived(rows_of(run), counters_of(run), terms_of(run))


def rows_of(run: Run) -> Mapping[bytes, bytes]:
    """Return the index rows that follow from a run's record, key to value."""
    archived, ordinal = run.is_archived, run.ordinal
    listings = [
        keys.all_runs(archived=archived, ordinal=ordinal),
        keys.by_state(run.state, ordinal),
        keys.by_create_time(run.create_us, ordinal),
        *(keys.by_tag(tag, archived=archived, ordinal=ordinal) for tag in run.tags),
    ]
    if run.expire_us is not None:
        listings.append(keys.expiring(run.expire_us, ordinal))
    if run.end_us is not None and run.retention is None:
        listings.append(keys.ended(run.end_us, ordinal))
    if run.parent is not None:
        listings.append(keys.by_parent(run.parent, archived=archived, ordinal=ordinal))
    return dict.fromkeys(listings, run.run_id)


def counters_of(run: Run) -> Mapping[bytes, int]:
    """Return how much a run adds to each counter."""
    counters = {keys.state_count(run.state): 1}
    if run.parent is not None:
        counters[keys.child_count(run.parent)] = 1
    return counters


def write_run(txn: WriteTxn, old: Run | None, new: Run | None, *, revision: int) -> None:
    """Write a run's record with all that follows from it: create, change or remove it.

    Args:
        txn: The write.
        old: The run as it is; None when it is being created.
        new: The run as it shall be, with the revision in it; None when it is being removed.
        revision: The revision of this change.

    Raises:
        Overloaded: Too many changed terms wait to be merged.
    """
    if new is not None:
        put = txn.insert if old is None else txn.put
        put(keys.run(new.run_id), records.encode_run(new))
    elif old is not None:
        txn.delete(keys.run(old.run_id))
    before = NOTHING if old is None else derive(old)
    after = NOTHING if new is None else derive(new)
    for key in before.rows.keys() - after.rows.keys():
        txn.delete(key)
    for key in after.rows.keys() - before.rows.keys():
        txn.put(key, after.rows[key])
    for key in before.counters.keys() | after.counters.keys():
        delta = after.counters.get(key, 0) - before.counters.get(key, 0)
        if delta:
            txn.add(key, delta)
    if before.terms != after.terms:
        ordinal = (new or old).ordinal  # type: ignore[union-attr]  # One of them is a run.
        added, removed = after.terms - before.terms, before.terms - after.terms
        append_change(txn, Change(revision, ordinal, added, removed))


def touch_run(txn: WriteTxn, run: Run) -> None:
    """Write a run's record with another activity time, from which nothing follows."""
    txn.put(keys.run(run.run_id), records.encode_run(run))
