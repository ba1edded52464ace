"""Expiry: deletes runs whose `delete_after` is over, several in a write."""

from dataclasses import dataclass
from typing import Final

from runindex_server.jobs.retention.compaction import CompactedRun
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import find
from runindex_server.runs.removal import remove_run
from runindex_server.schema import keys
from runindex_server.schema.derive import derive
from runindex_server.schema.due import policy_of
from runindex_server.schema.holdings import Holding, read_holdings
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import RetentionPolicy, Run, RunId

RUNS_MAX: Final = 10
"""Runs of one write: each is some 20 rows, the list of its terms, and the work of telling them."""

WRITE_BYTES_MAX: Final = 256 * 1024
"""What runs of one write come to, their terms included; a single run may be more."""

_ROW_BYTES: Final = 64
"""About what an index row is."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Runs that one write can delete.

    Attributes:
        pieces: What goes, in the order of the listing.
        resume: From where in the listing to look next; None at its end.
    """

    pieces: tuple[CompactedRun, ...]
    resume: bytes | None


def expiry_listings(default_policy: RetentionPolicy, *, now_us: int) -> list[KeyRange]:
    """Return the listings of the runs that have expired: by a policy of their own, and by the default."""
    listings = [keys.expiring_through_range(now_us)]
    if default_policy.delete_after_us is not None:
        listings.append(keys.ended_through_range(now_us - default_policy.delete_after_us))
    return listings


def find_expired(txn: ReadTxn, listing: KeyRange, *, now_us: int, default_policy: RetentionPolicy) -> Expired:
    """Return the first runs of a listing that have expired, as many as go into one write. Read-only.

    Raises:
        StoreCorrupt: A record is damaged.
    """
    pieces: list[CompactedRun] = []
    write_bytes = 0
    for key, value in txn.scan(*listing):
        run_id = RunId(value)
        run = _expired(txn, run_id, now_us=now_us, default_policy=default_policy)
        if run is None:
            continue
        derived = derive(run)
        size = _ROW_BYTES * len(derived.rows) + sum(map(len, derived.terms))
        if pieces and (len(pieces) == RUNS_MAX or write_bytes + size > WRITE_BYTES_MAX):
            return Expired(tuple(pieces), resume=key)
        write_bytes += size
        held_bytes = read_holdings(txn, run)[Holding.BYTES]
        pieces.append(_piece(run, default_policy, held_bytes, revision=txn.revision))
    return Expired(tuple(pieces), resume=None)


def remove_expired(
    txn: WriteTxn, expired: Expired, *, now_us: int, default_policy: RetentionPolicy
) -> list[CompactedRun]:
    """Delete runs that have expired, and return what went. Those that have changed since are looked at again.

    Raises:
        Overloaded: As `remove_run`; nothing was deleted.
        StoreCorrupt: A record is damaged.
    """
    removed = []
    for piece in expired.pieces:
        run = _expired(txn, piece.run_id, now_us=now_us, default_policy=default_policy)
        if run is not None:
            revision = txn.next_revision()
            receipt = remove_run(txn, run, revision=revision)
            removed.append(_piece(run, default_policy, receipt.bytes, revision=revision))
    return removed


def _expired(
    txn: ReadTxn | WriteTxn, run_id: RunId, *, now_us: int, default_policy: RetentionPolicy
) -> Run | None:
    """Return a run whose time is over; None for any other, and for none."""
    run = find(txn, run_id)
    if run is None:
        return None
    delete_after_us = policy_of(run, default_policy).delete_after_us
    is_over = (
        run.end_us is not None
        and delete_after_us is not None
        and run.end_us + delete_after_us <= now_us
        and not run.is_default
    )
    return run if is_over else None


def _piece(run: Run, default_policy: RetentionPolicy, held_bytes: int, *, revision: int) -> CompactedRun:
    """Return what is told of a run that goes."""
    return CompactedRun(
        run_id=run.run_id,
        policy=policy_of(run, default_policy),
        is_default_policy=run.retention is None,
        run_deleted=True,
        bytes=held_bytes,
        end_us=run.end_us,
        revision=revision,
    )
