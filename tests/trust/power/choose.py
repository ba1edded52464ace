"""Which losses of power are replayed: subsets of what is pending at each moment of a recording."""

import random
from collections.abc import Iterator
from typing import Final

from tests.trust.power.disk import Bytes, Entry, Piece, Pieces, sectors_of, torn

DROPPED_MAX: Final = 48
"""Pieces of which each in turn is dropped; of more, so many are taken at random."""


def after_piece(pending: Pieces, numbers: random.Random) -> Iterator[list[Piece]]:
    """Yield losses of power right after something was asked for: what came before, and some of the last."""
    *before, last = pending
    yield list(pending)
    if isinstance(last, Bytes) and len(sectors_of(last)) > 1:
        sectors = sectors_of(last)
        cut = numbers.choice(sectors[1:])
        yield [*before, *torn(last, frozenset(sector for sector in sectors if sector < cut))]
        # Sectors reach the disk in any order.
        some = frozenset(sector for sector in sectors if numbers.random() < 0.5)
        yield [*before, *torn(last, some)]


def at_rest(pending: Pieces, numbers: random.Random, *, subsets: int) -> Iterator[list[Piece]]:
    """Yield losses of power while nothing more is asked for: none, all, all but one, some, some torn."""
    yield []
    yield list(pending)
    dropped = range(len(pending))
    for index in dropped if len(pending) <= DROPPED_MAX else numbers.sample(dropped, DROPPED_MAX):
        yield [*pending[:index], *pending[index + 1 :]]
    entries = sum(isinstance(piece, Entry) for piece in pending)
    for _ in range(subsets if len(pending) > 1 else 0):
        # Of names there are few, and what they come to is decided by single ones.
        likely = 0.8 if entries and numbers.random() < 0.5 else numbers.choice((0.2, 0.5, 0.8))
        yield _some(pending, likely, numbers)


def _some(pending: Pieces, likely: float, numbers: random.Random) -> list[Piece]:
    """Return some pieces, one of them torn."""
    kept: list[Piece] = []
    victim = numbers.choice(pending)
    for piece in pending:
        if piece is victim and isinstance(piece, Bytes):
            sectors = frozenset(sector for sector in sectors_of(piece) if numbers.random() < 0.5)
            kept += torn(piece, sectors)
        elif numbers.random() < likely:
            kept.append(piece)
    return kept
