"""Migrating: the store of an older storage version becomes one of this version, whatever happens to it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest

from runindex_server.errors import StoreCorrupt, StoreFull
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys, migrations, records
from runindex_server.schema.header import (
    STORAGE_VERSION,
    StorageVersionUnknown,
    StoreHeader,
    StoreNotMigrated,
    new_header,
    read_header,
    write_header,
)
from runindex_server.schema.migrations import migrate
from tests.support.busy_store import all_rows, flipped, put_rows
from tests.support.clock import ManualClock
from tests.support.consistency import check_store
from tests.support.frozen import thaw

MAP_BYTES: Final = 64 * 1024 * 1024

Rows = dict[bytes, bytes]


def run(work: Any) -> Any:
    return asyncio.run(work)


def no_progress(_: str) -> None:
    """Take no notice."""


class Frozen:
    """The rows of the frozen store, in memory, as often as they are wanted."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def store(self, rows: Rows | None = None) -> MemoryStore:
        """Return a store that holds some rows, or those of the frozen one."""
        held = self.rows if rows is None else rows

        def fill(txn: WriteTxn) -> None:
            put_rows(held)(txn)
            for _ in range(160):
                txn.next_revision()

        return MemoryStore(clock=ManualClock(), initialise=fill)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """Return the frozen store of the first version."""
    data_dir = tmp_path_factory.mktemp("frozen")
    thaw(data_dir, 1)

    async def read() -> Rows:
        store = open_lmdb(
            data_dir,
            clock=ManualClock(),
            map_bytes=MAP_BYTES,
            initialise=lambda _: None,
            on_fatal=lambda: None,
        )
        try:
            return await store.read(all_rows)
        finally:
            await store.close()

    return Frozen(run(read()))


@pytest.fixture
def in_small_steps(monkeypatch: Any) -> None:
    """Read few runs at a time."""
    monkeypatch.setattr(migrations, "RUNS_MAX", 7)


@pytest.fixture(scope="module")
def migrated(frozen: Frozen) -> Rows:
    """Return the rows of the frozen store, migrated."""
    store = frozen.store()
    run(migrate(store, progress=no_progress))
    return run(store.read(all_rows))


def header_of(store: Store) -> StoreHeader:
    """Return the header of a store of any version."""
    return run(store.read(lambda txn: read_header(txn, accept_older=True)))


def of(rows: Rows, subspace: keys.Subspace) -> Rows:
    """Return the rows of a subspace."""
    return {key: value for key, value in rows.items() if key.startswith(subspace.prefix)}


def test_what_is_new_is_there(frozen: Frozen, migrated: Rows) -> None:
    runs = [records.decode_run(key, value) for key, value in of(migrated, keys.RUN).items()]
    expiring = {keys.expiring(r.expire_us, r.ordinal): r.run_id for r in runs if r.expire_us is not None}
    ended = {
        keys.ended(r.end_us, r.ordinal): r.run_id
        for r in runs
        if r.end_us is not None and r.retention is None
    }
    assert expiring
    assert ended
    assert of(migrated, keys.EXPIRING) == expiring
    assert of(migrated, keys.ENDED) == ended
    pending = len(of(frozen.rows, keys.PENDING_TERMS))
    assert pending > 0
    assert int.from_bytes(migrated[keys.PENDING_TERMS_COUNT], "big") == pending
    for key, value in of(migrated, keys.RUN).items():
        assert value == records.encode_run(records.decode_run(key, value))


def test_what_was_there_is_left(frozen: Frozen, migrated: Rows) -> None:
    changed = {key for key, value in frozen.rows.items() if migrated.get(key) != value}
    expiring = {keys.run(run_id) for run_id in of(migrated, keys.EXPIRING).values()}
    assert changed == {keys.STORE_HEADER, *expiring}
    for key in expiring:
        assert records.decode_run(key, migrated[key]) == records.decode_run(key, frozen.rows[key])


def test_the_header_keeps_what_the_store_is(frozen: Frozen) -> None:
    store = frozen.store()
    before = header_of(store)
    run(migrate(store, progress=no_progress))
    after = header_of(store)
    assert (before.storage_version, after.storage_version) == (1, STORAGE_VERSION)
    for name in ("store_id", "epoch", "token_key", "create_us", "created_by"):
        assert getattr(after, name) == getattr(before, name)


def test_a_migrated_store_is_consistent(migrated: Rows, frozen: Frozen) -> None:
    run(check_store(frozen.store(migrated)))


@pytest.mark.usefixtures("in_small_steps")
def test_steps_of_any_size_come_to_the_same(frozen: Frozen, migrated: Rows, monkeypatch: Any) -> None:
    monkeypatch.setattr(migrations, "REPORT_RUNS", 20)
    store = frozen.store()
    lines: list[str] = []
    run(migrate(store, progress=lines.append))
    assert run(store.read(all_rows)) == migrated
    assert lines == [
        "migrating the store from storage version 1 to 2",
        "21 runs migrated",
        "42 runs migrated",
        "53 runs migrated",
        "the store has storage version 2",
    ]
    monkeypatch.setattr(migrations, "BYTES_MAX", 1)
    store = frozen.store()
    run(migrate(store, progress=no_progress))
    assert run(store.read(all_rows)) == migrated


def test_migrating_again_changes_nothing(frozen: Frozen, migrated: Rows) -> None:
    store = Dying(frozen.store(migrated), writes=0)
    lines: list[str] = []
    run(migrate(store, progress=lines.append))
    assert store.writes == 0
    assert lines == []
    assert run(store.read(all_rows)) == migrated


class Dying:
    """A store that fails before or after one of its writes."""

    def __init__(self, inner: Store, *, writes: int, after: bool = False) -> None:
        self.inner = inner
        self.writes = 0
        self._last = writes
        self._after = after

    async def read(self, fn: Callable[[ReadTxn], Any], *, offload: bool = False) -> Any:
        return await self.inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], Any]) -> Any:
        self.writes += 1
        dies = self.writes == self._last
        if dies and not self._after:
            raise StoreFull
        result = await self.inner.write(fn)
        if dies:
            raise StoreFull
        return result

    async def close(self) -> None:
        await self.inner.close()


@pytest.mark.usefixtures("in_small_steps")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_write_it_is_migrated_again(frozen: Frozen, migrated: Rows, *, after: bool) -> None:
    died = 0
    for writes in range(1, 100):
        store = frozen.store()
        try:
            run(migrate(Dying(store, writes=writes, after=after), progress=no_progress))
        except StoreFull:
            died += 1
        else:
            break
        is_done = run(store.read(all_rows)) == migrated
        assert (header_of(store).storage_version == STORAGE_VERSION) == is_done
        run(migrate(store, progress=no_progress))
        assert run(store.read(all_rows)) == migrated
    assert 5 < died < 99


def test_an_older_store_is_not_opened_unasked(frozen: Frozen) -> None:
    with pytest.raises(StoreNotMigrated, match="storage version 1; it has to be migrated to 2"):
        run(frozen.store().read(read_header))


def test_a_newer_store_is_refused(frozen: Frozen, monkeypatch: Any) -> None:
    monkeypatch.setattr("runindex_server.schema.header.STORAGE_VERSION", 3)
    row: Rows = {}
    store = MemoryStore(
        clock=ManualClock(),
        initialise=lambda txn: write_header(txn, new_header(create_us=1, created_by="9.9.9")),
    )
    row = run(store.read(all_rows))
    monkeypatch.undo()
    for accept in (False, True):
        with pytest.raises(StorageVersionUnknown, match="storage version 3"):
            run(frozen.store(row).read(lambda txn, accept=accept: read_header(txn, accept_older=accept)))
    with pytest.raises(StorageVersionUnknown):
        run(migrate(frozen.store(row), progress=no_progress))


def test_every_older_version_has_a_step() -> None:
    assert sorted(migrations.STEPS) == list(range(1, STORAGE_VERSION))


def test_a_damaged_record_is_not_passed_over(frozen: Frozen) -> None:
    key, value = next(iter(of(frozen.rows, keys.RUN).items()))
    store = frozen.store({**frozen.rows, key: flipped(value, 3)})
    with pytest.raises(StoreCorrupt):
        run(migrate(store, progress=no_progress))
    assert header_of(store).storage_version == 1
