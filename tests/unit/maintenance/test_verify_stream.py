"""Verifying beside others: what it tells on its way, while the store is written, and when it is cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import pytest

from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.jobs.purge import purge_step
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.engine import StoreCopy
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.maintenance.verify import verification, walk
from runindex_server.maintenance.verify.findings import Drift, Progress, Summary
from runindex_server.maintenance.verify.verification import verify
from runindex_server.runs import run_index
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.mutation import Conditions
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.header import StorageVersionUnknown, StoreNotMigrated, read_header, replace_header
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy
from tests.support.busy_store import BusyStore, all_rows
from tests.support.clock import HOUR_US, ManualClock
from tests.support.tampering import Subject

ANY_VERSION = Conditions()


@pytest.fixture
def in_small_steps(monkeypatch: Any) -> None:
    """Read few rows at a time, and tell progress after each time."""
    monkeypatch.setattr(walk, "ROWS_MAX", 5)
    monkeypatch.setattr(verification, "PROGRESS_ROWS", 1)


@pytest.mark.usefixtures("in_small_steps")
def test_progress_is_told_phase_by_phase(subject: Subject) -> None:
    *pieces, summary = subject.verify()
    assert [type(piece) for piece in pieces] == [Progress] * len(pieces)
    phases = {phase: list(told) for phase, told in groupby(pieces, lambda piece: piece.phase)}
    assert list(phases) == ["index rows", "copy", "search terms", "data", "counters"]
    for told in phases.values():
        rows = [piece.rows for piece in told]
        assert rows == sorted(rows)
        assert max((after - before for before, after in pairwise(rows)), default=0) <= 5
    assert isinstance(summary, Summary)
    assert summary.rows == len(subject.rows)


def test_the_duration_is_told_by_the_clock(subject: Subject) -> None:
    clock = ManualClock()

    async def summary() -> Any:
        async for piece in verify(subject.store, clock=clock):
            clock.advance(3)
            last = piece
        return last

    assert subject.run_coroutine(summary()).duration_us == 3


@pytest.mark.usefixtures("in_small_steps")
def test_a_store_that_is_written_meanwhile_has_no_drift(subject: Subject) -> None:
    busy, store = subject.busy, subject.store

    async def write(turn: int) -> None:
        number = turn % 10
        match turn % 8:
            case 0:
                await busy.create(20 + turn % 200)
            case 1:
                await store.write(
                    lambda txn: (
                        run_index.add_run_tags(txn, busy.ids[number], (f"x{turn}",), ANY_VERSION)
                        if not number % 3
                        else None
                    )
                )
            case 2:
                await store.write(lambda txn: run_index.archive_run(txn, busy.ids[-1], ANY_VERSION))
            case 3:
                await store.write(lambda txn: run_index.delete_run(txn, busy.ids[-1], ANY_VERSION))
                busy.ids.pop()
            case 4:
                await merge_step(store)
            case 5:
                await busy.put(DEFAULT_RUN_ID, ItemKind.VALUE, f"k{turn % 3}", b"v" if turn % 5 else None)
            case 6:
                await busy.append(busy.ids[2], ["s", "new"], b"event")
            case _:
                await erase_step(store)
                await purge_step(store, answered_before_us=busy.clock.now_us() - 10**8)

    async def check() -> Any:
        pieces, turns = [], 0
        async for piece in verify(store):
            pieces.append(piece)
            for _ in range(3):
                await write(turns)
                turns += 1
        return pieces, turns

    pieces, turns = subject.run_coroutine(check())
    assert [piece for piece in pieces if isinstance(piece, Drift)] == []
    assert turns > 200


@pytest.mark.parametrize("policy", [KEEP_ALL, RetentionPolicy(keep_latest_n=1)], ids=["none", "default"])
def test_a_store_in_which_retention_has_removed_something_has_no_drift(policy: RetentionPolicy) -> None:
    async def compact_and_verify() -> None:
        clock = ManualClock()
        store = MemoryStore(clock=clock, initialise=initialise)
        await BusyStore(store, clock).fill()
        before = await store.read(all_rows)
        clock.advance(2 * HOUR_US)
        retention = Retention(store, clock=clock, default_policy=policy, interval_s=0)
        removed = [piece async for piece in retention.compact(trust_clock=True)]
        assert len(removed) > 1
        assert len(await store.read(all_rows)) < len(before)
        *pieces, summary = [piece async for piece in verify(store)]
        assert [piece for piece in pieces if isinstance(piece, Drift)] == []
        assert isinstance(summary, Summary)
        assert summary.drifts == 0

    asyncio.run(compact_and_verify())


def test_a_store_of_another_version_is_not_verified(subject: Subject) -> None:
    header = subject.run_coroutine(subject.store.read(read_header))
    for version, error in ((1, StoreNotMigrated), (99, StorageVersionUnknown)):
        other = replace(header, storage_version=version)
        subject.run_coroutine(subject.store.write(lambda txn, to=other: replace_header(txn, to)))
        with pytest.raises(error):
            subject.verify()
    subject.run_coroutine(subject.store.write(lambda txn: replace_header(txn, header)))


@dataclass
class Watched:
    """A store that tells whether a copy of it is in use."""

    inner: Any
    copies: int = 0

    @property
    def engine(self) -> "Watched":
        return self

    def read(self, fn: Any, *, offload: bool = False) -> Any:
        assert offload
        return self.inner.read(fn)

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[StoreCopy]:
        async with self.inner.engine.copy() as copy:
            self.copies += 1
            try:
                yield copy
            finally:
                self.copies -= 1


@pytest.mark.usefixtures("in_small_steps")
@pytest.mark.parametrize("phase", ["index rows", "copy", "search terms", "counters"])
def test_cut_off_it_leaves_no_copy(subject: Subject, phase: str) -> None:
    store: Any = Watched(subject.store)

    async def cut_off() -> None:
        pieces = verify(store)
        async for piece in pieces:
            if isinstance(piece, Progress) and piece.phase == phase:
                break
        assert store.copies == (phase in {"search terms", "counters"})
        await pieces.aclose()

    subject.run_coroutine(cut_off())
    assert store.copies == 0
