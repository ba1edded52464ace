"""The overlay: pending changes in memory, laid over a snapshot's postings so that searches see all writes.

It is kept in segments of consecutive revisions. A snapshot that is merged through M and has the revision R
finds in the segments that cover `(M, R]` all that its postings lack. What it finds of the revisions up to M
besides is in the postings already; as the last change of a run and term decides, laying that over them again
does nothing. A segment that is merged as a whole is dropped, and nothing of it is read again.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Final, NamedTuple

from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.schema.changes import Change, merged_through, read_changes
from runindex_server.search import effort
from runindex_server.search.effort import Effort, TooMuchWork
from runindex_server.search.postings import split_ordinal

SEGMENT_CHANGES_MAX: Final = 256
"""Changes of a segment. With more, merged ones are kept longer; with fewer, a search asks more segments."""

HELD_BYTES_MAX: Final = 32 * 1024 * 1024
"""Memory for what is kept: as many changes as may be pending, when they are of usual runs. What is pending
beyond, each search reads for itself."""

TERM_BYTES: Final = 300
"""What a term takes that is new to a segment."""

ENTRY_BYTES: Final = 16
"""What a change of a term takes."""

UNSORTED_TERMS_MAX: Final = 1_024
"""Terms that are looked through one by one before it is worth while to sort them in."""


class Net(NamedTuple):
    """What changes come to in one block of a term: offsets that join its posting, and others that leave."""

    joining: BitMap
    leaving: BitMap

    def over(self, members: BitMap) -> BitMap:
        """Return a posting with the changes made."""
        return (members | self.joining) - self.leaving

    def then(self, later: "Net") -> "Net":
        """Return what these and later changes come to."""
        return Net(
            (self.joining - later.leaving) | later.joining, (self.leaving - later.joining) | later.leaving
        )


Nets = Mapping[int, Net]
"""By block. They are shared: nobody changes them."""

NO_NETS: Final[Nets] = {}


class _Entry(NamedTuple):
    """That a run got or lost a term, at a revision."""

    revision: int
    ordinal: int
    is_added: bool


class _Segment:
    """The changes of the revisions in `(after, through]`, by term. It only grows, while threads read it."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.through = after
        self.change_count = 0
        self.held_bytes = 0
        self._entries: dict[bytes, list[_Entry]] = {}
        self._nets: dict[bytes, tuple[int, Nets]] = {}
        self._sorted_terms: list[bytes] = []

    def add(self, change: Change) -> None:
        """Add the change of a later revision."""
        for terms, is_added in ((change.added, True), (change.removed, False)):
            entry = _Entry(change.revision, change.ordinal, is_added)
            for term in terms:
                entries = self._entries.get(term)
                if entries is None:
                    self._entries[term] = [entry]
                    self.held_bytes += TERM_BYTES
                else:
                    entries.append(entry)
            self.held_bytes += ENTRY_BYTES * len(terms)
        self.change_count += 1
        self.through = change.revision

    def nets(self, term: bytes, revision: int) -> Nets:
        """Return what the changes of a term up to a revision come to."""
        entries = self._entries.get(term)
        if entries is None:
            return NO_NETS
        end = len(entries)
        while end and entries[end - 1].revision > revision:
            end -= 1
        known, nets = self._nets.get(term, (0, NO_NETS))
        if known > end:
            # The snapshot is older than one that was here before.
            return _nets_of(entries[:end])
        if known < end:
            nets = _then(nets, _nets_of(entries[known:end]))
            self._nets[term] = end, nets
        return nets

    def terms_in(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """Yield the terms in `[start, end)` of which anything changed."""
        in_order = self._sorted_terms
        added = list(self._entries)[len(in_order) :]
        if len(added) > UNSORTED_TERMS_MAX:
            self._sorted_terms = in_order = sorted(in_order + added)
            added = []
        yield from in_order[bisect_left(in_order, start) : bisect_left(in_order, end)]
        yield from (term for term in added if start <= term < end)


class _Unread:
    """The changes of the revisions in `(after, through]` of one snapshot, read again for each question."""

    def __init__(self, txn: ReadTxn, after: int, through: int, work: Effort) -> None:
        self._txn = txn
        self._after = after
        self._through = through
        self._work = work

    def nets(self, term: bytes) -> Nets:
        """Return what the changes of a term come to."""
        return _nets_of(
            [
                _Entry(change.revision, change.ordinal, term in change.added)
                for change in self._changes()
                if term in change.added or term in change.removed
            ]
        )

    def terms_in(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """Yield the terms in `[start, end)` of which anything changed."""
        for change in self._changes():
            yield from (term for term in change.added | change.removed if start <= term < end)

    def _changes(self) -> Iterator[Change]:
        for change in read_changes(self._txn, after=self._after, through=self._through):
            self._work.spend(effort.CHANGE)
            yield change


class OverlayView:
    """The overlay as one snapshot sees it.

    Attributes:
        merged: The revision through which all is in the snapshot's postings.
    """

    def __init__(
        self, segments: Sequence[_Segment], unread: _Unread | None, *, merged: int, revision: int
    ) -> None:
        """Take what is kept, what is not, which comes after it, and the snapshot's two revisions."""
        self.merged = merged
        self._segments = segments
        self._unread = unread
        self._revision = revision

    def nets(self, term: bytes) -> Nets:
        """Return what is pending of a term, by block.

        Raises:
            StoreCorrupt: A row of the pending list is not what was written.
            TooMuchWork: It takes too long to find out.
        """
        nets = NO_NETS
        for segment in self._segments:
            later = segment.nets(term, self._revision)
            if later:
                nets = _then(nets, later)
        return nets if self._unread is None else _then(nets, self._unread.nets(term))

    def terms_in(self, start: bytes, end: bytes) -> set[bytes]:
        """Return the terms in `[start, end)` of which anything changed, and perhaps more.

        Raises:
            StoreCorrupt, TooMuchWork: As `nets`.
        """
        parts = [segment.terms_in(start, end) for segment in self._segments]
        if self._unread is not None:
            parts.append(self._unread.terms_in(start, end))
        return set().union(*parts)


class Overlay:
    """The pending changes of one store, kept between searches and extended by what is new. Thread-safe."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._segments: tuple[_Segment, ...] = (_Segment(0),)
        self._lock = Lock()

    def view(self, txn: ReadTxn, work: Effort) -> OverlayView:
        """Return what is pending in a snapshot.

        Raises:
            StoreCorrupt: A row of the pending list is not what was written.
            TooMuchWork: Too much is new, or a thread is reading it just now.
        """
        merged, revision = merged_through(txn), txn.revision
        segments = self._segments
        if not _are_of(segments, merged, revision):
            segments = self._advanced(txn, merged, revision, work)
        # A snapshot that is older than all that is kept reads for itself.
        through = segments[-1].through if segments else merged
        unread = None if through >= revision else _Unread(txn, through, revision, work)
        return OverlayView(segments, unread, merged=merged, revision=revision)

    def _advanced(self, txn: ReadTxn, merged: int, revision: int, work: Effort) -> tuple[_Segment, ...]:
        """Drop what is merged, add what is new, and return what is kept; nothing when all of it is newer."""
        # Where little work may be done, nobody is waited for either.
        if not self._lock.acquire(blocking=work.is_unbounded):
            raise TooMuchWork
        try:
            if merged < self._segments[0].after:
                return ()
            kept = [segment for segment in self._segments if segment.through > merged]
            self._segments = tuple(kept) or (_Segment(merged),)
            self._extend(txn, revision, work)
            return self._segments
        finally:
            self._lock.release()

    def _extend(self, txn: ReadTxn, revision: int, work: Effort) -> None:
        """Add what is new up to a revision, as far as there is room."""
        last = self._segments[-1]
        room_bytes = HELD_BYTES_MAX - sum(segment.held_bytes for segment in self._segments)
        for change in read_changes(txn, after=last.through, through=revision):
            if room_bytes < 0:
                return
            work.spend(effort.CHANGE)
            if last.change_count >= SEGMENT_CHANGES_MAX:
                last = _Segment(last.through)
                self._segments = (*self._segments, last)
            held_bytes = last.held_bytes
            last.add(change)
            room_bytes -= last.held_bytes - held_bytes
        last.through = max(last.through, revision)


def _are_of(segments: Sequence[_Segment], merged: int, revision: int) -> bool:
    """Tell whether segments are all that a snapshot needs, and none of them more than it needs."""
    first = segments[0]
    is_spent = first.through <= merged and first.change_count > 0
    return first.after <= merged and revision <= segments[-1].through and not is_spent


def _nets_of(entries: Sequence[_Entry]) -> Nets:
    """Return what changes of one term come to."""
    last = {entry.ordinal: entry.is_added for entry in entries}
    nets: dict[int, Net] = {}
    for ordinal, is_added in last.items():
        block, offset = split_ordinal(ordinal)
        if block not in nets:
            nets[block] = Net(BitMap(), BitMap())
        (nets[block].joining if is_added else nets[block].leaving).add(offset)
    return nets


def _then(nets: Nets, later: Nets) -> Nets:
    """Return what changes and later ones come to."""
    if not nets or not later:
        return nets or later
    both = {block: nets[block].then(net) if block in nets else net for block, net in later.items()}
    return {**nets, **both}
