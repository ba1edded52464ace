"""Fills a store with the sample runs, through the functions that the service calls, and verifies it.

    python -m benchmarks.populate --runs 100000 --data-dir DIR

Many runs go into one write and several writes into one commit. A second process merges meanwhile, as another
worker of a server would.
"""

import argparse
import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.sample import ERROR, KEEP_LATEST_N, Sample, sample
from runindex_server import limits
from runindex_server.clock import SystemClock
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.lmdb_store import LmdbStore, join_lmdb, open_lmdb
from runindex_server.maintenance.verify.findings import Drift, Summary
from runindex_server.maintenance.verify.verification import verify
from runindex_server.runs import run_index
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.schema import keys
from runindex_server.schema.run import RetentionPolicy, RunState
from runindex_server.settings import Settings

RUNS_PER_WRITE: Final = 100
"""Some 5 KB each; a write may be 2 MiB."""

WRITES_PER_COMMIT: Final = 8
PENDING_MAX: Final = limits.PENDING_ROWS_MAX // 2
"""Changes that may wait to be merged. What one commit adds beyond it still finds room."""

WAIT_S: Final = 0.01
MERGED_S_MAX: Final = 600.0
"""How long merging what is left may take when all runs are created."""

PROGRESS_RUNS: Final = 100_000
ANY: Final = Conditions()
POLICY: Final = RetentionPolicy(keep_latest_n=KEEP_LATEST_N)


class UnsoundStore(Exception):
    """Verification found something that does not follow from the records."""


@dataclass(frozen=True, slots=True)
class Population:
    """What filling a store took.

    Attributes:
        runs: How many runs, without the default run.
        load_s: How long creating and merging them took.
        verify_s: How long verifying the store took.
    """

    runs: int
    load_s: float
    verify_s: float

    @property
    def runs_per_s(self) -> float:
        """Runs in a second, created, merged and verified."""
        return self.runs / (self.load_s + self.verify_s)


def create(txn: WriteTxn, one: Sample) -> None:
    """Create a run and lead it where it is to be."""
    draft = Draft(run_id=one.run_id, tags=one.tags, metadata=one.metadata, parent=one.parent)
    run_index.create_run(txn, draft)
    match one.outcome:
        case RunState.COMPLETED:
            run_index.close_run(txn, one.run_id, ANY)
        case RunState.FAILED:
            run_index.fail_run(txn, one.run_id, ERROR, ANY)
        case RunState.CANCELLED:
            run_index.cancel_run(txn, one.run_id, ANY)
        case RunState.PAUSED:
            run_index.pause_run(txn, one.run_id, ANY)
        case _:
            pass
    if one.is_archived:
        run_index.archive_run(txn, one.run_id, ANY)
    if one.is_keeping:
        run_index.set_run_retention(txn, one.run_id, POLICY, ANY)


def create_all(txn: WriteTxn, some: list[Sample]) -> None:
    """Create some runs."""
    for one in some:
        create(txn, one)


def open_store(data_dir: Path) -> LmdbStore:
    """Open the store of a data directory, or create it, as the server does."""
    return open_lmdb(
        data_dir,
        clock=SystemClock(),
        map_bytes=Settings().map_bytes,
        initialise=initialise,
        on_fatal=partial(os._exit, 1),
    )


async def load(store: LmdbStore, runs: int) -> None:
    """Create runs, never more ahead of the merging than is allowed."""
    commit = RUNS_PER_WRITE * WRITES_PER_COMMIT
    for begin in range(0, runs, commit):
        end = min(begin + commit, runs)
        writes = [
            [sample(number) for number in range(first, min(first + RUNS_PER_WRITE, end))]
            for first in range(begin, end, RUNS_PER_WRITE)
        ]
        while await store.read(_pending) > PENDING_MAX:  # noqa: ASYNC110  # Another process makes the room.
            await asyncio.sleep(WAIT_S)
        await asyncio.gather(*(store.write(partial(create_all, some=part)) for part in writes))
        if end // PROGRESS_RUNS > begin // PROGRESS_RUNS:
            print(f"{end:,} runs", file=sys.stderr)


def _pending(txn: ReadTxn) -> int:
    """Return how many changes wait to be merged. Read-only."""
    return txn.get_counter(keys.PENDING_TERMS_COUNT)


@contextmanager
def merging(data_dir: Path) -> Iterator[None]:
    """Merge in another process; what is still pending at the end is merged before this returns."""
    command = [sys.executable, "-m", "benchmarks.populate", "--merge", "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield
            assert process.stdin is not None
            process.stdin.close()
            if process.wait(MERGED_S_MAX):
                raise UnsoundStore("merging has failed")
        finally:
            process.kill()


async def merge(data_dir: Path) -> None:
    """Merge a store that another process has opened, until standard input ends and nothing is left."""
    store = join_lmdb(
        data_dir, clock=SystemClock(), map_bytes=Settings().map_bytes, on_fatal=partial(os._exit, 1)
    )
    try:
        has_more = True
        while has_more or not select.select([sys.stdin], [], [], 0)[0]:
            has_more = await merge_step(store)
            if not has_more:
                await asyncio.sleep(WAIT_S)
        while await merge_step(store):
            pass
    finally:
        await store.close()


async def check(store: LmdbStore, runs: int) -> None:
    """Verify a store.

    Raises:
        UnsoundStore: It is not what it should be.
    """
    drifts: list[Drift] = []
    async for piece in verify(store):
        if isinstance(piece, Drift):
            drifts.append(piece)
        elif isinstance(piece, Summary) and (piece.drifts or piece.runs != runs + 1):
            msg = f"{piece}: {drifts[:5]}"
            raise UnsoundStore(msg)


async def populate(data_dir: Path, runs: int) -> Population:
    """Fill a new store, and verify it."""
    store = open_store(data_dir)
    try:
        began = time.monotonic()
        with merging(data_dir):
            await load(store, runs)
        loaded = time.monotonic()
        await check(store, runs)
        return Population(runs, loaded - began, time.monotonic() - loaded)
    finally:
        await store.close()


def main() -> None:
    """Fill a store, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--data-dir", type=Path, required=True, help="where the store is made")
    parser.add_argument("--merge", action="store_true", help="only merge, beside the process that fills")
    arguments = parser.parse_args()
    if arguments.merge:
        asyncio.run(merge(arguments.data_dir))
        return
    filled = asyncio.run(populate(arguments.data_dir, arguments.runs))
    print(
        f"{filled.runs:,} runs: created and merged in {filled.load_s:.1f} s, verified in "
        f"{filled.verify_s:.1f} s: {filled.runs_per_s:,.0f} runs a second"
    )


if __name__ == "__main__":
    main()
