"""Whatever comes into a pass, beside it or to its end: what goes is right, and is told once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable

import pytest

from runindex_server.jobs.retention import expire, sweep, trim
from runindex_server.jobs.retention.compaction import CompactedRun, CompactionSummary
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy
from tests.support.clock import MINUTE_US, SECOND_US
from tests.support.consistency import check_store
from tests.support.retention_world import INTERVAL_S, HookedStore, Piece, RetentionWorld, told
from tests.support.search_world import drive

LATEST = RetentionPolicy(keep_latest_n=2)
DURATION = RetentionPolicy(keep_duration_us=MINUTE_US)
DELETE = RetentionPolicy(delete_after_us=MINUTE_US)


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
