"""The counting store counts what it says."""

import asyncio
from itertools import islice
from typing import Any

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from tests.support.clock import ManualClock
from tests.support.counting_store import CountingStore


def fill(txn: WriteTxn) -> None:
    for key in (b"a", b"b", b"c"):
        txn.put(key, b"")


def read(txn: ReadTxn) -> list[Any]:
    return [
        txn.get(b"a"),
        txn.get_many([b"a", b"absent"]),
        txn.get_counter(b"n"),
        list(txn.scan(b"a", b"z", limit=2)),
        list(islice(txn.scan(b"a", b"z", reverse=True), 1)),
    ]


def write(txn: WriteTxn) -> None:
    txn.insert(b"d", b"")
    txn.put(b"a", b"")
    txn.delete(b"b")
    txn.add(b"n", 1)
    txn.get(b"a")
    txn.get_counter(b"n")


def test_rows_are_counted_as_they_are_touched(clock: ManualClock) -> None:
    store = CountingStore(MemoryStore(clock=clock, initialise=fill))
    assert (store.rows_touched, store.rows_written) == (0, 0)
    asyncio.run(store.read(read))
    assert (store.rows_touched, store.rows_written) == (1 + 2 + 1 + 2 + 1, 0)
    store.reset()
    asyncio.run(store.write(write))
    assert (store.rows_touched, store.rows_written) == (2, 4)
