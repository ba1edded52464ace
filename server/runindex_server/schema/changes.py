"""The pending list: what writes changed in the term index, until it is merged into the postings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from runindex_server import limits
from runindex_server.errors import Overloaded
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.encoding import decode_u64

PendingTerms: TypeAlias = pb.PendingTerms


@dataclass(frozen=True, slots=True)
class Change:
    """What one write changed.

    Attributes:
        revision: Of the write; the order in which changes apply.
        ordinal: The run.
        added: Terms that it has from then on, and perhaps had before.
        removed: Terms that it has lost.
    """

    revision: int
    ordinal: int
    added: frozenset[bytes]
    removed: frozenset[bytes]


def merged_through(txn: ReadTxn | WriteTxn) -> int:
    """Return the revision through which all changes are in the postings; those after it may be pending."""
    row = txn.get(keys.MERGED_THROUGH)
    return 0 if row is None else decode_u64(row)


def append_change(txn: WriteTxn, change: Change) -> None:
    """Append a change to the pending list.

    Raises:
        Overloaded: Too many changes wait to be merged.
    """
    if txn.get_counter(keys.PENDING_TERMS_COUNT) >= limits.PENDING_ROWS_MAX:
        raise Overloaded("the merge of the search index")
    pending = pb.PendingTerms(ordinal=change.ordinal, added=change.added, removed=change.removed)
    key = keys.pending_terms(change.revision)
    txn.put(key, records.seal(key, pending.SerializeToString()))
    txn.add(keys.PENDING_TERMS_COUNT, 1)


def remove_changes(txn: WriteTxn, revisions: Sequence[int]) -> None:
    """Remove changes that are in the postings; each must be in the list."""
    for revision in revisions:
        txn.delete(keys.pending_terms(revision))
    txn.add(keys.PENDING_TERMS_COUNT, -len(revisions))


def read_changes(txn: ReadTxn, *, after: int, through: int) -> Iterator[Change]:
    """Yield the pending changes of the revisions in `(after, through]`, oldest first.

    Raises:
        StoreCorrupt: A row is not what was written.
    """
    for revision, pending in read_pending_terms(txn, after=after, through=through):
        yield Change(revision, pending.ordinal, frozenset(pending.added), frozenset(pending.removed))


def read_pending_terms(txn: ReadTxn, *, after: int, through: int) -> Iterator[tuple[int, PendingTerms]]:
    """Yield the same as it is stored, each with its revision, for who looks at each term once.

    Raises:
        StoreCorrupt: A row is not what was written.
    """
    start, end = keys.pending_terms_range(after=after, through=through)
    for key, value in txn.scan(start, end):
        yield keys.revision_of(key), records.read_message(pb.PendingTerms, key, value, what="changed terms")
