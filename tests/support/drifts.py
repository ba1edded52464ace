"""Worlds of runs that are tampered with and verified."""

import asyncio
from typing import Final

from runindex_server.maintenance.verify.findings import Drift
from runindex_server.schema import keys
from runindex_server.schema.run import DEFAULT_RUN_ID
from tests.support.busy_store import Rows, put_rows
from tests.support.search_world import World, drive
from tests.support.tampering import collect

ALWAYS: Final = {(keys.HEADER.name, keys.STORE_HEADER), (keys.RUN.name, keys.run(DEFAULT_RUN_ID))}
"""What a world never has."""


def put(world: World, rows: Rows) -> None:
    """Set rows, or remove those that are None."""
    drive(world.store.write(put_rows(rows)))


def drifts_of(world: World) -> list[Drift]:
    """Return what is told of a world, but for what it never had."""
    pieces = asyncio.run(collect(world.store))
    return [
        piece for piece in pieces if isinstance(piece, Drift) and (piece.subspace, piece.key) not in ALWAYS
    ]


def found_in(world: World) -> list[tuple[str, bytes]]:
    """Return where it is."""
    return [(drift.subspace, drift.key) for drift in drifts_of(world)]
