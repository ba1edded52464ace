"""Where the runs of a query come from: block by block, newest first, between two bounds.

What postings cannot decide is left open: `sure` are the runs that match, `maybe` those and all that have yet
to be checked on their records. A source tells in which block to look next, so that blocks in which it has no
run are passed over; and it reads of a block no more than it takes.
"""

from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from typing import Final, Protocol, TypeAlias

from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, terms
from runindex_server.schema.encoding import encode_u32
from runindex_server.search import effort
from runindex_server.search.decoded import DecodedPostings
from runindex_server.search.effort import Effort
from runindex_server.search.overlay import OverlayView
from runindex_server.search.postings import BLOCK_SIZE, split_ordinal

BLOCK_END: Final = 1 << 32
"""Above the number of every block."""

NO_BLOCK: Final = -1

_NONE: Final = BitMap()
_WEIGHT: Final = attrgetter("weight")


Bounds: TypeAlias = tuple[BitMap, BitMap]
"""Runs of a block, by their offsets: `(sure, maybe)`. `sure` match; all that are not in `maybe`, which holds
them, do not. Where nothing is left open, both are one object. The bitmaps are shared: nobody changes them."""

NOTHING: Final[Bounds] = (_NONE, _NONE)


class Source(Protocol):
    """Runs of one snapshot."""

    @property
    def weight(self) -> int:
        """About how many bytes it reads in the block that it was last asked for."""
        ...

    def newest(self, at_most: int) -> int:
        """Return the newest block up to one in which there may be runs; NO_BLOCK for none.

        Raises:
            TooMuchWork: It takes too long to find out.
        """
        ...

    def bounds(self, block: int) -> Bounds:
        """Return the runs of a block.

        Raises:
            StoreCorrupt: A posting is not what was written.
            TooMuchWork: As `newest`.
        """
        ...


class Postings:
    """The postings of one snapshot.

    Attributes:
        txn: The snapshot.
        overlay: What is pending in it.
        decoded: What is decoded already.
        work: What may be done.
        now_us: From when ages count, in microseconds since 1970.
        read_count: How many have been looked for.
    """

    def __init__(
        self, txn: ReadTxn, overlay: OverlayView, decoded: DecodedPostings, work: Effort, *, now_us: int
    ) -> None:
        """Take what they are made of."""
        self.txn = txn
        self.overlay = overlay
        self.decoded = decoded
        self.work = work
        self.now_us = now_us
        self.read_count = 0

    @cached_property
    def partial(self) -> "Source | None":
        """The runs that have a mark for their words, which are to be checked; None when there are none."""
        marked = self._marked(terms.PARTIAL)
        return None if marked is None else Unchecked(marked)

    @cached_property
    def imported(self) -> "Source | None":
        """The runs whose create times are in no order with their ordinals; None when there are none."""
        return self._marked(terms.IMPORTED)

    def _marked(self, term: bytes) -> "Source | None":
        """Return the runs that have a term; None when there are none, as in most stores."""
        # Where none was merged so far, one that is new is pending still.
        if self.decoded.unmarked_through.get(term) == self.overlay.merged and not self.overlay.nets(term):
            return None
        marked = Having(term, keys.posting_range(term).start, self)
        if marked.newest(BLOCK_END) != NO_BLOCK:
            return marked
        self.decoded.unmarked_through[term] = self.overlay.merged
        return None

    def get(self, key: bytes) -> bytes | None:
        """Return the row of a posting; None for none."""
        self.read_count += 1
        self.work.spend(effort.POSTING)
        return self.txn.get(key)

    def newest_below(self, start: bytes, end: bytes) -> tuple[bytes, bytes] | None:
        """Return the last row in `[start, end)`; None for none."""
        self.read_count += 1
        self.work.spend(effort.POSTING)
        return next(self.txn.scan(start, end, reverse=True, limit=1), None)


class Having:
    """Runs that have a term.

    Attributes:
        weight: The size of the posting that was read last.
    """

    def __init__(self, term: bytes, start: bytes, postings: Postings) -> None:
        """Take the term, what the keys of its postings begin with, and where they are."""
        self.weight = 0
        self._start = start
        self._postings = postings
        self._nets = postings.overlay.nets(term)
        # What was read last: a block and its row, or None for none; up to `_asked` those above it have none.
        self._block = self._asked = BLOCK_END
        self._key = start
        self._row: bytes | None = None

    def newest(self, at_most: int) -> int:
        """Return the newest block up to one in which there are runs; see `Source`."""
        if not self._block <= at_most <= self._asked:
            self._read(at_most)
        if self._row is None and self._block != NO_BLOCK:
            self._seek()
        newest = self._block
        if self._nets:
            for block, net in self._nets.items():
                if newest < block <= at_most and net.joining:
                    newest = block
        return newest

    def bounds(self, block: int) -> Bounds:
        """Return the runs of a block; see `Source`."""
        if not self._block <= block <= self._asked:
            self._read(block)
        if block == self._block and self._row is not None:
            members = self._postings.decoded.decode(self._key, self._row)
        else:
            members = _NONE
        if self._nets and block in self._nets:
            members = self._nets[block].over(members)
        return members, members

    def _read(self, block: int) -> None:
        """Read the posting of a block."""
        self._block = self._asked = block
        if block == BLOCK_END:
            self._row = None
            return
        self._key = self._start + encode_u32(block)
        self._row = self._postings.get(self._key)
        self.weight = 0 if self._row is None else len(self._row)

    def _seek(self) -> None:
        """Go down to the next block that has a posting."""
        end = self._start + (b"\xff" if self._block == BLOCK_END else encode_u32(self._block))
        found = self._postings.newest_below(self._start, end)
        if found is None:
            self._block, self.weight = NO_BLOCK, 0
        else:
            self._key, self._row = found
            self._block, self.weight = int.from_bytes(self._key[-4:], "big"), len(self._row)


class Between:
    """Ordinals in `[start, end)`, whether they are those of runs or not."""

    weight = 0

    def __init__(self, start: int, end: int) -> None:
        """Take both ends."""
        self._start = start
        self._end = end

    def newest(self, at_most: int) -> int:
        """Return the newest block of the range; see `Source`."""
        first, _ = split_ordinal(self._start)
        last, _ = split_ordinal(max(self._end - 1, 0))
        block = min(at_most, last)
        return block if first <= block and self._start < self._end else NO_BLOCK

    def bounds(self, block: int) -> Bounds:
        """Return the part of the range in a block; see `Source`."""
        offsets = offsets_between(block, self._start, self._end)
        return offsets, offsets


class Among:
    """Runs with one of some ordinals, each of which is a run's."""

    weight = 0

    def __init__(self, ordinals: Sequence[int]) -> None:
        """Take the ordinals."""
        self._offsets: dict[int, BitMap] = {}
        for ordinal in ordinals:
            block, offset = split_ordinal(ordinal)
            self._offsets.setdefault(block, BitMap()).add(offset)

    def newest(self, at_most: int) -> int:
        """Return the newest block with one of them; see `Source`."""
        return max((block for block in self._offsets if block <= at_most), default=NO_BLOCK)

    def bounds(self, block: int) -> Bounds:
        """Return those of a block; see `Source`."""
        offsets = self._offsets.get(block, _NONE)
        return offsets, offsets


class Unchecked:
    """Runs that match something wider than what is asked for, and have yet to be checked."""

    def __init__(self, wider: Source) -> None:
        """Take where they are."""
        self._wider = wider

    @property
    def weight(self) -> int:
        """As that of what is wider."""
        return self._wider.weight

    def newest(self, at_most: int) -> int:
        """Return the newest block; see `Source`."""
        return self._wider.newest(at_most)

    def bounds(self, block: int) -> Bounds:
        """Return the runs of a block; see `Source`."""
        _, maybe = self._wider.bounds(block)
        return _NONE, maybe


class Either:
    """Runs of one of some sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Take the sources, of which there may be none."""
        self._sources = sources

    @property
    def weight(self) -> int:
        """That of all together."""
        return sum(source.weight for source in self._sources)

    def newest(self, at_most: int) -> int:
        """Return the newest block of any; see `Source`."""
        newest = NO_BLOCK
        for source in self._sources:
            newest = max(newest, source.newest(at_most))
            if newest == at_most:
                break
        return newest

    def bounds(self, block: int) -> Bounds:
        """Return the runs of a block; see `Source`."""
        found = [source.bounds(block) for source in self._sources]
        all_maybe = _NONE.union(*(maybe for _, maybe in found))
        if all(sure is maybe for sure, maybe in found):
            return all_maybe, all_maybe
        return _NONE.union(*(sure for sure, _ in found)), all_maybe


class Every:
    """Runs that are in each of some sources, and in none of others."""

    def __init__(self, sources: Sequence[Source], excluded: Sequence[Source]) -> None:
        """Take the sources, at least one, and those that are left out."""
        self._sources = list(sources)
        self._excluded = excluded

    @property
    def weight(self) -> int:
        """That of all together."""
        return sum(source.weight for source in self._sources)

    def newest(self, at_most: int) -> int:
        """Return the newest block in which all sources may have runs; see `Source`."""
        block = at_most
        while True:
            for source in self._sources:
                newest = source.newest(block)
                if newest < block:
                    block = newest
                    break
            else:
                return block
            if block == NO_BLOCK:
                return NO_BLOCK

    def bounds(self, block: int) -> Bounds:
        """Return the runs of a block, the smallest postings first; see `Source`."""
        if len(self._sources) > 1:
            self._sources.sort(key=_WEIGHT)
        sure, maybe = self._sources[0].bounds(block)
        for source in self._sources[1:]:
            if not maybe:
                return NOTHING
            also_sure, also_maybe = source.bounds(block)
            if sure is maybe and also_sure is also_maybe:
                sure = maybe = maybe & also_maybe
            else:
                sure, maybe = sure & also_sure, maybe & also_maybe
        for source in self._excluded:
            if not maybe:
                return NOTHING
            not_sure, not_maybe = source.bounds(block)
            if sure is maybe and not_sure is not_maybe:
                sure = maybe = maybe - not_maybe
            else:
                sure, maybe = sure - not_maybe, maybe - not_sure
        return sure, maybe


def offsets_between(block: int, start: int, end: int) -> BitMap:
    """Return the offsets that the ordinals in `[start, end)` have in a block."""
    first_ordinal = block * BLOCK_SIZE
    first, last_end = (min(max(bound - first_ordinal, 0), BLOCK_SIZE) for bound in (start, end))
    return BitMap(range(first, last_end))
