"""Kill -9 at each write of an erasure: what is left can be served, and is erased in the end."""

import asyncio
import shutil
from pathlib import Path

from runindex_server.runs.mutation import Conditions
from runindex_server.runs.run_index import delete_run
from runindex_server.schema import keys
from tests.crash.killed_job import finish, kill_at_each_write, open_store
from tests.support.busy_store import BusyStore
from tests.support.clock import ManualClock
from tests.support.consistency import check_store


async def fill(data_dir: Path) -> None:
    """Make a store with deleted runs that held something, one of them created again."""
    clock = ManualClock()
    store = open_store(data_dir, clock)
    busy = BusyStore(store, clock)
    await busy.fill()
    again = busy.ids[0]
    await store.write(lambda txn: delete_run(txn, again, Conditions()))
    busy.ids.remove(again)
    assert await busy.create(0) == again
    await busy.fill_run(again, 1)
    await check_store(store)
    await store.close()


async def nothing_left(data_dir: Path) -> None:
    """Check that no tombstone is left."""
    store = open_store(data_dir, ManualClock())
    assert await store.read(lambda txn: list(txn.scan(*keys.TOMBSTONE.range))) == []
    await store.close()


def test_an_erasure_survives_kill_9_at_any_point(tmp_path: Path) -> None:
    base = tmp_path / "base"
    asyncio.run(fill(base))
    unharmed = asyncio.run(finish(Path(shutil.copytree(base, tmp_path / "unharmed"))))
    killed = list(kill_at_each_write("erase", base, tmp_path / "killed"))

    assert len(killed) > 10
    asyncio.run(nothing_left(killed[-1]))
    for data_dir in killed:
        assert asyncio.run(finish(data_dir)) == unharmed
