"""Kill -9 at each step of an import: nothing of it is seen or all of it, and nothing stays behind."""

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from runindex_server.data.events import EventDraft, append_events
from runindex_server.data.values import put_value
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.lmdb_store import LmdbStore
from runindex_server.runs import run_index
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.schema import keys
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.run import KEEP_ALL, RunId
from tests.crash.offline import EVERYTHING, make_store, use_store
from tests.crash.process import MAP_BYTES, check_data_dir
from tests.crash.steps import STEPS_MAX, run_until

RUNS: Final = 6
VALUE: Final = pb.BundleValue(binary=bytes(150_000)).SerializeToString()
"""So large that what the runs hold is staged in several writes."""

DATA_PARTS: Final = 17
RUN_IDS: Final = [RunId(UUID(int=1_000 + number).bytes) for number in range(RUNS)]


def make_bundle(folder: Path) -> Path:
    """Return a bundle of runs that hold something, from a store of their own."""

    async def fill(store: LmdbStore) -> None:
        always = Conditions()
        for run_id in RUN_IDS:
            await store.write(
                lambda txn, run_id=run_id: run_index.create_run(txn, Draft(run_id=run_id, tags=("t",)))
            )
            for _ in range(3):
                await store.write(
                    lambda txn, run_id=run_id: put_value(
                        txn, run_id, "key", VALUE, always, default_policy=KEEP_ALL
                    )
                )
            drafts = [EventDraft("out", pb.BundleValue(binary=b"x").SerializeToString())] * 5
            await store.write(
                lambda txn, run_id=run_id, drafts=drafts: append_events(
                    txn, run_id, drafts, None, default_policy=KEEP_ALL
                )
            )
            await store.write(lambda txn, run_id=run_id: run_index.close_run(txn, run_id, always))

    use_store(folder / "source", fill)
    bundle = folder / "bundle"
    named = [str(UUID(bytes=bytes(run_id))) for run_id in RUN_IDS]
    assert run_until(["export", *named, str(bundle), "--data-dir", str(folder / "source")], STEPS_MAX) == 0
    return bundle


def rows_of(data_dir: Path, *, erased: bool = False) -> list[tuple[bytes, bytes]]:
    """Return the rows of a store, once the background jobs have nothing to do."""

    async def read(store: LmdbStore) -> list[tuple[bytes, bytes]]:
        if erased:
            while await merge_step(store):
                pass
            while await erase_step(store):
                pass
        return await store.read(lambda txn: list(txn.scan(*EVERYTHING)))

    return use_store(data_dir, read)


def imported_in(rows: list[tuple[bytes, bytes]]) -> set[bytes]:
    """Return which of the runs have a record."""
    return {key[17:] for key, _ in rows} & set(RUN_IDS)


def staged_in(rows: list[tuple[bytes, bytes]]) -> int:
    """Return how many rows of data and of transitions the runs have."""
    return sum(
        key[:16] in RUN_IDS or (key.startswith(keys.TRANSITION.prefix) and key[17:33] in RUN_IDS)
        for key, _ in rows
    )


def test_an_import_that_is_killed_leaves_all_or_nothing(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    make_store(tmp_path / "original")
    original = rows_of(tmp_path / "original", erased=True)
    nothing = staged = complete = 0
    for step in range(1, STEPS_MAX):
        data_dir = tmp_path / f"data-{step}"
        shutil.copytree(tmp_path / "original", data_dir)
        command = ["import", str(bundle), "--data-dir", str(data_dir), "--map-bytes", str(MAP_BYTES)]
        code = run_until(command, step)
        assert code in {0, -signal.SIGKILL}
        asyncio.run(check_data_dir(data_dir))
        rows = rows_of(data_dir)
        assert imported_in(rows) in (set(), set(RUN_IDS))
        if imported_in(rows):
            complete += 1
        else:
            staged += bool(staged_in(rows))
            nothing += not staged_in(rows)
            assert rows_of(data_dir, erased=True) == original
            assert run_until(command, STEPS_MAX) == 0
        asyncio.run(check_data_dir(data_dir))
        assert imported_in(rows_of(data_dir)) == set(RUN_IDS)
        shutil.rmtree(data_dir)
        if code == 0:
            break
    else:
        pytest.fail("it has too many steps")
    # It was killed before anything was staged, within, and behind the moment that counts.
    assert nothing > 2
    assert staged > 2
    assert complete > 1
