"""Purging: answers go when their time is over, and not one microsecond before."""

import asyncio

from runindex_server.clock import SystemClock
from runindex_server.jobs import purge
from runindex_server.jobs.purge import purge_step
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys
from runindex_server.schema.answers import Answer, RememberedAnswer, encode_answer
from runindex_server.schema.run import DEFAULT_RUN_ID


def remember(txn: WriteTxn, request_id: str, answer_us: int) -> None:
    key = keys.request("", request_id)
    answer = Answer(run_id=DEFAULT_RUN_ID, version=1, revision=1, update_us=1)
    txn.put(key, encode_answer(key, RememberedAnswer(answer=answer, digest=bytes(16), answer_us=answer_us)))
    txn.put(keys.request_by_time(answer_us, "", request_id), b"")


def rows(store: MemoryStore) -> set[bytes]:
    def scan(txn: ReadTxn) -> set[bytes]:
        return {key for key, _ in txn.scan(b"\x00", b"\xff" * 17)}

    return asyncio.run(store.read(scan))


def test_only_answers_from_before_the_time_go() -> None:
    def fill(txn: WriteTxn) -> None:
        for request_id, answer_us in (("old", 99), ("due", 100), ("new", 101)):
            remember(txn, request_id, answer_us)

    store = MemoryStore(clock=SystemClock(), initialise=fill)

    assert asyncio.run(purge_step(store, answered_before_us=100)) is True
    assert asyncio.run(purge_step(store, answered_before_us=100)) is False
    assert rows(store) == {
        keys.request("", "due"),
        keys.request("", "new"),
        keys.request_by_time(100, "", "due"),
        keys.request_by_time(101, "", "new"),
    }


def test_an_id_that_was_used_again_keeps_its_new_answer() -> None:
    def fill(txn: WriteTxn) -> None:
        remember(txn, "again", 50)
        remember(txn, "again", 200)

    store = MemoryStore(clock=SystemClock(), initialise=fill)
    asyncio.run(purge_step(store, answered_before_us=100))

    assert rows(store) == {keys.request("", "again"), keys.request_by_time(200, "", "again")}


def test_steps_are_bounded() -> None:
    count = purge.ROWS_MAX + 1

    def fill(txn: WriteTxn) -> None:
        for number in range(count):
            remember(txn, f"r{number}", 1)

    store = MemoryStore(clock=SystemClock(), initialise=fill)
    taken = 0
    while asyncio.run(purge_step(store, answered_before_us=2)):
        taken += 1

    assert taken == 2
    assert rows(store) == set()
