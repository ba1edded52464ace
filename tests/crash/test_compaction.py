"""Kill -9 at each write of a compaction: nothing half removed, and the next one comes to the same end."""

import asyncio
import shutil
from pathlib import Path

from tests.crash.killed_job import finish, kill_at_each_write, open_store
from tests.support.busy_store import BusyStore
from tests.support.clock import ManualClock
from tests.support.consistency import check_store


async def fill(data_dir: Path) -> None:
    """Make a store with runs under policies of every kind, and some that a changed default has to reach."""
    clock = ManualClock()
    store = open_store(data_dir, clock)
    busy = BusyStore(store, clock)
    await busy.fill()
    for number, run_id in enumerate(busy.ids):
        if number not in (4, 6, 11):
            await busy.fill_run(run_id, number % 3)
    await check_store(store)
    await store.close()


def test_a_compaction_survives_kill_9_at_any_point(tmp_path: Path) -> None:
    base = tmp_path / "base"
    asyncio.run(fill(base))

    unharmed = asyncio.run(finish(Path(shutil.copytree(base, tmp_path / "unharmed"))))
    killed = list(kill_at_each_write("compact", base, tmp_path / "killed"))

    assert len(killed) > 30
    for data_dir in killed:
        assert asyncio.run(finish(data_dir)) == unharmed
