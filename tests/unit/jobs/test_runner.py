"""The runner: takes steps of all jobs until there is nothing to do, whatever the clock says."""

import asyncio
from functools import partial

import pytest

from runindex_server.jobs import merge
from runindex_server.jobs import runner as runner_module
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.jobs.runner import JobRunner
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions, RequestKey
from runindex_server.runs.run_index import close_run, create_run, delete_run
from runindex_server.schema import keys
from runindex_server.schema.retention_state import read_compaction
from runindex_server.schema.run import RetentionPolicy, RunId
from tests.support.clock import MINUTE_US, SECOND_US, ManualClock

RETENTION_S = 24 * 3600
RUN_ID = RunId(b"r" * 16)
DELETE = RetentionPolicy(delete_after_us=1)


def runner_over(store: MemoryStore, clock: ManualClock, *, interval_s: int = 0) -> JobRunner:
    retention = Retention(store, clock=clock, default_policy=DELETE, interval_s=interval_s)
    return JobRunner(store, clock=clock, request_id_retention_s=RETENTION_S, retention=retention)


def rows(store: MemoryStore, subspace: keys.Subspace) -> list[bytes]:
    return asyncio.run(store.read(lambda txn: [key for key, _ in txn.scan(*subspace.range)]))


def test_every_job_has_its_turn() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock, initialise=initialise)
    request = RequestKey(caller="", request_id="r", digest=bytes(16))
    asyncio.run(store.write(lambda txn: create_run(txn, Draft(run_id=RUN_ID))))
    asyncio.run(store.write(lambda txn: delete_run(txn, RUN_ID, Conditions(request=request))))
    clock.advance(RETENTION_S * 1_000_000 + 1_000)

    asyncio.run(runner_over(store, clock).run_until_idle())

    for subspace in (keys.PENDING_TERMS, keys.TOMBSTONE, keys.REQUEST, keys.REQUEST_BY_TIME):
        assert rows(store, subspace) == []


@pytest.mark.parametrize("now_us", [0, 1, RETENTION_S * 1_000_000])
def test_a_machine_that_does_not_know_the_time_forgets_nothing(now_us: int) -> None:
    clock = ManualClock(now_us)
    store = MemoryStore(clock=clock, initialise=initialise)
    request = RequestKey(caller="", request_id="r", digest=bytes(16))
    asyncio.run(store.write(lambda txn: create_run(txn, Draft(run_id=RUN_ID), request)))

    asyncio.run(runner_over(store, clock).run_until_idle())

    assert rows(store, keys.REQUEST) == [keys.request("", "r")]


def test_it_stops_when_it_is_told_to() -> None:
    async def run() -> None:
        clock = ManualClock()
        runner = runner_over(MemoryStore(clock=clock, initialise=initialise), clock)
        runner.start()
        await runner.stop()
        await runner.stop()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("jobs")]

    asyncio.run(run())


def test_retention_has_its_turn_when_a_pass_is_due() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock, initialise=initialise)
    asyncio.run(store.write(lambda txn: create_run(txn, Draft(run_id=RUN_ID))))
    asyncio.run(store.write(lambda txn: close_run(txn, RUN_ID, Conditions())))
    runner = runner_over(store, clock, interval_s=60)
    clock.advance(SECOND_US)
    asyncio.run(runner.run_until_idle())
    assert rows(store, keys.ENDED)

    clock.advance(MINUTE_US)
    asyncio.run(runner.run_until_idle())

    assert rows(store, keys.ENDED) == rows(store, keys.TOMBSTONE) == rows(store, keys.PENDING_TERMS) == []


@pytest.mark.parametrize("hanging", ["_merge", "_clean_up"])
def test_no_job_waits_for_another_one(hanging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    async def run() -> None:
        clock = ManualClock()
        store = MemoryStore(clock=clock, initialise=initialise)
        runner = runner_over(store, clock, interval_s=60)
        await runner.run_until_idle()
        await store.write(lambda txn: create_run(txn, Draft(run_id=RUN_ID)))
        clock.advance(MINUTE_US)
        monkeypatch.setattr(runner, hanging, hang)
        monkeypatch.setattr(runner_module, "MERGE_CHANGES_MIN", 1)
        runner.start()
        await turns()
        assert await store.read(read_compaction) is not None
        assert await pending(store) == (1 if hanging == "_merge" else 0)
        await runner.stop()

    asyncio.run(run())


@pytest.mark.parametrize(("rests_max", "left"), [(1, 0), (2, 3)])
def test_merging_waits_for_enough_or_for_long_enough(
    rests_max: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "MERGE_CHANGES_MIN", 4)
    monkeypatch.setattr(runner_module, "MERGE_RESTS_MAX", rests_max)
    monkeypatch.setattr(runner_module, "IDLE_S", 3_600)

    assert left_after_turns(writes=3) == left
    assert left_after_turns(writes=4) == 0


def test_merging_goes_on_soon_only_while_it_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "CHANGES_MAX", 2)
    monkeypatch.setattr(runner_module, "MERGE_CHANGES_MIN", 4)
    monkeypatch.setattr(runner_module, "BUSY_S", 0)
    monkeypatch.setattr(runner_module, "IDLE_S", 3_600)

    assert left_after_turns(writes=9) == 0
    assert left_after_turns(writes=9, writes_later=1) == 1


def left_after_turns(*, writes: int, writes_later: int = 0) -> int:
    """Let jobs run after some writes, write some more, and return how many changes wait then."""

    async def create(store: MemoryStore, numbers: range) -> None:
        for number in numbers:
            await store.write(partial(create_run, draft=Draft(run_id=RunId(number.to_bytes(16, "big")))))
        await turns()

    async def run() -> int:
        clock = ManualClock()
        store = MemoryStore(clock=clock, initialise=lambda _: None)
        runner = runner_over(store, clock)
        await create(store, range(1, writes + 1))
        runner.start()
        await turns()
        await create(store, range(writes + 1, writes + writes_later + 1))
        left = await pending(store)
        await runner.stop()
        return left

    return asyncio.run(run())


async def turns() -> None:
    """Let all that is ready have its turn, many times."""
    for _ in range(1_000):
        await asyncio.sleep(0)


async def pending(store: MemoryStore) -> int:
    """Return how many changes wait to be merged."""
    return await store.read(lambda txn: txn.get_counter(keys.PENDING_TERMS_COUNT))
