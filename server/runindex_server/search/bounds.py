"""Evaluates a plan on the postings of one block, between two bounds.

What postings cannot decide is left open: `sure` are the runs that match, `maybe` those and all that have yet
to be checked on their records.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pyroaring import BitMap

from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys
from runindex_server.schema.terms import EVERY_RUN, PARTIAL
from runindex_server.search.overlay import OverlayView
from runindex_server.search.plan import Among, Between, Candidates, Either, Every, Except, Having, Plan
from runindex_server.search.postings import BLOCK_SIZE, decode_posting


@dataclass(frozen=True, slots=True)
class Bounds:
    """Runs of a block, by their offsets. The bitmaps are shared: nobody changes them.

    Attributes:
        sure: These match.
        maybe: All others do not. It holds `sure`.
    """

    sure: BitMap
    maybe: BitMap


class Block:
    """The postings of one block as a snapshot has them, each read when it is first asked for."""

    def __init__(self, number: int, txn: ReadTxn, overlay: OverlayView) -> None:
        """Take the block's number, and where its postings are."""
        self.number = number
        self.first_ordinal = number * BLOCK_SIZE
        self._txn = txn
        self._overlay = overlay
        self._postings: dict[bytes, BitMap] = {}

    @property
    def postings_read(self) -> int:
        """How many postings were asked for."""
        return len(self._postings)

    def having(self, term: bytes) -> BitMap:
        """Return the runs that have a term.

        Raises:
            StoreCorrupt: The posting is not what was written.
        """
        found = self._postings.get(term)
        if found is None:
            key = keys.posting(term, self.number)
            found = decode_posting(key, self._txn.get(key))
            self._overlay.apply(found, term, self.number)
            self._postings[term] = found
        return found

    def offsets(self, start: int, end: int) -> BitMap:
        """Return the offsets of the ordinals in `[start, end)`, whether they are those of runs or not."""
        first, last_end = (min(max(bound - self.first_ordinal, 0), BLOCK_SIZE) for bound in (start, end))
        return BitMap(range(first, last_end))


def evaluate(plan: Plan, block: Block) -> Bounds:
    """Return the runs of a block that match a plan.

    Raises:
        StoreCorrupt: A posting is not what was written.
    """
    match plan:
        case Having(terms, are_words):
            found = _union(map(block.having, terms))
            return Bounds(found, found | block.having(PARTIAL) if are_words else found)
        case Between(start, end):
            found = block.offsets(start, end)
            # Nothing is read for a block outside.
            return _exactly(found & block.having(EVERY_RUN) if found else found)
        case Among(ordinals):
            offsets = (ordinal - block.first_ordinal for ordinal in ordinals)
            return _exactly(BitMap([offset for offset in offsets if 0 <= offset < BLOCK_SIZE]))
        case Candidates(wider):
            return Bounds(BitMap(), evaluate(wider, block).maybe)
        case Every(plans):
            return _intersection(plans, block)
        case Either(plans):
            parts = [evaluate(each, block) for each in plans]
            return Bounds(_union(part.sure for part in parts), _union(part.maybe for part in parts))
        case Except(excluded):
            bounds, everything = evaluate(excluded, block), block.having(EVERY_RUN)
            return Bounds(everything - bounds.maybe, everything - bounds.sure)


def _intersection(plans: Iterable[Plan], block: Block) -> Bounds:
    """Return the runs that match each of some plans, reading no more than it takes."""
    first, *rest = plans
    found = evaluate(first, block)
    for plan in rest:
        if not found.maybe:
            break
        bounds = evaluate(plan, block)
        found = Bounds(found.sure & bounds.sure, found.maybe & bounds.maybe)
    return found


def _union(bitmaps: Iterable[BitMap]) -> BitMap:
    return BitMap().union(*bitmaps)


def _exactly(found: BitMap) -> Bounds:
    return Bounds(found, found)
