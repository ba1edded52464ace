"""Folds: two multisets compared in the memory of their cells, whatever they hold and in whatever order.

An item adds its hash to the sum of its cell. Python's hash of bytes is SipHash under a key of the process. So
cells that hold different items have different sums, but for a chance of about one in 2^52 for each. What
differs is then looked at item by item.
"""

from typing import Final

TERM_CELLS: Final = 1_024
"""Cells of one block of ordinals."""

PARENT_CELLS: Final = 4_096
"""Cells of all parents."""

TERM_CELLS_AT_ONCE: Final = 32
PARENT_CELLS_AT_ONCE: Final = 256
"""Cells that are looked at item by item in one walk. Bounds what is held of them in memory."""


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


def parent_cell(parent: bytes) -> int:
    """Return the cell of a parent."""
    return hash(parent) % PARENT_CELLS
