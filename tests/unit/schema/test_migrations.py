"""Migrating: the store of an older storage version becomes one of this version, whatever happens to it."""

from itertools import chain
from typing import Any, Final

import pytest

from runindex_server.errors import StoreCorrupt, StoreFull
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys, migration_3, migrations, records
from runindex_server.schema.header import (
    STORAGE_VERSION,
    StorageVersionUnknown,
    StoreNotMigrated,
    new_header,
    read_header,
    write_header,
)
from runindex_server.schema.migration_3 import OLD_CHILD_COUNT
from runindex_server.schema.migrations import migrate
from tests.support.busy_store import all_rows, flipped
from tests.support.clock import ManualClock
from tests.support.consistency import check_store
from tests.unit.schema.conftest import (
    Dying,
    Frozen,
    Rows,
    header_of,
    no_progress,
    of,
    run,
)

BOUNDS_IN_BYTES: Final = (
    (migrations, "BYTES_MAX"),
    (migration_3, "BYTES_MAX"),
    (migration_3, "READ_BYTES_MAX"),
)


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
    assert pending > 0 or frozen.version > 1
    assert int.from_bytes(migrated.get(keys.PENDING_TERMS_COUNT, b""), "big") == pending
    for key, value in of(migrated, keys.RUN).items():
        assert value == records.encode_run(records.decode_run(key, value))


def test_what_was_there_is_left(frozen: Frozen, migrated: Rows) -> None:
    changed = {key for key, value in frozen.rows.items() if migrated.get(key) != value}
    old_counts = {key for key in frozen.rows if key.startswith(OLD_CHILD_COUNT.start)}
    expiring = {keys.run(run_id) for run_id in of(migrated, keys.EXPIRING).values() if frozen.version == 1}
    assert old_counts
    assert not old_counts & migrated.keys()
    assert changed == {keys.STORE_HEADER, *old_counts, *expiring}
    for key in expiring:
        assert records.decode_run(key, migrated[key]) == records.decode_run(key, frozen.rows[key])


def test_the_header_keeps_what_the_store_is(frozen: Frozen) -> None:
    store = frozen.store()
    before = header_of(store)
    run(migrate(store, progress=no_progress))
    after = header_of(store)
    assert (before.storage_version, after.storage_version) == (frozen.version, STORAGE_VERSION)
    for name in ("store_id", "epoch", "token_key", "create_us", "created_by"):
        assert getattr(after, name) == getattr(before, name)


def test_a_migrated_store_is_consistent(migrated: Rows, frozen: Frozen) -> None:
    run(check_store(frozen.store(migrated)))


@pytest.mark.usefixtures("in_small_steps")
def test_steps_of_any_size_come_to_the_same(frozen: Frozen, migrated: Rows, monkeypatch: Any) -> None:
    monkeypatch.setattr(migrations, "REPORT_RUNS", 20)
    monkeypatch.setattr(migration_3, "REPORT_RUNS", 20)
    store = frozen.store()
    lines: list[str] = []
    run(migrate(store, progress=lines.append))
    assert run(store.read(all_rows)) == migrated
    runs = len(of(frozen.rows, keys.RUN))
    steps = range(frozen.version, STORAGE_VERSION)
    told = [f"{number} runs migrated" for number in (*range(21, runs, 21), runs)]
    begun = [f"migrating the store from storage version {version} to {version + 1}" for version in steps]
    ended = f"the store has storage version {STORAGE_VERSION}"
    assert lines == [*chain.from_iterable((line, *told) for line in begun), ended]
    for module, name in BOUNDS_IN_BYTES:
        monkeypatch.setattr(module, name, 1)
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
    with pytest.raises(
        StoreNotMigrated, match=f"storage version {frozen.version}; it has to be migrated to 3"
    ):
        run(frozen.store().read(read_header))


def test_a_newer_store_is_refused(frozen: Frozen, monkeypatch: Any) -> None:
    monkeypatch.setattr("runindex_server.schema.header.STORAGE_VERSION", 4)
    row: Rows = {}
    store = MemoryStore(
        clock=ManualClock(),
        initialise=lambda txn: write_header(txn, new_header(create_us=1, created_by="9.9.9")),
    )
    row = run(store.read(all_rows))
    monkeypatch.undo()
    for accept in (False, True):
        with pytest.raises(StorageVersionUnknown, match="storage version 4"):
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
    assert header_of(store).storage_version == frozen.version
