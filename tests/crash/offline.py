"""Stores for commands that need no server: made, looked at and compared behind the server's back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from runindex_server.clock import SystemClock
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.runs import run_index
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.schema import keys
from runindex_server.schema.run import RetentionPolicy, RunId
from tests.crash.process import MAP_BYTES

RUNS: Final = 40
EVERYTHING: Final = (b"", b"\xff" * 401)


@dataclass(frozen=True)
class Contents:
    """What a store holds: its revision, and its rows without the header."""

    revision: int
    header: bytes
    rows: list[tuple[bytes, bytes]]


def make_store(data_dir: Path) -> Contents:
    """Make a store with runs in all states, some of them deleted, and return what it holds."""

    async def fill(store: LmdbStore) -> Contents:
        for number in range(RUNS):
            await _write_run(store, number)
            if number == RUNS // 2:
                while await merge_step(store):
                    pass
        return await store.read(contents_of)

    return use_store(data_dir, fill)


def use_store(data_dir: Path, use: Callable[[LmdbStore], Any]) -> Any:
    """Return what a function of an open store returns; the store is closed afterwards."""

    async def open_and_use() -> Any:
        store = open_lmdb(
            data_dir, clock=SystemClock(), map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None
        )
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(open_and_use())


def read_store(data_dir: Path) -> Contents:
    """Return what the store of a data directory holds."""
    return use_store(data_dir, lambda store: store.read(contents_of))


def contents_of(txn: ReadTxn) -> Contents:
    """Return what a snapshot holds."""
    rows = dict(txn.scan(*EVERYTHING))
    return Contents(txn.revision, rows.pop(keys.STORE_HEADER), sorted(rows.items()))


async def take_backup(store: LmdbStore) -> bytes:
    """Return the bytes of a copy."""
    async with store.engine.copy() as copy:
        return b"".join(copy.chunks(2**20))


async def _write_run(store: LmdbStore, number: int) -> None:
    """Write a run of one of ten lives."""
    run_id = RunId(UUID(int=number + 1).bytes)
    always = Conditions()
    draft = Draft(run_id=run_id, tags=(f"tag{number % 3}", "all"), metadata=b"", parent=None)
    await store.write(lambda txn: run_index.create_run(txn, draft))
    lives: list[list[Callable[[Any], object]]] = [
        [],
        [lambda txn: run_index.pause_run(txn, run_id, always)],
        [lambda txn: run_index.close_run(txn, run_id, always)],
        [lambda txn: run_index.fail_run(txn, run_id, "it broke", always)],
        [lambda txn: run_index.cancel_run(txn, run_id, always)],
        [lambda txn: run_index.archive_run(txn, run_id, always)],
        [lambda txn: run_index.delete_run(txn, run_id, always)],
        [
            lambda txn: run_index.close_run(txn, run_id, always),
            lambda txn: run_index.archive_run(txn, run_id, always),
        ],
        [
            lambda txn: run_index.set_run_retention(
                txn, run_id, RetentionPolicy(delete_after_us=86_400_000_000), always
            ),
            lambda txn: run_index.close_run(txn, run_id, always),
        ],
        [lambda txn: run_index.add_run_tags(txn, run_id, ["more"], always)],
    ]
    for change in lives[number % len(lives)]:
        await store.write(change)
