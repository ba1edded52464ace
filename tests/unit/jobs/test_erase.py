"""Erasure: exactly the rows of the deleted generation go, in bounded steps that may be lost or run twice."""

import asyncio
from collections.abc import Callable

import pytest

from runindex_server.clock import SystemClock
from runindex_server.jobs import erase
from runindex_server.jobs.erase import erase_step
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys
from runindex_server.schema.encoding import encode_u64
from runindex_server.schema.run import DEFAULT_RUN_ID, RunId

DELETED, OTHER = RunId(b"d" * 16), RunId(b"o" * 16)


def data_keys(run_id: RunId, generation: int, count: int) -> list[bytes]:
    prefix = keys.data_range(run_id, generation).start
    return [prefix + encode_u64(number) for number in range(count)]


def store_with(fill: Callable[[WriteTxn], None]) -> MemoryStore:
    return MemoryStore(clock=SystemClock(), initialise=fill)


def rows(store: MemoryStore) -> list[bytes]:
    def scan(txn: ReadTxn) -> list[bytes]:
        return [key for key, _ in txn.scan(b"\x00", b"\xff" * 17)]

    return asyncio.run(store.read(scan))


def steps(store: MemoryStore) -> int:
    taken = 0
    while asyncio.run(erase_step(store)):
        taken += 1
    return taken


@pytest.mark.parametrize("count", [0, 1, erase.ROWS_MAX - 1, erase.ROWS_MAX, 2 * erase.ROWS_MAX + 5])
def test_everything_of_the_generation_goes_and_the_tombstone_last(count: int) -> None:
    kept = [*data_keys(DELETED, 8, 3), *data_keys(DELETED, 6, 3), *data_keys(OTHER, 7, 3)]

    def fill(txn: WriteTxn) -> None:
        for key in [*data_keys(DELETED, 7, count), *kept]:
            txn.put(key, b"value")
        txn.put(keys.tombstone(DELETED, 7), encode_u64(1))

    store = store_with(fill)

    assert steps(store) == count // erase.ROWS_MAX + 1
    assert rows(store) == sorted(kept)


def test_small_runs_go_together() -> None:
    store = store_with(deleted_runs(2))

    assert steps(store) == 1
    assert rows(store) == []


def test_each_tombstone_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "ROWS_MAX", 2)
    store = store_with(deleted_runs(2))

    assert steps(store) == 5
    assert rows(store) == []


def deleted_runs(count: int) -> Callable[[WriteTxn], None]:
    """Return what writes three deleted runs that held so many rows each."""

    def fill(txn: WriteTxn) -> None:
        for run_id in (DELETED, OTHER, DEFAULT_RUN_ID):
            txn.put(keys.tombstone(run_id, 7), encode_u64(1))
            for key in data_keys(run_id, 7, count):
                txn.put(key, b"value")

    return fill


def test_steps_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "VALUE_BYTES_MAX", 11)
    store = store_with(deleted_runs(3))

    assert steps(store) == 5
    assert rows(store) == []


def test_a_row_larger_than_a_step_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "VALUE_BYTES_MAX", 4)
    store = store_with(deleted_runs(3))

    assert steps(store) == 9
    assert rows(store) == []


def test_nothing_to_erase_is_no_step() -> None:
    assert asyncio.run(erase_step(store_with(lambda txn: txn.put(keys.run(OTHER), b"x")))) is False


def test_steps_that_overlap_do_no_harm() -> None:
    def fill(txn: WriteTxn) -> None:
        txn.put(keys.tombstone(DELETED, 7), encode_u64(1))
        for key in [*data_keys(DELETED, 7, 10), *data_keys(DELETED, 8, 1)]:
            txn.put(key, b"value")

    async def race(store: MemoryStore) -> None:
        await asyncio.gather(*(erase_step(store) for _ in range(4)))

    store = store_with(fill)
    asyncio.run(race(store))

    assert rows(store) == data_keys(DELETED, 8, 1)
