"""Merge: folds what writes changed in the term index into the postings, in bounded steps.

A step takes the oldest pending changes and folds them in one write, which also removes their rows and moves
`merged_through` on to the last of them. A change of very many terms is folded by itself, in several writes,
the last of which removes its row. So what is pending is always whole rows.

Each write looks again whether `merged_through` stands where it stood when the changes were read. Rows go only
as it moves past them, so then they are all still there, and nothing behind them was folded; otherwise another
step has done the work, and the write does nothing. To fold a part twice is to fold it once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.changes import Change, merged_through, read_changes, remove_changes
from runindex_server.schema.encoding import encode_u64
from runindex_server.search.postings import decode_posting, encode_posting, split_ordinal

CHANGES_MAX: Final = 256
"""Pending changes of one step."""

POSTINGS_MAX: Final = 512
"""Postings of one write. Folding so many holds up other writers by milliseconds."""

WRITE_BYTES_MAX: Final = 1024 * 1024
"""Keys and postings of one write: half of what a write may be."""

ROW_BYTES_MAX: Final = 8_400
"""A posting as large as can be, 8 KiB, in its frame, and its key."""

LAG_MAX: Final = 1_024
"""Revisions after which `merged_through` moves on though none of them changed a term, so that a search looks
over few revisions for what is pending."""

_Postings: TypeAlias = dict[bytes, dict[int, bool]]
"""By the key of a posting: the offsets that change, and whether they are in it from then on."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """The oldest pending changes.

    Attributes:
        merged: `merged_through` when they were read.
        through: `merged_through` when they are folded.
        revisions: Theirs.
        parts: What they come to, by the write that it goes into: one, or several for a single change.
    """

    merged: int
    through: int
    revisions: tuple[int, ...]
    parts: tuple[_Postings, ...]


async def merge_step(store: Store) -> bool:
    """Fold the oldest pending changes.

    Returns:
        Whether there was anything to do.
    """
    batch = await store.read(_next_batch, offload=True)
    if batch is None:
        return False
    *parts, last = batch.parts
    for part in parts:
        await store.write(partial(_fold, batch=batch, part=part))
    await store.write(partial(_fold, batch=batch, part=last, is_last=True))
    return True


def _next_batch(txn: ReadTxn) -> _Batch | None:
    """Return the oldest pending changes that fit into one write, or the oldest alone; None for none."""
    merged, through = merged_through(txn), txn.revision
    revisions: list[int] = []
    postings: _Postings = {}
    write_bytes = 0
    for change in read_changes(txn, after=merged, through=through):
        changed = _changed_postings(change)
        new = changed.keys() - postings.keys()
        with_new_bytes = write_bytes + sum(_row_bytes(txn, key) for key in new)
        is_full = len(revisions) == CHANGES_MAX or _is_too_much(len(postings) + len(new), with_new_bytes)
        if revisions and is_full:
            through = revisions[-1]
            break
        revisions.append(change.revision)
        write_bytes = with_new_bytes
        for key, offsets in changed.items():
            postings.setdefault(key, {}).update(offsets)
    if not revisions and through - merged < LAG_MAX:
        return None
    # Only a change that stands alone can be too much.
    parts = tuple(_split(postings)) if _is_too_much(len(postings), write_bytes) else (postings,)
    return _Batch(merged, through, tuple(revisions), parts)


def _is_too_much(posting_count: int, write_bytes: int) -> bool:
    """Tell whether so much does not go into one write."""
    return posting_count > POSTINGS_MAX or write_bytes > WRITE_BYTES_MAX


def _split(postings: _Postings) -> Iterator[_Postings]:
    """Yield postings in parts that fit into a write, however large each of them is."""
    items = list(postings.items())
    size = WRITE_BYTES_MAX // ROW_BYTES_MAX
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])


def _row_bytes(txn: ReadTxn, key: bytes) -> int:
    """Return what a posting and its key come to at most: 4 bytes more for each run that joins or leaves."""
    value = txn.get(key) or b""
    return min(len(key) + len(value) + 4 * CHANGES_MAX + 64, ROW_BYTES_MAX)


def _changed_postings(change: Change) -> _Postings:
    """Return what a change comes to."""
    block, offset = split_ordinal(change.ordinal)
    return {
        **{keys.posting(term, block): {offset: False} for term in change.removed},
        **{keys.posting(term, block): {offset: True} for term in change.added},
    }


def _fold(txn: WriteTxn, *, batch: _Batch, part: _Postings, is_last: bool = False) -> None:
    """Fold a part of a batch into the postings, and with the last part end the batch."""
    if merged_through(txn) != batch.merged:
        return
    for key, offsets in part.items():
        members = decode_posting(key, txn.get(key))
        for offset, is_member in offsets.items():
            if is_member:
                members.add(offset)
            else:
                members.discard(offset)
        if members:
            txn.put(key, encode_posting(key, members))
        else:
            txn.delete(key)
    if is_last:
        remove_changes(txn, batch.revisions)
        txn.put(keys.MERGED_THROUGH, encode_u64(batch.through))
