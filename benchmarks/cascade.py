"""What other writers feel while a run with very many entries is erased: a ratio of latencies within one run.

    python -m benchmarks.cascade --entries 1000000

A store on disk holds one run with so many entries, nine events to a key, and a small run. One writer puts
values into the small run, one call after the other, each durable before the next: alone, and beside the
erasure of the large run, in turn. It checks that the receipt is exact, that the erasure leaves nothing, and
that every value of the small run is there. It decides nothing.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runindex_server.clock import SystemClock
from runindex_server.data.events import EventDraft, append_events
from runindex_server.data.values import put_value
from runindex_server.jobs import erase, runner
from runindex_server.jobs.erase import erase_step
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.runs.run_index import create_run, delete_run
from runindex_server.schema import keys
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.run import KEEP_ALL, RunId

LARGE: Final = RunId(b"L" * 16)
SMALL: Final = RunId(b"S" * 16)
CHUNK: Final = 1_000
KEYS_ONE_IN: Final = 10
VALUE: Final = b"x" * 64
MAP_BYTES: Final = 16 * 1024**3
WINDOW_S: Final = 0.5
"""How long the writer is measured alone, and then beside the erasure, in turn, so that whatever else the
machine does falls on both alike."""
ERASE_S_MAX: Final = 600.0
"""After so long the measurement is given up."""


@dataclass
class Latencies:
    """How long calls took, in seconds."""

    all_s: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """Return the latency that so much of them stay within."""
        ordered = sorted(self.all_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    @property
    def row(self) -> str:
        """What is printed."""
        times = (f"{self.at(share) * 1e3:.2f}" for share in (0.5, 0.99, 0.999, 1.0))
        return f"{len(self.all_s)} | {' | '.join(times)}"


class Writer:
    """Puts values into the small run, one after the other."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self.written = 0

    async def work_for(self, duration_s: float) -> Latencies:
        """Write for some time, and return how long each write took."""
        latencies = Latencies()
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            began = time.perf_counter()
            await self._store.write(self._put)
            latencies.all_s.append(time.perf_counter() - began)
            self.written += 1
        return latencies

    def _put(self, txn: WriteTxn) -> None:
        name = f"key-{self.written}"
        put_value(txn, SMALL, name, VALUE, Conditions(), default_policy=KEEP_ALL)


class Eraser:
    """Erases what deleted runs held."""

    def __init__(self, store: Store, rest_s: float) -> None:
        """Take the store, and how long to rest between steps."""
        self._store = store
        self._rest_s = rest_s
        self.steps = 0
        self.took_s = 0.0
        self.is_done = False

    async def work_for(self, duration_s: float) -> None:
        """Erase for some time, or until nothing is left."""
        began = time.monotonic()
        while not self.is_done and time.monotonic() < began + duration_s:
            self.is_done = not await erase_step(self._store)
            self.steps += 1
            await asyncio.sleep(self._rest_s)
        self.took_s += time.monotonic() - began


async def fill(store: Store, entries: int) -> None:
    """Create both runs, and give the large one its entries."""
    for run_id in (LARGE, SMALL):
        await store.write(lambda txn, run_id=run_id: create_run(txn, Draft(run_id=run_id)))  # type: ignore[misc]
    for first in range(0, entries, CHUNK):
        await store.write(lambda txn, first=first: add_entries(txn, first, min(CHUNK, entries - first)))  # type: ignore[misc]


def add_entries(txn: WriteTxn, first: int, count: int) -> None:
    """Add entries to the large run."""
    names = range(first, first + count)
    for number in names:
        if number % KEYS_ONE_IN == 0:
            put_value(txn, LARGE, f"key-{number}", VALUE, Conditions(), default_policy=KEEP_ALL)
    drafts = [EventDraft(f"stream-{number % 3}", VALUE) for number in names if number % KEYS_ONE_IN]
    append_events(txn, LARGE, drafts, None, default_policy=KEEP_ALL)


async def delete(store: Store, entries: int) -> None:
    """Delete the large run, and check the receipt."""
    answer = await store.write(lambda txn: delete_run(txn, LARGE, Conditions()))
    assert answer.receipt is not None
    kept = -(-entries // KEYS_ONE_IN)
    found = (answer.receipt.kv_keys, answer.receipt.events, answer.receipt.bytes)
    assert found == (kept, entries - kept, entries * len(VALUE)), found


async def measure(store: Store, entries: int, rest_s: float) -> None:
    """Measure, check, and print a table."""
    writer = Writer(store)
    await writer.work_for(WINDOW_S)
    memory = peak_mib()
    await delete(store, entries)
    eraser = Eraser(store, rest_s)
    alone, during = Latencies(), Latencies()
    while not eraser.is_done:
        assert eraser.took_s < ERASE_S_MAX, f"not erased after {ERASE_S_MAX} s"
        alone.all_s += (await writer.work_for(WINDOW_S)).all_s
        latencies, _ = await asyncio.gather(writer.work_for(WINDOW_S), eraser.work_for(WINDOW_S))
        during.all_s += latencies.all_s
    grown = peak_mib() - memory
    await check(store, writer.written)
    print(
        f"{entries} entries erased in {eraser.took_s:.1f} s, {eraser.steps} steps; "
        f"peak memory grew by {grown:.0f} MiB"
    )
    print("| | writes | p50, ms | p99, ms | p99.9, ms | longest, ms |")
    print("|---|---:|---:|---:|---:|---:|")
    print(f"| alone | {alone.row} |")
    print(f"| during the erasure | {during.row} |")
    print(f"p99 during the erasure / p99 alone: {during.at(0.99) / alone.at(0.99):.2f}")


async def check(store: Store, written: int) -> None:
    """Check what is left of both runs."""

    def look(txn: ReadTxn) -> tuple[list[bytes], int, list[bytes]]:
        rest = [key for key, _ in txn.scan(*keys.prefix_range(LARGE), limit=1)]
        small = DataKeys(SMALL, 3).range
        heads = sum(1 for key, _ in txn.scan(*small) if key[25] == 1)
        return rest, heads, [key for key, _ in txn.scan(*keys.TOMBSTONE.range)]

    rest, heads, tombstones = await store.read(look, offload=True)
    assert not rest, f"left of the large run: {rest[0].hex()}"
    assert heads == written, f"{heads} keys of the small run, not {written}"
    assert not tombstones, "a tombstone is left"


def peak_mib() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def run(folder: Path, entries: int, rest_s: float) -> None:
    """Make a store, and measure on it."""
    store = open_lmdb(
        folder / "data",
        clock=SystemClock(),
        map_bytes=MAP_BYTES,
        initialise=initialise,
        on_fatal=lambda: None,
    )
    try:
        began = time.monotonic()
        await fill(store, entries)
        print(f"{entries} entries written in {time.monotonic() - began:.1f} s")
        await measure(store, entries, rest_s)
    finally:
        await store.close()


def main() -> None:
    """Read the arguments, and measure in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the store is made; on a real disk")
    parser.add_argument("--rows", type=int, default=erase.ROWS_MAX, help="of one step")
    parser.add_argument("--rest-ms", type=float, default=runner.BUSY_S * 1e3, help="between steps")
    arguments = parser.parse_args()
    vars(erase)["ROWS_MAX"] = arguments.rows
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        asyncio.run(run(Path(folder), arguments.entries, arguments.rest_ms / 1e3))


if __name__ == "__main__":
    main()
