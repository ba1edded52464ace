"""Retention: a pass removes what the policies say and nothing else, as the preview told."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from io import StringIO

import pytest

from runindex_server import limits
from runindex_server.errors import ClockJumped, StoreCorrupt
from runindex_server.jobs import expire, retention_pass, sweep, trim
from runindex_server.jobs.clock_guard import ClockJump
from runindex_server.jobs.compaction import CompactedRun, CompactionSummary, summary_of
from runindex_server.jobs.retention import Retention
from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.retention_state import ClockTick, Compaction, read_clock_tick, read_compaction
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy, RunId
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from tests.support.consistency import check_store
from tests.support.counting_store import CountingStore
from tests.support.retention_world import INTERVAL_S, HookedStore, Piece, RetentionWorld, drain, told
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
        monkeypatch.setattr(retention_pass, "PENDING_MAX", 1)


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


def test_a_pass_that_writes_come_into_leaves_what_one_without_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written between the reads and the writes of a pass, the next one sets it right."""
    monkeypatch.setattr(trim, "VICTIMS_MAX", 3)
    numbers = random.Random(1)
    world = RetentionWorld(default=LATEST)
    runs = [
        DEFAULT_RUN_ID,
        *(world.create(number, policy) for number, policy in enumerate((LATEST, DURATION), 1)),
    ]
    inner = world.store

    def write_something() -> None:
        run_id = numbers.choice(runs)
        if numbers.random() < 0.5:
            world.put(run_id, numbers.choice("ab"), b"value")
        else:
            world.append(run_id, *numbers.choices("st", k=numbers.randint(1, 3)))
        world.clock.advance(numbers.choice([0, 0, SECOND_US, 20 * SECOND_US]))

    for _ in range(20):
        for _ in range(20):
            write_something()
        world.retention = Retention(
            HookedStore(inner, write_something),
            clock=world.clock,
            default_policy=LATEST,
            interval_s=INTERVAL_S,
        )
        world.compact()
        drive(check_store(inner))
        world.retention = world.new_retention()
        world.compact()
        world.expected_pass()
        world.check()


@pytest.mark.parametrize("policy", [LATEST, DURATION], ids=["latest", "duration"])
def test_a_policy_that_is_changed_in_the_middle_of_a_pass_holds(policy: RetentionPolicy) -> None:
    world = RetentionWorld()
    run_id = world.create(1, policy)
    for _ in range(4):
        world.put(run_id, "a", b"value")
        world.append(run_id, "s")
    world.clock.advance(2 * MINUTE_US)

    pieces = compact_with(world, lambda: world.set_policy(run_id, KEEP_ALL))

    assert told(pieces) == {}
    world.check()


def test_a_run_that_is_deleted_and_created_again_in_the_middle_of_a_pass_keeps_all() -> None:
    world = RetentionWorld()
    run_id = world.create(1, LATEST)
    for _ in range(4):
        world.put(run_id, "a", b"value")

    def again() -> None:
        world.delete(run_id)
        world.create(1, LATEST)
        for _ in range(3):
            world.put(run_id, "a", b"value")

    pieces = compact_with(world, again)

    assert told(pieces) == {}
    world.check()
    world.compact()
    assert world.expected_pass()
    world.check()


@pytest.mark.parametrize("change", ["policy", "again", "gone"])
def test_a_run_that_is_no_longer_to_expire_is_not_deleted(change: str) -> None:
    world = RetentionWorld()
    run_id = world.create(1, DELETE)
    world.close_run(run_id)
    world.clock.advance(MINUTE_US)

    def do_change() -> None:
        if change == "policy":
            world.set_policy(run_id, RetentionPolicy(delete_after_us=MINUTE_US + 1))
        else:
            world.delete(run_id)
            if change == "again":
                world.create(1, DELETE)

    pieces = compact_with(world, do_change)

    assert told(pieces) == {}
    world.check()


def compact_with(world: RetentionWorld, happens: Callable[[], None]) -> list[Piece]:
    """Take a pass in which something happens once, before its first write of data."""
    calls = []

    def before_write() -> None:
        # The first write notes down the clock, the second takes the store's time.
        calls.append(1)
        if len(calls) == 3:
            happens()

    inner = world.retention
    store = HookedStore(world.store, before_write)
    retention = Retention(store, clock=world.clock, default_policy=world.default, interval_s=INTERVAL_S)
    drive(retention.prepare())
    calls.clear()
    world.retention = retention
    pieces = world.compact()
    world.retention = inner
    assert len(calls) >= 4
    return pieces


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


@pytest.mark.parametrize("cut", range(12))
def test_a_pass_that_is_cut_off_loses_nothing(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    monkeypatch.setattr(trim, "VICTIMS_MAX", 2)
    monkeypatch.setattr(expire, "RUNS_MAX", 1)
    world = RetentionWorld(default=LATEST)
    expiring = [world.create(number, DELETE) for number in (1, 2)]
    for run_id in list(world.runs):
        for _ in range(5):
            world.put(run_id, "a", b"value")
            world.append(run_id, "s")
    for run_id in expiring:
        world.close_run(run_id)
    world.clock.advance(MINUTE_US)
    expected = told(world.preview())

    async def begin() -> list[Piece]:
        pieces = world.retention.compact()
        first = [piece async for _, piece in azip(range(cut), pieces)]
        await pieces.aclose()
        return first

    first = asyncio.run(begin())
    drive(check_store(world.store))
    rest = world.compact()

    assert (
        told([*[p for p in first if isinstance(p, CompactedRun)], *rest[:-1], sum_of(first, rest)])
        == expected
    )
    world.expected_pass()
    world.check()


async def azip(
    numbers: range, pieces: AsyncGenerator[Piece, None]
) -> AsyncGenerator[tuple[int, Piece], None]:
    """Yield the first pieces, numbered, and read no further."""
    for number in numbers:
        try:
            yield number, await anext(pieces)
        except StopAsyncIteration:
            return


def sum_of(first: list[Piece], rest: list[Piece]) -> CompactionSummary:
    """Return a summary of two passes that follow each other."""
    runs = [piece for piece in [*first, *rest] if isinstance(piece, CompactedRun)]
    deleted = [piece for piece in runs if piece.run_deleted]
    return CompactionSummary(
        start_us=0,
        duration_us=0,
        dry_run=False,
        runs_deleted=len(deleted),
        runs_trimmed=len({piece.run_id for piece in runs if not piece.run_deleted}),
        versions=sum(piece.versions for piece in runs),
        events=sum(piece.events for piece in runs),
        bytes=sum(piece.bytes for piece in runs),
        revision=0,
    )


def test_passes_at_once_remove_each_thing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trim, "VICTIMS_MAX", 2)
    world = RetentionWorld(default=LATEST)
    for run_id in (DEFAULT_RUN_ID, world.create(1)):
        for _ in range(9):
            world.put(run_id, "a", b"value")

    async def both() -> list[list[Piece]]:
        async def one() -> list[Piece]:
            return [piece async for piece in world.retention.compact()]

        return list(await asyncio.gather(one(), one()))

    one, other = asyncio.run(both())
    gone = told(one)
    for run_id, counts in told(other).items():
        gone[run_id] = gone.get(run_id, Counter()) + counts

    assert gone == world.expected_pass()
    world.check()


def test_nobody_waits_for_a_pass_whose_caller_does_not_read() -> None:
    world = RetentionWorld(default=LATEST)
    for run_id in (DEFAULT_RUN_ID, world.create(1)):
        for _ in range(9):
            world.put(run_id, "a", b"value")

    async def run() -> None:
        stuck = world.retention.compact()
        await anext(stuck)
        async with asyncio.timeout(30):
            assert [piece async for piece in world.retention.compact()]
        await stuck.aclose()

    asyncio.run(run())
    world.expected_pass()
    world.check()


def test_the_last_compaction_is_remembered() -> None:
    world = RetentionWorld(default=LATEST)
    assert world.read(read_compaction) is None
    for _ in range(9):
        world.put(DEFAULT_RUN_ID, "a", b"value")
    world.preview()
    assert world.read(read_compaction) is None
    summary = world.compact()[-1]

    expected = Compaction(start_us=world.clock.now_us(), duration_us=0, runs_trimmed=1, versions=7, bytes=35)
    assert world.read(read_compaction) == expected
    assert isinstance(summary, CompactionSummary)
    assert summary_of(expected, dry_run=False, revision=summary.revision) == summary


def test_trimming_changes_no_run_but_makes_a_revision() -> None:
    world = RetentionWorld(default=LATEST)
    for _ in range(9):
        world.put(DEFAULT_RUN_ID, "a", b"value")
    key = keys.run(DEFAULT_RUN_ID)
    record, revision = world.read(lambda txn: (txn.get(key), txn.revision))
    piece, summary = world.compact()

    assert (piece.revision, summary.revision) == (revision + 1, revision + 1)
    assert world.read(lambda txn: txn.get(key)) == record


# The clock and the schedule.


def test_nothing_is_removed_while_the_clock_is_not_trusted() -> None:
    world = RetentionWorld(default=LATEST)
    for _ in range(9):
        world.put(DEFAULT_RUN_ID, "a", b"value")
    world.clock.set(world.clock.now_us() + DAY_US)

    with pytest.raises(ClockJumped) as raised:
        world.compact()
    assert raised.value.metadata["aheadSeconds"] == str(DAY_US // SECOND_US)
    assert world.retention.clock_jump() == ClockJump(ahead_us=DAY_US, resume_us=world.clock.now_us() + DAY_US)
    gone = told(world.preview())
    assert gone
    world.check()

    assert told(world.compact(trust_clock=True)) == gone
    assert world.retention.clock_jump() is None


def test_removing_goes_on_by_itself_when_the_time_has_passed() -> None:
    world = RetentionWorld(default=LATEST)
    world.clock.set(world.clock.now_us() + DAY_US)
    with pytest.raises(ClockJumped):
        world.compact()
    world.clock.advance(DAY_US - 1)
    with pytest.raises(ClockJumped):
        world.compact()
    world.clock.advance(1)
    world.compact()


def test_a_pass_is_due_after_the_interval() -> None:
    world = RetentionWorld()
    assert world.retention.next_time_us == world.clock.now_us() + INTERVAL_S * SECOND_US
    assert drive(world.retention.run_due()) is False
    world.clock.advance(INTERVAL_S * SECOND_US - 1)
    assert drive(world.retention.run_due()) is False
    world.clock.advance(1)
    assert world.retention.next_time_us == world.clock.now_us()
    assert drive(world.retention.run_due()) is True
    assert drive(world.retention.run_due()) is False
    assert world.retention.next_time_us == world.clock.now_us() + INTERVAL_S * SECOND_US


def test_restarts_do_not_postpone_a_pass() -> None:
    world = RetentionWorld()
    world.compact()
    start_us = world.clock.now_us()
    for _ in range(4):
        world.clock.advance(INTERVAL_S * SECOND_US // 4)
        world.restart(KEEP_ALL)
        assert world.retention.next_time_us == start_us + INTERVAL_S * SECOND_US
    assert drive(world.retention.run_due()) is True


def test_a_clock_that_is_set_back_postpones_a_pass_by_no_more_than_the_interval() -> None:
    world = RetentionWorld()
    world.compact()
    world.clock.set(world.clock.now_us() - 1_000 * DAY_US)
    world.restart(KEEP_ALL)
    assert world.retention.next_time_us == world.clock.now_us() + INTERVAL_S * SECOND_US
    world.clock.set(world.clock.now_us() - 1_000 * DAY_US)
    world.clock.advance(INTERVAL_S * SECOND_US)
    assert drive(world.retention.run_due()) is True


def test_without_an_interval_none_is_scheduled() -> None:
    world = RetentionWorld()
    retention = Retention(world.store, clock=world.clock, default_policy=KEEP_ALL, interval_s=0)
    drive(retention.prepare())
    world.clock.advance(1_000 * DAY_US)

    assert retention.next_time_us is None
    assert drive(retention.run_due()) is False


def test_a_scheduled_pass_that_the_clock_forbids_is_said_once(log: StringIO) -> None:
    world = RetentionWorld()
    world.clock.set(world.clock.now_us() + DAY_US)
    for _ in range(3):
        world.clock.advance(INTERVAL_S * SECOND_US)
        assert drive(world.retention.run_due()) is False
    assert log.getvalue().count("retention pauses") == 1
    world.clock.advance(DAY_US)
    assert drive(world.retention.run_due()) is True


def test_the_clock_is_noted_down_between_passes() -> None:
    world = RetentionWorld()
    retention = Retention(world.store, clock=world.clock, default_policy=KEEP_ALL, interval_s=7 * 86_400)
    drive(retention.run_due())
    for _ in range(3):
        world.clock.advance(HOUR_US)
        assert drive(retention.run_due()) is False
        assert world.read(read_clock_tick) == ClockTick(world.clock.now_us())


def test_a_pass_that_fails_is_tried_again_after_the_interval() -> None:
    world = RetentionWorld(default=LATEST)
    world.write(
        lambda txn: txn.put(keys.due_of(DEFAULT_RUN_ID, world.generation(DEFAULT_RUN_ID)), b"damaged")
    )
    world.write(lambda txn: txn.put(keys.due(1, DEFAULT_RUN_ID, world.generation(DEFAULT_RUN_ID)), b""))
    world.clock.advance(INTERVAL_S * SECOND_US)
    with pytest.raises(StoreCorrupt):
        drive(world.retention.run_due())
    assert drive(world.retention.run_due()) is False
    world.clock.advance(INTERVAL_S * SECOND_US)
    with pytest.raises(StoreCorrupt):
        drive(world.retention.run_due())


@pytest.mark.parametrize("policy", [LATEST, DURATION, DELETE], ids=["latest", "duration", "delete"])
def test_passes_of_two_processes_do_no_harm(policy: RetentionPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that went on when its pass was cut off can come into the next one: then both find the same."""
    monkeypatch.setattr(trim, "VICTIMS_MAX", 3)
    monkeypatch.setattr(expire, "RUNS_MAX", 1)
    monkeypatch.setattr(sweep, "RUNS_MAX", 1)
    world = RetentionWorld()
    for number in (1, 2):
        run_id = world.create(number)
        for _ in range(5):
            world.put(run_id, "a", b"value")
            world.append(run_id, "s", "t")
        if policy is DELETE:
            world.close_run(run_id)
    world.restart(policy)
    world.clock.advance(2 * MINUTE_US)
    other = world.new_retention()

    async def pass_of_other() -> None:
        others.extend([piece async for piece in other.compact()])

    others: list[Piece] = []
    pieces = compact_with(world, lambda: drive(pass_of_other()))

    gone = told(others)
    for run_id, counts in told(pieces).items():
        gone[run_id] = gone.get(run_id, Counter()) + counts
    assert gone == world.expected_pass()
    world.check()


def test_runs_of_one_write_have_one_revision() -> None:
    world = RetentionWorld()
    for number in (1, 2):
        run_id = world.create(number, LATEST)
        for _ in range(3):
            world.put(run_id, "a", b"value")
    revision = world.read(lambda txn: txn.revision)

    assert [piece.revision for piece in world.compact()] == [revision + 1] * 3


def test_deleting_many_runs_leaves_few_changes_to_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_pass, "PENDING_MAX", 5)
    world = RetentionWorld(default=DELETE)
    for number in range(1, 40):
        world.close_run(world.create(number))
    world.clock.advance(MINUTE_US)
    world.compact()

    assert world.read(lambda txn: txn.get_counter(keys.PENDING_TERMS_COUNT)) <= 5 + expire.RUNS_MAX
