"""Times: one store clock, the later of the wall clock and the last time issued, gives them all."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pytest

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    Change,
    Restart,
    Stub,
    add_tags,
    archive,
    cancel,
    close,
    create,
    create_in,
    fail,
    get,
    micros,
    pause,
    resume,
    set_retention,
    update,
)
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, START_US, ManualClock
from tests.support.methods import IDLE_ABLE, KEEP_3, build_idle, call, target
from tests.support.stores import ON_DISK

CHANGES: Final[dict[str, Change]] = {
    "update": lambda stub, run_id: update(stub, run_id, {"k": 1}),
    "tags": lambda stub, run_id: add_tags(stub, run_id, "t"),
    "retention": lambda stub, run_id: set_retention(stub, run_id, KEEP_3),
    "pause": pause,
    "close": close,
    "fail": fail,
    "cancel": cancel,
    "archive": archive,
}

every_change: Final = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def test_times_are_the_wall_clocks(stub: Stub, clock: ManualClock) -> None:
    """To the microsecond, as long as it goes forwards."""
    for step_us in (10, 999, SECOND_US, MINUTE_US + 1, DAY_US):
        now_us = clock.advance(step_us)
        run_id = create(stub).run_id
        assert micros(get(stub, run_id).create_time) == now_us
        now_us = clock.advance(7)
        assert micros(close(stub, run_id).update_time) == now_us
        run = get(stub, run_id)
        assert micros(run.end_time) == micros(run.update_time) == now_us
        assert micros(run.duration) == 7


def test_create_times_strictly_increase(stub: Stub, clock: ManualClock) -> None:
    """While the clock stands still, and while it goes backwards."""
    times = [micros(get(stub, DEFAULT).create_time)]
    for step_us in (0, 0, 0, -1, -DAY_US, 0, 5, 2 * DAY_US, 0):
        clock.advance(step_us)
        times.append(micros(create(stub).create_time))
        times.append(micros(create(stub, parent=DEFAULT).create_time))

    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] >= clock.now_us()


def test_changes_issue_times_too(stub: Stub, clock: ManualClock) -> None:
    """A run is created after every change that came before it."""
    run_id = create(stub).run_id
    clock.advance(HOUR_US)
    changed_us = micros(add_tags(stub, run_id, "t").update_time)
    clock.advance(-HOUR_US)

    assert micros(create(stub).create_time) > changed_us


@every_change
def test_no_time_goes_back(stub: Stub, clock: ManualClock, change: Change) -> None:
    """A change while the clock is behind is not earlier than what came before; no duration is negative."""
    run = create(stub)
    clock.advance(-DAY_US)

    answer = change(stub, run.run_id)

    assert micros(answer.update_time) >= micros(run.update_time)
    after = get(stub, run.run_id)
    assert after.update_time == answer.update_time
    assert after.create_time == run.create_time
    if after.HasField("duration"):
        assert micros(after.duration) >= 0


@every_change
def test_every_change_moves_the_update_time(stub: Stub, clock: ManualClock, change: Change) -> None:
    """To the time of the change."""
    run_id = create(stub).run_id
    now_us = clock.advance(SECOND_US)

    assert micros(change(stub, run_id).update_time) == now_us


@pytest.mark.parametrize("name", IDLE_ABLE)
def test_a_call_that_changes_nothing_moves_no_time(stub: Stub, clock: ManualClock, name: str) -> None:
    """Neither the update time nor the sign of life."""
    run_id = target(stub, name)
    before = get(stub, run_id)
    clock.advance(HOUR_US)

    assert call(stub, name, build_idle(name, run_id)).update_time == before.update_time

    assert get(stub, run_id) == before


@pytest.mark.parametrize(
    ("now_us", "minute_us"),
    [
        (START_US + DAY_US, START_US + DAY_US - 30_123_456),
        (START_US + DAY_US - 30_123_456, START_US + DAY_US - 30_123_456),
        (START_US + DAY_US - 30_123_457, START_US + DAY_US - 30_123_456 - MINUTE_US),
    ],
    ids=["within", "at", "just before"],
)
def test_the_sign_of_life_is_a_whole_minute(
    stub: Stub, clock: ManualClock, now_us: int, minute_us: int
) -> None:
    """Rounded down, at creation and at each change."""
    old = create(stub).run_id
    clock.set(now_us)
    run = create(stub)
    pause(stub, old)

    assert micros(run.activity_time) == minute_us
    assert micros(get(stub, old).activity_time) == minute_us


def test_the_sign_of_life_is_the_runs_own(stub: Stub, clock: ManualClock) -> None:
    """A child's changes are not signs of its parent's life, and reads are none at all."""
    parent = create(stub)
    clock.advance(HOUR_US)
    child = create(stub, parent=parent.run_id)
    close(stub, child.run_id)

    assert get(stub, parent.run_id).activity_time == parent.activity_time
    assert micros(child.activity_time) - micros(parent.activity_time) == HOUR_US


@pytest.mark.parametrize(
    ("way", "ends"),
    [
        ((), None),
        ((pause,), None),
        ((pause, resume), None),
        ((close,), 1),
        ((pause, cancel), 2),
        ((fail, archive), 1),
        ((archive,), 1),
        ((pause, resume, pause, archive), 4),
        ((cancel, archive), 1),
    ],
    ids=lambda value: "-".join(step.__name__ for step in value) if isinstance(value, tuple) else "",
)
def test_when_a_run_ends(
    stub: Stub, clock: ManualClock, way: tuple[Callable[..., Any], ...], ends: int | None
) -> None:
    """With the first step to an end, once and for all."""
    now_us = clock.advance(SECOND_US)
    run_id = create(stub).run_id
    for step in way:
        clock.advance(SECOND_US)
        step(stub, run_id)

    run = get(stub, run_id)
    assert run.HasField("end_time") == run.HasField("duration") == (ends is not None)
    if ends is not None:
        assert micros(run.end_time) == now_us + ends * SECOND_US
        assert micros(run.duration) == ends * SECOND_US


@ON_DISK
def test_times_go_on_after_a_restart(stub: Stub, clock: ManualClock, restart: Restart) -> None:
    """The last time issued is the store's, also for a server whose clock is behind."""
    clock.advance(HOUR_US)
    before = create(stub)
    clock.advance(-2 * HOUR_US)

    again = restart()

    assert micros(create(again).create_time) > micros(before.create_time)
    close(again, before.run_id)
    run = get(again, before.run_id)
    assert micros(run.end_time) >= micros(run.create_time)


@pytest.mark.parametrize("state", [pb.RUN_STATE_FAILED, pb.RUN_STATE_ARCHIVED], ids=pb.RunState.Name)
def test_a_late_change_leaves_the_end(stub: Stub, clock: ManualClock, state: int) -> None:
    """What comes after the end moves the update time only."""
    run = create_in(stub, state)
    clock.advance(HOUR_US)

    set_retention(stub, run.run_id, KEEP_3)

    after = get(stub, run.run_id)
    assert (after.end_time, after.duration) == (run.end_time, run.duration)
    assert micros(after.update_time) == clock.now_us()
