"""A pass removes what the policies say and nothing else, as the preview told."""

import random

import pytest

from runindex_server import limits
from runindex_server.jobs.retention import expire, passes, sweep, trim
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy, RunId
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tests.support.counting_store import CountingStore
from tests.support.retention_world import INTERVAL_S, RetentionWorld, drain, told
from tests.support.search_world import drive

LATEST = RetentionPolicy(keep_latest_n=2)
DURATION = RetentionPolicy(keep_duration_us=MINUTE_US)
DELETE = RetentionPolicy(delete_after_us=MINUTE_US)
POLICIES = (
    KEEP_ALL,
    LATEST,
    RetentionPolicy(keep_latest_n=1),
    RetentionPolicy(keep_latest_n=7),
    DURATION,
    RetentionPolicy(keep_duration_us=1),
    DELETE,
    RetentionPolicy(delete_after_us=1),
)


class Wanderer:
    """Makes random calls in a world."""

    def __init__(self, world: RetentionWorld, numbers: random.Random) -> None:
        self.world = world
        self.numbers = numbers
        self.created = 0

    def act(self) -> None:
        """Make one call."""
        world, numbers = self.world, self.numbers
        writable = [run_id for run_id, run in world.runs.items() if not run.is_archived]
        run_id = numbers.choice(writable)
        run = world.runs[run_id]
        number = numbers.random()
        if number < 0.08 or len(world.runs) < 3:
            self.created += 1
            world.create(self.created, numbers.choice([None, None, *POLICIES]))
        elif number < 0.14:
            policies = [p for p in POLICIES if run_id != DEFAULT_RUN_ID or p.delete_after_us is None]
            world.set_policy(run_id, numbers.choice(policies))
        elif number < 0.20 and run_id != DEFAULT_RUN_ID:
            if run.end_us is None and numbers.random() < 0.7:
                world.close_run(run_id)
            else:
                world.archive(run_id)
        elif number < 0.22 and run_id != DEFAULT_RUN_ID:
            world.delete(run_id)
        elif number < 0.45:
            world.append(run_id, *numbers.choices("st", k=numbers.randint(1, 3)))
        elif number < 0.55:
            world.put(run_id, "c", numbers.randbytes(numbers.randint(1, 9)), ItemKind.CELL)
        else:
            self._write_key(run_id)
        if number < 0.9:
            world.clock.advance(numbers.choice([0, 0, 1, SECOND_US, 20 * SECOND_US]))

    def _write_key(self, run_id: RunId) -> None:
        name = self.numbers.choice("ab")
        versions = self.world.runs[run_id].items.get((ItemKind.VALUE, name))
        is_there = versions is not None and versions[-1].value is not None
        if is_there and self.numbers.random() < 0.3:
            self.world.put(run_id, name, None)
        else:
            self.world.put(run_id, name, self.numbers.randbytes(self.numbers.randint(1, 9)))


@pytest.fixture(params=["as it is", "tiny steps"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take steps as large as they are, or as small as they can be."""
    if request.param == "tiny steps":
        monkeypatch.setattr(trim, "VICTIMS_MAX", 2)
        monkeypatch.setattr(trim, "RUNS_MAX", 2)
        monkeypatch.setattr(trim, "VALUE_BYTES_MAX", 7)
        monkeypatch.setattr(expire, "RUNS_MAX", 1)
        monkeypatch.setattr(sweep, "RUNS_MAX", 2)
        monkeypatch.setattr(passes, "PENDING_MAX", 1)


@pytest.mark.parametrize("seed", range(12))
def test_a_pass_does_what_the_preview_said_and_what_the_model_says(steps: None, seed: int) -> None:
    numbers = random.Random(seed)
    world = RetentionWorld(default=numbers.choice(POLICIES))
    wanderer = Wanderer(world, numbers)
    for _ in range(8):
        for _ in range(numbers.randint(1, 25)):
            wanderer.act()
        if numbers.random() < 0.3:
            world.restart(numbers.choice(POLICIES))
        before = world.read(lambda txn: list(txn.scan(b"\x00", b"\xff" * 17)))
        preview = told(world.preview())
        assert world.read(lambda txn: list(txn.scan(b"\x00", b"\xff" * 17))) == before
        if numbers.random() < 0.3:
            continue
        assert told(world.compact()) == preview == world.expected_pass()
        world.check()
        assert told(world.preview()) == {}
        # Nothing is looked at again before there is something to remove.
        assert rows_in(world, keys.due_through_range(world.clock.now_us())) == []


@pytest.mark.parametrize("delete_after_us", [1, MINUTE_US])
def test_a_run_is_deleted_when_its_time_is_over_and_not_before(delete_after_us: int) -> None:
    policy = RetentionPolicy(delete_after_us=delete_after_us)
    world = RetentionWorld(default=policy)
    own, other, unfinished = world.create(1, policy), world.create(2), world.create(3)
    world.put(own, "a", b"value")
    world.append(other, "s", "t")
    for run_id in (own, other):
        world.close_run(run_id)
    world.clock.advance(delete_after_us - 1)
    assert told(world.compact()) == {}
    world.clock.advance(1)

    *pieces, _ = world.compact()

    assert {(piece.run_id, piece.is_default_policy, piece.bytes) for piece in pieces} == {
        (own, False, 5),
        (other, True, 10),
    }
    assert all(piece.policy == policy and piece.run_deleted and piece.end_us for piece in pieces)
    world.expected_pass()
    assert world.runs.keys() == {DEFAULT_RUN_ID, unfinished}
    world.check()


def test_an_archived_run_is_trimmed_and_deleted_as_any_other() -> None:
    world = RetentionWorld()
    trimmed, deleted = world.create(1, LATEST), world.create(2, DELETE)
    for _ in range(3):
        world.put(trimmed, "a", b"value")
    world.archive(trimmed)
    world.archive(deleted)
    world.clock.advance(MINUTE_US)

    assert told(world.compact()) == world.expected_pass()
    assert deleted not in world.runs
    world.check()


def test_what_is_current_stays_however_old_it_is() -> None:
    world = RetentionWorld()
    run_id = world.create(1, DURATION)
    world.put(run_id, "a", b"value")
    world.put(run_id, "b", b"value")
    world.put(run_id, "b", None)
    world.clock.advance(1_000 * DAY_US)
    world.compact(trust_clock=True)
    world.expected_pass()

    world.check()
    assert [v.number for v in world.runs[run_id].items[ItemKind.VALUE, "a"]] == [1]
    assert [v.number for v in world.runs[run_id].items[ItemKind.VALUE, "b"]] == [2]
    world.put(run_id, "b", b"value")
    assert world.runs[run_id].items[ItemKind.VALUE, "b"][-1].number == 3


@pytest.mark.parametrize("first", [LATEST, KEEP_ALL, DELETE])
def test_a_changed_default_reaches_what_was_written_before(first: RetentionPolicy) -> None:
    world = RetentionWorld(default=first)
    own = world.create(99, KEEP_ALL)
    for number in range(1, 6):
        world.create(number)
    for run_id in world.runs:
        for _ in range(4):
            world.put(run_id, "a", b"value")
    world.restart(KEEP_ALL)
    world.restart(RetentionPolicy(keep_latest_n=1))

    gone = told(world.preview())

    assert gone.keys() == world.runs.keys() - {own}
    assert told(world.compact()) == gone == world.expected_pass()
    world.check()


def test_a_default_that_is_changed_and_changed_back_misses_nothing() -> None:
    world = RetentionWorld(default=LATEST)
    run_id = world.create(1)
    world.restart(KEEP_ALL)
    for _ in range(4):
        world.put(run_id, "a", b"value")
    world.restart(LATEST)

    assert told(world.compact()) == world.expected_pass() != {}
    world.check()


def test_a_default_that_trims_nothing_any_more_leaves_no_row_behind() -> None:
    world = RetentionWorld(default=LATEST)
    for _ in range(4):
        world.put(DEFAULT_RUN_ID, "a", b"value")
    assert len(rows(world, keys.DUE)) == len(rows(world, keys.DUE_OF)) == 1
    world.restart(KEEP_ALL)

    assert told(world.compact()) == {}
    assert rows(world, keys.DUE) == rows(world, keys.DUE_OF) == []


def rows(world: RetentionWorld, subspace: keys.Subspace) -> list[bytes]:
    """Return the keys of a subspace."""
    return rows_in(world, subspace.range)


def rows_in(world: RetentionWorld, key_range: keys.KeyRange) -> list[bytes]:
    """Return the keys in a range."""
    return world.read(lambda txn: [key for key, _ in txn.scan(*key_range)])


def test_a_row_that_leads_nowhere_goes() -> None:
    world = RetentionWorld()
    run_id = world.create(1, DURATION)
    world.append(run_id, "s")

    def write(txn: WriteTxn) -> None:
        txn.put(keys.due(1, RunId(b"n" * 16), 7), b"")
        txn.put(keys.due(2, run_id, world.generation(run_id)), b"")

    world.compact()
    due = rows(world, keys.DUE)
    world.write(write)
    world.compact()

    assert rows(world, keys.DUE) == due
    world.check()


def test_a_pass_looks_only_at_what_is_due() -> None:
    world = RetentionWorld(default=RetentionPolicy(keep_duration_us=DAY_US))
    for number in range(1, 200):
        world.append(world.create(number), "s")
    world.clock.advance(HOUR_US)
    world.compact()
    counting = CountingStore(world.store)
    retention = Retention(counting, clock=world.clock, default_policy=world.default, interval_s=INTERVAL_S)
    drive(retention.prepare())
    counting.reset()
    drain(retention.compact())

    assert counting.rows_touched < 10


def test_a_full_list_of_changed_terms_stops_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "RUNS_MAX", 4)
    world = RetentionWorld(default=DELETE)
    for number in range(1, 20):
        world.close_run(world.create(number))
    world.clock.advance(MINUTE_US)
    pending = world.read(lambda txn: txn.get_counter(keys.PENDING_TERMS_COUNT))
    monkeypatch.setattr(limits, "PENDING_ROWS_MAX", pending)

    assert told(world.compact()) == world.expected_pass() != {}
    world.check()


def test_trimming_changes_no_run_but_makes_a_revision() -> None:
    world = RetentionWorld(default=LATEST)
    for _ in range(9):
        world.put(DEFAULT_RUN_ID, "a", b"value")
    key = keys.run(DEFAULT_RUN_ID)
    record, revision = world.read(lambda txn: (txn.get(key), txn.revision))
    piece, summary = world.compact()

    assert (piece.revision, summary.revision) == (revision + 1, revision + 1)
    assert world.read(lambda txn: txn.get(key)) == record


def test_runs_of_one_write_have_one_revision() -> None:
    world = RetentionWorld()
    for number in (1, 2):
        run_id = world.create(number, LATEST)
        for _ in range(3):
            world.put(run_id, "a", b"value")
    revision = world.read(lambda txn: txn.revision)

    assert [piece.revision for piece in world.compact()] == [revision + 1] * 3


def test_deleting_many_runs_leaves_few_changes_to_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "PENDING_MAX", 5)
    world = RetentionWorld(default=DELETE)
    for number in range(1, 40):
        world.close_run(world.create(number))
    world.clock.advance(MINUTE_US)
    world.compact()

    assert world.read(lambda txn: txn.get_counter(keys.PENDING_TERMS_COUNT)) <= 5 + expire.RUNS_MAX
