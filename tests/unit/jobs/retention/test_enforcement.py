"""Retention: passes on a schedule and on demand, and none by a clock that has jumped."""

from io import StringIO

import pytest

from runindex_server.errors import ClockJumped, StoreCorrupt
from runindex_server.jobs.retention.clock_guard import ClockJump
from runindex_server.jobs.retention.compaction import CompactionSummary, summary_of
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.schema import keys
from runindex_server.schema.retention_state import ClockTick, Compaction, read_clock_tick, read_compaction
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy
from tests.support.clock import DAY_US, HOUR_US, SECOND_US
from tests.support.retention_world import INTERVAL_S, RetentionWorld, told
from tests.support.search_world import drive

LATEST = RetentionPolicy(keep_latest_n=2)


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
