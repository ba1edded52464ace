"""A background job that is killed after each number of writes in turn, each time on a copy of the same store.

Runs as a program of its own, so that it can fork: `python -m tests.crash.killed_job JOB BASE FOLDER`. For
each number it leaves a data directory, named by the number, as the kill left it; the last one is of a job
that came to its end. It prints how many there are.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from runindex_server.jobs import erase as erase_module
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.jobs.retention import expire, passes, sweep, trim
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema import keys, records
from runindex_server.schema.run import RetentionPolicy
from tests.crash.process import MAP_BYTES
from tests.support.clock import DAY_US, START_US, ManualClock
from tests.support.consistency import check_store

T = TypeVar("T")

NOW_US: Final = START_US + DAY_US
"""When the job runs; the store was filled before."""
DEFAULT_POLICY: Final = RetentionPolicy(keep_latest_n=1)
WRITES_MAX: Final = 200
WAIT_S: Final = 120.0

SMALL_STEPS: Final = (
    (erase_module, "ROWS_MAX", 7),
    (expire, "RUNS_MAX", 1),
    (passes, "PENDING_MAX", 4),
    (sweep, "RUNS_MAX", 5),
    (trim, "VICTIMS_MAX", 5),
)
"""Steps so small that there are many."""

STATE_OF_ITS_OWN: Final = (keys.CLOCK_TICK, keys.COMPACTION, keys.MERGE)
"""What tells how the work was done, and not what came of it."""


class KillingStore:
    """A `kv.api.Store` that ends its process after a number of writes, as the kernel would."""

    def __init__(self, inner: Store, writes: int) -> None:
        """Kill instead of any further write."""
        self._inner = inner
        self._left = writes

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Read."""
        return await self._inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Write, or end."""
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        return await self._inner.write(fn)

    async def close(self) -> None:
        """Close the inner store."""
        await self._inner.close()


def open_store(data_dir: Path, clock: ManualClock) -> LmdbStore:
    """Open the store of a data directory, or create it."""
    return open_lmdb(data_dir, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None)


async def erase(store: Store, _: ManualClock) -> None:
    """Erase what deleted runs held."""
    while await erase_step(store):
        pass


async def compact(store: Store, clock: ManualClock) -> None:
    """Take a pass of retention."""
    retention = Retention(store, clock=clock, default_policy=DEFAULT_POLICY, interval_s=600)
    async for _ in retention.compact(trust_clock=True):
        pass


async def merge(store: Store, _: ManualClock) -> None:
    """Merge what is pending."""
    while await merge_step(store):
        pass


JOBS: Final[dict[str, Callable[[Store, ManualClock], Awaitable[None]]]] = {"erase": erase, "compact": compact}


async def finish(data_dir: Path) -> dict[bytes, bytes]:
    """Check a store, let all jobs come to their end, check it again, and return what it holds then."""
    clock = ManualClock(NOW_US)
    store = open_store(data_dir, clock)
    try:
        await check_store(store)
        for job in (compact, erase, merge):
            await job(store, clock)
        await check_store(store)
        return await store.read(what_came_of_it)
    finally:
        await store.close()


def what_came_of_it(txn: ReadTxn) -> dict[bytes, bytes]:
    """Return all rows, as far as they do not depend on how many steps it took."""
    own = tuple(subspace.prefix for subspace in STATE_OF_ITS_OWN)
    rows = {key: value for key, value in txn.scan(b"\x00", b"\xff" * 17) if not key.startswith(own)}
    for key, value in rows.items():
        if key.startswith(keys.DUE_OF.prefix):
            # The time, less the revision.
            rows[key] = records.unseal(key, value)[:8]
    return rows


def kill_at_each_write(job: str, base: Path, folder: Path) -> Iterator[Path]:
    """Yield what each kill left, in order, by running this module as a program.

    Raises:
        AssertionError: The program failed.
    """
    command = [sys.executable, "-m", "tests.crash.killed_job", job, str(base), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return (folder / str(writes) for writes in range(int(ended.stdout)))


def main(job: str, base: Path, folder: Path) -> int:
    """Kill the job after each number of writes, and return after how many different ones."""
    for module, name, value in SMALL_STEPS:
        vars(module)[name] = value
    for writes in range(WRITES_MAX):
        data_dir = folder / str(writes)
        shutil.copytree(base, data_dir)
        child = os.fork()
        if child == 0:
            run_killed(JOBS[job], data_dir, writes)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return writes + 1
        assert os.WIFSIGNALED(status), f"the job failed after {writes} writes: {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL
    msg = f"more than {WRITES_MAX} writes"
    raise AssertionError(msg)


def run_killed(job: Callable[[Store, ManualClock], Awaitable[None]], data_dir: Path, writes: int) -> None:
    """Run a job in a process that ends with it."""
    clock = ManualClock(NOW_US)

    async def run() -> None:
        store = open_store(data_dir, clock)
        await job(KillingStore(store, writes), clock)
        await store.close()

    try:
        asyncio.run(run())
    except BaseException:  # noqa: BLE001  # It must not go on as its parent.
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))}\n")
