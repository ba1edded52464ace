"""Migrations: bring the store of an older server to the storage version of this one, step by step.

They run before the server serves, while nobody else writes. Each step writes in bounded transactions what
can be written again, or how far it has come with it, and last of all, in one transaction, what must be exact
together with the version that it has reached. So a crash anywhere leaves a store of the older version, which
is migrated again.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import derive, keys, records
from runindex_server.schema.header import STORAGE_VERSION, read_header, replace_header
from runindex_server.schema.migration_3 import fill_in
from runindex_server.schema.run import Run

RUNS_MAX: Final = 1_000
"""Records that one transaction reads."""

BYTES_MAX: Final = 512 * 1024
"""Records that one transaction reads, in bytes, but for the last of them. They may all be written."""

REPORT_RUNS: Final = 100_000
"""Runs after which progress is told."""

Progress: TypeAlias = Callable[[str], None]
"""Is told how far a migration is, a line at a time."""

Finish: TypeAlias = Callable[[WriteTxn], None]
"""Writes what must be exact, in the transaction that writes the new version."""

Step: TypeAlias = Callable[[Store, Progress], Awaitable[Finish]]
"""Brings a store from one version to the next, but for what it returns to be done last."""


async def migrate(store: Store, *, progress: Progress) -> None:
    """Bring a store to the storage version of this server; one that has it is left as it is.

    Args:
        store: Which nobody else writes meanwhile.
        progress: Is told how far it is.

    Raises:
        StoreCorrupt: The header, or a row that has to be migrated, is damaged.
        StorageVersionUnknown: A newer server wrote the store.
        StoreFull: There is no room.
    """
    header = await store.read(lambda txn: read_header(txn, accept_older=True))
    for version in range(header.storage_version, STORAGE_VERSION):
        progress(f"migrating the store from storage version {version} to {version + 1}")
        finish = await STEPS[version](store, progress)
        await store.write(partial(_finish, version=version, finish=finish))
    if header.storage_version < STORAGE_VERSION:
        progress(f"the store has storage version {STORAGE_VERSION}")


def _finish(txn: WriteTxn, *, version: int, finish: Finish) -> None:
    """End a step: write what must be exact, and the version that the store has from now on."""
    finish(txn)
    replace_header(txn, replace(read_header(txn, accept_older=True), storage_version=version + 1))


# From 1 to 2: ended runs are found by their end or expiry, their records tell when they expire, and a counter
# bounds the pending list.


async def _from_1(store: Store, progress: Progress) -> Finish:
    """Add what follows from the records of ended runs, and count the changed terms that wait to be merged."""
    after: bytes | None = keys.RUN.range.start
    runs = reported = 0
    while after is not None:
        batch = await store.read(partial(_next_records, start=after), offload=True)
        if batch.to_write:
            await store.write(partial(_write_ended, run_keys=batch.to_write))
        after = batch.next_start
        runs += batch.runs
        if runs - reported >= REPORT_RUNS or after is None:
            progress(f"{runs} runs migrated")
            reported = runs
    start, end = keys.PENDING_TERMS.range
    pending = await store.read(lambda txn: sum(1 for _ in txn.scan(start, end)), offload=True)

    def count(txn: WriteTxn) -> None:
        txn.delete(keys.PENDING_TERMS_COUNT)
        txn.add(keys.PENDING_TERMS_COUNT, pending)

    return count


@dataclass(frozen=True, slots=True)
class _Records:
    """Some records, in their order.

    Attributes:
        runs: How many there are.
        to_write: The keys of those to which something is to be added.
        next_start: Where the next ones begin; None when there are none.
    """

    runs: int
    to_write: tuple[bytes, ...]
    next_start: bytes | None


def _next_records(txn: ReadTxn, *, start: bytes) -> _Records:
    """Return the records from a key on, as many as fit into a write."""
    to_write = []
    runs = read_bytes = 0
    for key, value in txn.scan(start, keys.RUN.range.end):
        if records.decode_run(key, value).end_us is not None:
            to_write.append(key)
        runs += 1
        read_bytes += len(value)
        if runs == RUNS_MAX or read_bytes > BYTES_MAX:
            return _Records(runs, tuple(to_write), key + b"\x00")
    return _Records(runs, tuple(to_write), None)


def _write_ended(txn: WriteTxn, *, run_keys: tuple[bytes, ...]) -> None:
    """Write the records of ended runs anew, with the rows by which they are found."""
    for key in run_keys:
        value = txn.get(key)
        if value is None:
            continue
        run = records.decode_run(key, value)
        if run.expire_us is not None:
            txn.put(key, records.encode_run(run))
        for row in _rows_of_ended(run):
            txn.put(row, run.run_id)


def _rows_of_ended(run: Run) -> list[bytes]:
    """Return the keys by which an ended run is found by its end or expiry."""
    added = (keys.EXPIRING.prefix, keys.ENDED.prefix)
    return [key for key in derive.rows_of(run) if key.startswith(added)]


STEPS: Final[Mapping[int, Step]] = {1: _from_1, 2: fill_in}
"""By the version from which each leads to the next."""
