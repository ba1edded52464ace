"""Sums: two sets of pairs compared in the memory of a few numbers, whatever they hold and in whatever order.

A pair adds the product of two numbers, one for each half: Python's hash of bytes, which is SipHash under a
key of the process, or a number drawn at random. So the difference between the sums of two different sets is
a polynomial of degree two, not zero, in random numbers of 64 bits. That it comes out as 0, and a drift is
missed, has a chance of about one in 2^62 (lemma of Schwartz and Zippel), whatever callers wrote.
"""

import secrets
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from runindex_server.search.postings import BLOCK_SIZE, split_ordinal

ROW_CELLS: Final = 256
"""Cells of the rows that lead to runs. Where they differ, so large a part of the runs is looked at again."""

_NUMBER_BYTES: Final = 8


class RowSums:
    """Rows that lead to runs, by the cells of the runs to which they lead.

    Attributes:
        cells: Each cell's sum.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.cells = [0] * ROW_CELLS

    def add(self, key: bytes, run_id: bytes) -> None:
        """Add a row."""
        self.cells[row_cell(run_id)] += hash(key) * hash(run_id)

    def add_run(self, run_id: bytes, keys: Iterable[bytes]) -> None:
        """Add the rows that lead to a run."""
        self.cells[row_cell(run_id)] += sum(map(hash, keys)) * hash(run_id)

    def differing(self, other: "RowSums") -> frozenset[int]:
        """Return the cells in which the other holds something else."""
        pairs = zip(self.cells, other.cells, strict=True)
        return frozenset(cell for cell, (mine, theirs) in enumerate(pairs) if mine != theirs)


def row_cell(run_id: bytes) -> int:
    """Return the cell of the rows that lead to a run: its id's last byte, and so its record's key's."""
    return run_id[-1]


class TermSums:
    """Terms with the runs that have them, by blocks of ordinals.

    Attributes:
        blocks: Each block's sum.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        """Begin with nothing.

        Args:
            weights: As of `draw_weights`, the same for what is compared.
        """
        self.blocks: dict[int, int] = {}
        self._weights = weights

    def add_run(self, ordinal: int, terms: Iterable[bytes]) -> None:
        """Add a run with its terms, which have no duplicates."""
        block, offset = split_ordinal(ordinal)
        self.blocks[block] = self.blocks.get(block, 0) + sum(map(hash, terms)) * self._weights[offset]

    def weigh(self, offsets: Iterable[int]) -> int:
        """Return the weight of some runs of a block, all different."""
        return sum(map(self._weights.__getitem__, offsets))

    def add(self, term: bytes, block: int, weight: int) -> None:
        """Add a term with some runs of a block that have it, by their weight."""
        self.blocks[block] = self.blocks.get(block, 0) + hash(term) * weight

    def differing(self, other: "TermSums") -> frozenset[int]:
        """Return the blocks in which the other holds something else."""
        blocks = self.blocks.keys() | other.blocks.keys()
        return frozenset(block for block in blocks if self.blocks.get(block, 0) != other.blocks.get(block, 0))


def draw_weights() -> list[int]:
    """Return a random number for each offset in a block: some 3 MB."""
    return array("Q", secrets.token_bytes(BLOCK_SIZE * _NUMBER_BYTES)).tolist()
