"""Folds: two multisets compared in the memory of their cells, whatever they hold and in whatever order.

An item adds its hash to the sum of its cell. Python's hash of bytes is SipHash under a key of the process. So
cells that hold different items have different sums, but for a chance of at most one in 2^48 for each. What
differs is then looked at item by item.
"""

from typing import Final

from runindex_server.schema.keys import GLOBAL_NAMESPACE

TERM_CELLS: Final = 1_024
"""Cells of one block of ordinals."""

COUNTER_CELLS: Final = 65_536
"""Cells of each subspace of counters."""

TERM_CELLS_AT_ONCE: Final = 32
"""Cells that are looked at item by item in one walk. Bounds what is held of them in memory."""

_TAG_AT: Final = len(GLOBAL_NAMESPACE)


class Fold:
    """A multiset of bytes, as far as it is kept.

    Attributes:
        sums: By cell.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sums: dict[int, int] = {}

    def add(self, cell: int, item: bytes, times: int = 1) -> None:
        """Add an item to a cell, some times."""
        self.sums[cell] = self.sums.get(cell, 0) + hash(item) * times

    def differing(self, other: "Fold") -> list[int]:
        """Return the cells in which the other holds something else, in order."""
        cells = self.sums.keys() | other.sums.keys()
        return sorted(cell for cell in cells if self.sums.get(cell, 0) != other.sums.get(cell, 0))


def term_cell(term: bytes, block: int) -> int:
    """Return the cell of a term in a block of ordinals."""
    return block * TERM_CELLS + hash(term) % TERM_CELLS


def block_of(cell: int) -> int:
    """Return the block of ordinals in which a cell of terms lies."""
    return cell // TERM_CELLS


def counter_cell(key: bytes) -> int:
    """Return the cell of a counter in the global namespace. Those of a subspace follow each other."""
    return key[_TAG_AT] * COUNTER_CELLS + hash(key) % COUNTER_CELLS


def tag_of(cell: int) -> int:
    """Return the tag of the subspace in which a cell of counters lies."""
    return cell // COUNTER_CELLS
