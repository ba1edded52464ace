"""Merge: folds what writes changed in the term index into the postings, in bounded steps.

A step reads the oldest pending changes with the postings that they change, and works out what becomes of
those. One write then puts them, removes the rows of the changes, and moves `merged_through` on to the last of
them. So other writers wait for the putting alone. A change of very many terms is folded by itself, in several
writes, the last of which removes its row. So what is pending is always whole rows.

Each write looks whether `merged_through` stands where it stood when the changes were read, and otherwise does
nothing. That is enough to put blindly what was worked out. Only merges write postings, and each of their
writes moves `merged_through`, but for the parts of a change that is folded by itself. That is the oldest one,
with which every step begins that is under way meanwhile. So a posting is as it was read, or has had the
oldest change folded in besides, to which the step comes as well: to fold a change twice is to fold it once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, TypeAlias

from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.changes import (
    PendingTerms,
    merged_through,
    read_pending_terms,
    remove_changes,
)
from runindex_server.schema.encoding import encode_u64
from runindex_server.search.postings import decode_posting, encode_posting, encode_single, split_ordinal

CHANGES_MAX: Final = 1_024
"""Pending changes of one step. Most of their terms they share, so that so many cost a third a change of what
64 do; with more, little is won."""

POSTINGS_MAX: Final = 8_192
"""Postings of one write. To put so many holds up other writers by some 40 ms, which only happens when merging
is behind."""

WRITE_BYTES_MAX: Final = 1280 * 1024
"""Keys and postings of one write: what a write may be, less a third."""

ROW_BYTES_MAX: Final = 8_400
"""A posting as large as can be, 8 KiB, in its frame, and its key."""

NEW_ROW_BYTES: Final = 48
"""What the frame and the head of a bitmap add to a key, at most."""

OFFSET_BYTES: Final = 4
"""What a run that joins a posting or leaves it adds to the bitmap, at most."""

LAG_MAX: Final = 1_024
"""Revisions after which `merged_through` moves on though none of them changed a term, so that a search looks
over few revisions for what is pending."""

_Row: TypeAlias = tuple[bytes, bytes | None]
"""The key of a posting, and its row from then on; None for none."""

_Posting: TypeAlias = tuple[bytes | None, list[int]]
"""The row of a posting as it is, and the offsets that change, in the order of the changes: for a run that
joins the offset, for one that leaves its complement, which is negative."""


class Step(Enum):
    """What a step of merging came to."""

    IDLE = "there was nothing to do"
    CAUGHT_UP = "all that was pending when it began is folded"
    BEHIND = "more was pending than one step takes"


@dataclass(frozen=True, slots=True)
class _Batch:
    """The oldest pending changes, and what they come to.

    Attributes:
        merged: `merged_through` when they were read.
        through: `merged_through` when they are folded.
        revisions: Theirs.
        parts: The postings, by the write into which they go: one, or several for a single change.
        is_last: Whether these are all that were pending.
    """

    merged: int
    through: int
    revisions: tuple[int, ...]
    parts: tuple[list[_Row], ...]
    is_last: bool


async def merge_step(store: Store) -> bool:
    """Fold the oldest pending changes.

    Returns:
        Whether there was anything to do.
    """
    return await take_step(store) is not Step.IDLE


async def take_step(store: Store) -> Step:
    """Fold the oldest pending changes, and tell how far that came."""
    batch = await store.read(_next_batch, offload=True)
    if batch is None:
        return Step.IDLE
    *parts, last = batch.parts
    for part in parts:
        await store.write(partial(_put, batch=batch, part=part))
    await store.write(partial(_put, batch=batch, part=last, is_last=True))
    return Step.CAUGHT_UP if batch.is_last else Step.BEHIND


def _next_batch(txn: ReadTxn) -> _Batch | None:
    """Return the oldest pending changes that fit into one write, or the oldest alone; None for none."""
    merged, through = merged_through(txn), txn.revision
    folding = _Folding(txn)
    revisions: list[int] = []
    is_last = True
    for revision, change in read_pending_terms(txn, after=merged, through=through):
        folding.add(change)
        if revisions and (len(revisions) == CHANGES_MAX or folding.is_too_much()):
            folding.take_back(change)
            through, is_last = revisions[-1], False
            break
        revisions.append(revision)
    if not revisions and through - merged < LAG_MAX:
        return None
    rows = folding.rows()
    parts = tuple(_split(rows)) if len(revisions) == 1 else (rows,)
    return _Batch(merged, through, tuple(revisions), parts, is_last)


class _Folding:
    """Changes that are folded together, with the postings that they change."""

    def __init__(self, txn: ReadTxn) -> None:
        """Begin without a change, on the snapshot to which they belong."""
        self._txn = txn
        self._blocks: dict[int, _Block] = {}
        self._postings: dict[bytes, _Posting] = {}
        self._write_bytes = 0

    def add(self, change: PendingTerms) -> None:
        """Add the next change."""
        number, offset = split_ordinal(change.ordinal)
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = _Block(self, number)
        for term in change.removed:
            block[term].append(~offset)
        for term in change.added:
            block[term].append(offset)
        self._write_bytes += OFFSET_BYTES * (len(change.removed) + len(change.added))

    def take_back(self, change: PendingTerms) -> None:
        """Take the change back that was added last."""
        block = self._blocks[split_ordinal(change.ordinal)[0]]
        for term in (*change.removed, *change.added):
            block[term].pop()

    def is_too_much(self) -> bool:
        """Tell whether all this does not go into one write."""
        return len(self._postings) > POSTINGS_MAX or self._write_bytes > WRITE_BYTES_MAX

    def read(self, term: bytes, block: int) -> list[int]:
        """Read a posting that has not changed so far; return the list to which its offsets are added."""
        key = keys.posting(term, block)
        value = self._txn.get(key)
        self._write_bytes += min(len(key) + len(value or b"") + NEW_ROW_BYTES, ROW_BYTES_MAX)
        offsets: list[int] = []
        self._postings[key] = (value, offsets)
        return offsets

    def rows(self) -> list[_Row]:
        """Return what becomes of the postings, in the order of their keys. Ends this."""
        # The blocks refer to this: so what was read goes at once, and not with the next collection.
        self._blocks.clear()
        rows = []
        for key in sorted(self._postings):
            value, offsets = self._postings[key]
            if offsets:
                rows.append((key, _folded(key, value, offsets)))
        return rows


class _Block(dict[bytes, list[int]]):
    """The offsets that change in one block, by term. What is missing is read when it is asked for."""

    def __init__(self, folding: _Folding, number: int) -> None:
        super().__init__()
        self._folding = folding
        self._number = number

    def __missing__(self, term: bytes) -> list[int]:
        offsets = self[term] = self._folding.read(term, self._number)
        return offsets


def _folded(key: bytes, value: bytes | None, offsets: list[int]) -> bytes | None:
    """Return the row of a posting after some changes, as `_Posting` has them; None when it is empty."""
    # Most terms that are new are of one run.
    if value is None and len(offsets) == 1 and offsets[0] >= 0:
        return encode_single(key, offsets[0])
    members = decode_posting(key, value)
    if min(offsets) >= 0:
        members.update(offsets)
    else:
        # The last change of a run decides.
        is_member = {max(offset, ~offset): offset >= 0 for offset in offsets}
        members.update([offset for offset, joins in is_member.items() if joins])
        members -= BitMap([offset for offset, joins in is_member.items() if not joins])
    return encode_posting(key, members) if members else None


def _split(rows: list[_Row]) -> Iterator[list[_Row]]:
    """Yield rows in parts that fit into a write; at least one."""
    part: list[_Row] = []
    part_bytes = 0
    for key, value in rows:
        row_bytes = len(key) + len(value or b"")
        if part and (len(part) == POSTINGS_MAX or part_bytes + row_bytes > WRITE_BYTES_MAX):
            yield part
            part, part_bytes = [], 0
        part.append((key, value))
        part_bytes += row_bytes
    yield part


def _put(txn: WriteTxn, *, batch: _Batch, part: list[_Row], is_last: bool = False) -> None:
    """Put a part of a batch, and with the last part end the batch."""
    if merged_through(txn) != batch.merged:
        return
    for key, value in part:
        if value is None:
            txn.delete(key)
        else:
            txn.put(key, value)
    if is_last:
        remove_changes(txn, batch.revisions)
        txn.put(keys.MERGED_THROUGH, encode_u64(batch.through))
