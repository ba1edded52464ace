"""The overlay: pending changes in memory, laid over a snapshot's postings so that searches see all writes."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from threading import Lock
from typing import Final

from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.schema.changes import Change, merged_through, read_changes
from runindex_server.search.postings import split_ordinal

SPENT_CHANGES_MAX: Final = 1_024
"""Merged changes that are kept before it is worth while to drop them."""


class _ChangeLog:
    """The changes of the revisions in `(after, through]`, by term and block. It only grows.

    A snapshot that is merged through M and has the revision R, `after <= M <= R <= through`, finds in it all
    that its postings lack. What it finds of the revisions up to M besides is in the postings already; as the
    last change of a run and term decides, laying that over them again does nothing.
    """

    def __init__(self, after: int) -> None:
        self.after = after
        self.through = after
        self._revisions: list[int] = []
        self._changes: dict[tuple[bytes, int], list[Change]] = {}
        self._blocks: set[int] = set()
        self._terms: list[bytes] = []
        self._are_terms_sorted = True
        self._lock = Lock()

    def extend(self, changes: Sequence[Change], *, through: int) -> None:
        """Add the changes of the revisions in `(self.through, through]`."""
        with self._lock:
            for change in changes:
                self._add(change)
            self.through = through

    def _add(self, change: Change) -> None:
        block, _ = split_ordinal(change.ordinal)
        self._revisions.append(change.revision)
        self._blocks.add(block)
        for term in (*change.added, *change.removed):
            if (term, block) not in self._changes:
                self._changes[term, block] = []
                self._terms.append(term)
                self._are_terms_sorted = False
            self._changes[term, block].append(change)

    def is_spent(self, merged: int) -> bool:
        """Tell whether so many of its changes are merged that it is better made anew."""
        merged_count = bisect_right(self._revisions, merged)
        return merged_count > SPENT_CHANGES_MAX and merged_count > len(self._revisions) // 2

    def changes(self, term: bytes, block: int) -> Sequence[Change]:
        """Return the changes of a term in a block, oldest first. More may be added while they are read."""
        return self._changes.get((term, block), ())

    def blocks(self) -> set[int]:
        """Return the blocks in which anything changed."""
        with self._lock:
            return set(self._blocks)

    def terms_in(self, start: bytes, end: bytes) -> list[bytes]:
        """Return the terms in `[start, end)` of which anything changed, in their order."""
        with self._lock:
            if not self._are_terms_sorted:
                self._terms.sort()
                self._are_terms_sorted = True
            found = self._terms[bisect_left(self._terms, start) : bisect_left(self._terms, end)]
            return list(dict.fromkeys(found))


class OverlayView:
    """The overlay as one snapshot sees it."""

    def __init__(self, log: _ChangeLog, revision: int) -> None:
        """Take the log, and the snapshot's revision."""
        self._log = log
        self._revision = revision

    def apply(self, offsets: BitMap, term: bytes, block: int) -> None:
        """Change a posting, as it is in the snapshot, into what it would be if all were merged."""
        for change in self._log.changes(term, block):
            if change.revision > self._revision:
                break
            _, offset = split_ordinal(change.ordinal)
            if term in change.added:
                offsets.add(offset)
            else:
                offsets.discard(offset)

    def blocks(self) -> set[int]:
        """Return the blocks in which anything changed, and perhaps more."""
        return self._log.blocks()

    def terms_in(self, start: bytes, end: bytes) -> list[bytes]:
        """Return the terms in `[start, end)` of which anything changed, in their order, and perhaps more."""
        return self._log.terms_in(start, end)


class Overlay:
    """The pending changes of one store, kept between searches and extended by what is new. Thread-safe."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._log = _ChangeLog(0)
        self._lock = Lock()

    def view(self, txn: ReadTxn) -> OverlayView:
        """Return what is pending in a snapshot.

        Raises:
            StoreCorrupt: A row of the pending list is not what was written.
        """
        merged, revision = merged_through(txn), txn.revision
        with self._lock:
            log = self._log
            # Changes that were merged before they were seen would be missing among those that are kept.
            if log.after <= merged <= log.through and not log.is_spent(merged):
                if log.through < revision:
                    _extend(log, txn, revision)
                return OverlayView(log, revision)
        log = _ChangeLog(merged)
        _extend(log, txn, revision)
        with self._lock:
            # An older snapshot than the newest seen keeps its own to itself.
            if self._log.through <= revision:
                self._log = log
        return OverlayView(log, revision)


def _extend(log: _ChangeLog, txn: ReadTxn, revision: int) -> None:
    """Extend a log to the revision of a snapshot."""
    log.extend(list(read_changes(txn, after=log.through, through=revision)), through=revision)
