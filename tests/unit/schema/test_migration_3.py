"""From storage version 2 to 3: what follows from the records is filled in once, whatever happens."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from runindex_server.errors import StoreFull
from runindex_server.kv.api import WriteTxn, decode_counter
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys, migration_3, migrations, records
from runindex_server.schema.counters import COUNTED
from runindex_server.schema.derive import derive
from runindex_server.schema.history import Transition, decode_transition
from runindex_server.schema.migrations import migrate
from runindex_server.schema.run import RunId, RunState
from tests.support.busy_store import all_rows, put_rows
from tests.support.clock import ManualClock
from tests.unit.schema.conftest import (
    Dying,
    Frozen,
    Rows,
    header_of,
    no_progress,
    of,
    run,
)


@pytest.fixture
def frozen_2(frozen: Frozen) -> Frozen:
    """Return a store of version 2: the frozen one, or that of version 1 after its first step."""
    if frozen.version == 1:
        store = frozen.store()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(migrations, "STORAGE_VERSION", 2)
            run(migrate(store, progress=no_progress))
        rows, revision = run(store.read(lambda txn: (all_rows(txn), txn.revision)))
        return Frozen(2, rows, revision)
    return frozen


# From 2 to 3.


def test_a_history_begins_with_how_a_run_was_found(migrated: Rows) -> None:
    runs = [records.decode_run(key, value) for key, value in of(migrated, keys.RUN).items()]
    told = [decode_transition(key, value) for key, value in of(migrated, keys.TRANSITION).items()]
    expected = [
        Transition(from_state=None, to_state=run.state, time_us=run.update_us, version=run.version)
        for run in runs
        if run.state is not RunState.ACTIVE
    ]
    assert told == expected
    assert {transition.to_state for transition in told} == set(RunState) - {RunState.ACTIVE}
    assert keys.MIGRATION.prefix not in migrated


def test_all_that_is_counted_and_listed_is_there(migrated: Rows) -> None:
    runs = [records.decode_run(key, value) for key, value in of(migrated, keys.RUN).items()]
    sums: Counter[bytes] = Counter()
    for one in runs:
        sums.update(derive(one).counters)
    for subspace in COUNTED:
        counted = {key: decode_counter(value) for key, value in of(migrated, subspace).items()}
        assert counted
        assert counted == {key: count for key, count in sums.items() if key.startswith(subspace.prefix)}
    for subspace in (keys.STALE, keys.BY_ERROR):
        rows = {
            key: one.run_id for one in runs for key in derive(one).rows if key.startswith(subspace.prefix)
        }
        assert rows
        assert of(migrated, subspace) == rows


def dead_in_the_middle(frozen: Frozen, writes: int) -> MemoryStore:
    """Return a store of version 2 of which the migration has ended before one of its writes."""
    store = frozen.store()
    with pytest.raises(StoreFull):
        run(migrate(Dying(store, writes=writes), progress=no_progress))
    return store


@pytest.mark.usefixtures("in_small_steps")
def test_it_goes_on_where_it_was_and_does_nothing_twice(frozen_2: Frozen, migrated: Rows) -> None:
    whole = Dying(frozen_2.store(), writes=0)
    run(migrate(whole, progress=no_progress))
    for writes in range(2, whole.writes + 1):
        rest = Dying(dead_in_the_middle(frozen_2, writes), writes=0)
        lines: list[str] = []
        run(migrate(rest, progress=lines.append))
        assert lines[1] == "going on with a migration that did not end"
        assert rest.writes == whole.writes - writes + 1
        assert run(rest.read(all_rows)) == migrated


@pytest.mark.usefixtures("in_small_steps")
@pytest.mark.parametrize("left", ["another revision", "no row", "damaged row"])
def test_when_others_have_written_since_it_begins_again(frozen_2: Frozen, migrated: Rows, left: str) -> None:
    store = dead_in_the_middle(frozen_2, 4)
    assert of(run(store.read(all_rows)), keys.FIGURE)

    def change(txn: WriteTxn) -> None:
        if left == "another revision":
            txn.next_revision()
        elif left == "no row":
            txn.delete(keys.MIGRATION.prefix)
        else:
            txn.put(keys.MIGRATION.prefix, b"x")

    run(store.write(change))
    before = run(store.read(all_rows))
    for writes in range(1, 100):
        again = MemoryStore(clock=ManualClock(), initialise=put_rows(before))
        revision = run(store.read(lambda txn: txn.revision))
        run(again.write(lambda txn, to=revision: [txn.next_revision() for _ in range(to)]))
        try:
            run(migrate(Dying(again, writes=writes), progress=no_progress))
        except StoreFull:
            run(migrate(again, progress=no_progress))
            assert run(again.read(all_rows)) == migrated
        else:
            assert run(again.read(all_rows)) == migrated
            return
    pytest.fail("it never ends")


def test_what_a_run_says_when_others_have_written_since_counts(frozen_2: Frozen, monkeypatch: Any) -> None:
    monkeypatch.setattr(migration_3, "RUNS_MAX", 7)
    store = dead_in_the_middle(frozen_2, 4)
    # As a server of version 2 does: without what it does not know.
    found = [records.decode_run(*row) for row in of(frozen_2.rows, keys.RUN).items()]
    old = next(one for one in found if one.tags and one.state is RunState.ACTIVE)

    def untag(txn: WriteTxn) -> None:
        new = old._replace(tags=(), version=old.version + 1, revision=txn.next_revision())
        txn.put(keys.run(new.run_id), records.encode_run(new))
        for row in derive(old).rows.keys() - derive(new).rows.keys():
            txn.delete(row)

    run(store.write(untag))
    run(migrate(store, progress=no_progress))
    tagged = of(run(store.read(all_rows)), keys.TAG_COUNT)
    after = [records.decode_run(*row) for row in of(run(store.read(all_rows)), keys.RUN).items()]
    assert sum(map(decode_counter, tagged.values())) == sum(len(one.tags) for one in after)


def test_runs_with_all_the_tags_they_may_have_fit_into_writes(frozen_2: Frozen, monkeypatch: Any) -> None:
    monkeypatch.setattr(migration_3, "READ_BYTES_MAX", 1 << 30)
    key, value = next(iter(of(frozen_2.rows, keys.RUN).items()))
    other = records.decode_run(key, value)
    rows = dict(frozen_2.rows)
    for number in range(60):
        one = other._replace(
            run_id=RunId(bytes([7]) * 15 + bytes([number])),
            ordinal=1_000 + number,
            state=RunState.COMPLETED,
            outcome=RunState.COMPLETED,
            end_us=other.create_us + number * 1_000_001,
            tags=tuple(f"{number:03}{tag:03}".ljust(128, "y") for tag in range(64)),
        )
        rows[keys.run(one.run_id)] = records.encode_run(one)
    store = Dying(frozen_2.store(rows), writes=0)
    run(migrate(store, progress=no_progress))
    assert store.writes > 4
    tagged = of(run(store.read(all_rows)), keys.TAG_COUNT)
    assert len([tag for tag in tagged if tag.endswith(b"y" * 122 + b"\x00")]) == 60 * 64


def test_nobody_else_may_write_meanwhile(frozen_2: Frozen, monkeypatch: Any) -> None:
    monkeypatch.setattr(migration_3, "RUNS_MAX", 7)

    class Shared(Dying):
        async def write(self, fn: Callable[[WriteTxn], Any]) -> Any:
            if self.writes == 2:
                await self.inner.write(lambda txn: txn.next_revision())
            return await super().write(fn)

    store = Shared(frozen_2.store(), writes=0)
    with pytest.raises(RuntimeError, match="somebody else"):
        run(migrate(store, progress=no_progress))
    assert header_of(store).storage_version == 2
