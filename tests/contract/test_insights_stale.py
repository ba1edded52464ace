"""ListStaleRuns: unfinished runs that nobody touched for some time, the stalest first."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support import methods
from tests.support.calls import (
    DEFAULT,
    Stub,
    add_tags,
    cancel,
    check_refused,
    close,
    create,
    fail,
    get,
    ids,
    micros,
    pause,
    resume,
    set_retention,
    update,
)
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, START_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import Data, put
from tests.support.insight_methods import Insights
from tests.support.server import LoopThread, RunningServer
from tests.support.stale_runs import (
    ACTIVE,
    ENDS,
    PAUSED,
    TOUCHES,
    ask,
    every_touch,
    expected,
    stale,
)
from tests.support.stores import IN_MEMORY
from tests.support.together import outcome_of

DURATION_S_MAX: Final = 315_576_000_000


@pytest.mark.parametrize("idle_us", [1, 30_123_456, MINUTE_US, HOUR_US, 40 * DAY_US])
def test_a_run_is_stale_from_a_moment_on(
    stub: Stub, insights: Insights, clock: ManualClock, idle_us: int
) -> None:
    """That long after its activity, which is of the minute in which it was touched, and not earlier."""
    clock.advance(DAY_US)
    run = create(stub)
    activity_us = micros(run.activity_time)
    assert activity_us == START_US + DAY_US - 30_123_456

    clock.set(activity_us + idle_us - 1)
    assert stale(insights, idle_us) == []
    clock.set(activity_us + idle_us)
    assert stale(insights, idle_us) == [run.run_id]


def test_the_stalest_come_first(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """Those of one minute in the order of creation, active and paused ones among each other."""
    made = []
    for place in range(6):
        made.append(create(stub).run_id)
        if place % 2:
            pause(stub, made[-1])
            clock.advance(MINUTE_US)
    update(stub, made[0], {"k": 1})
    clock.advance(HOUR_US)

    order = [made[1], made[2], made[3], made[4], made[5], made[0]]
    assert stale(insights) == order
    assert stale(insights, states=[PAUSED, ACTIVE, PAUSED]) == order
    assert stale(insights, states=[ACTIVE]) == [made[2], made[4], made[0]]
    assert stale(insights, states=[PAUSED]) == [made[1], made[3], made[5]]


def test_the_default_run_is_never_stale(
    stub: Stub, data: Data, insights: Insights, clock: ManualClock
) -> None:
    put(data, DEFAULT, "k", 1)
    add_tags(stub, DEFAULT, "t")
    clock.advance(1_000 * DAY_US)

    assert stale(insights, 1) == []


@every_touch
def test_a_touch_moves_a_run_to_the_end(
    stub: Stub,
    data: Data,
    insights: Insights,
    clock: ManualClock,
    touch: Callable[[Stub, Data, str], object],
) -> None:
    """A change of the run, or a write of its data; then it is not stale until it is left alone again."""
    first, second = create(stub).run_id, create(stub).run_id
    clock.advance(HOUR_US)
    touch(stub, data, first)
    assert stale(insights) == [second]

    clock.advance(HOUR_US - MINUTE_US)
    assert stale(insights) == [second]
    clock.advance(MINUTE_US)
    assert stale(insights) == [second, first]


def test_what_is_no_touch(stub: Stub, data: Data, insights: Insights, clock: ManualClock) -> None:
    """Reads, calls that change nothing, and what befalls a run's children."""
    run_id = create(stub, tags=["t"], metadata={"k": 1}).run_id
    put(data, run_id, "k", 1)
    clock.advance(HOUR_US)
    get(stub, run_id)
    add_tags(stub, run_id, "t")
    update(stub, run_id, {"k": 1})
    close(stub, create(stub, parent=run_id).run_id)

    assert stale(insights) == [run_id]


def test_pausing_and_resuming_move_a_run_between_states(
    stub: Stub, insights: Insights, clock: ManualClock
) -> None:
    run_id = create(stub).run_id
    for change, state, other in ((pause, PAUSED, ACTIVE), (resume, ACTIVE, PAUSED)):
        change(stub, run_id)
        clock.advance(HOUR_US)
        assert stale(insights, states=[state]) == [run_id]
        assert stale(insights, states=[other]) == []


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_paused", [False, True])
def test_an_end_removes_a_run(
    stub: Stub, insights: Insights, clock: ManualClock, end: Callable[..., object], *, is_paused: bool
) -> None:
    """However it ends, and whatever is done to it afterwards."""
    kept, run_id = create(stub).run_id, create(stub).run_id
    if is_paused:
        pause(stub, run_id)
    clock.advance(HOUR_US)
    assert stale(insights) == [kept, run_id]
    if is_paused and end in (close, fail):
        resume(stub, run_id)
    end(stub, run_id)
    if end in (close, fail, cancel):
        add_tags(stub, run_id, "late")
    clock.advance(DAY_US)

    assert stale(insights) == [kept]


def test_views(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """A run comes as GetRun returns it, and the view may change from page to page."""
    run_ids = [create(stub, tags=["t"], metadata={"k": [1]}).run_id for _ in range(4)]
    set_retention(stub, run_ids[0], methods.KEEP_3)
    clock.advance(HOUR_US)
    token, found = "", []
    views = (
        index_pb.RUN_VIEW_FULL,
        index_pb.RUN_VIEW_ID_ONLY,
        index_pb.RUN_VIEW_BASIC,
        index_pb.RUN_VIEW_UNSPECIFIED,
    )

    for place, view in enumerate(views):
        answer = ask(insights, page_size=1, view=view, page_token=token)
        got = stub.GetRun(index_pb.GetRunRequest(run_id=run_ids[place], view=view)).run
        assert list(answer.runs) == [got]
        found += ids(answer)
        token = answer.next_page_token
    assert (found, token) == (run_ids, "")


FAILED: Final = index_pb.RUN_STATE_FAILED
HOUR: Final = Duration(seconds=3_600)


@IN_MEMORY
@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({}, "FIELD_REQUIRED", "idle_for"),
        ({"idle_for": Duration()}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(seconds=-1)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(nanos=-1_000)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(seconds=1, nanos=-1_000)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(nanos=999)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(seconds=1, nanos=1_001)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(nanos=1_000_000_000)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": Duration(seconds=DURATION_S_MAX, nanos=1_000)}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": HOUR, "states": [FAILED]}, "INVALID_FIELD", "states[0]"),
        ({"idle_for": HOUR, "states": [ACTIVE, index_pb.RUN_STATE_ARCHIVED]}, "INVALID_FIELD", "states[1]"),
        ({"idle_for": HOUR, "states": [0]}, "INVALID_STATE", "states[0]"),
        ({"idle_for": HOUR, "states": [PAUSED, 7]}, "INVALID_STATE", "states[1]"),
        ({"idle_for": HOUR, "view": 9}, "INVALID_FIELD", "view"),
        ({"idle_for": HOUR, "page_size": -1}, "INVALID_PAGE_SIZE", "page_size"),
        ({"idle_for": HOUR, "page_token": "x"}, "INVALID_PAGE_TOKEN", "page_token"),
        ({"states": [FAILED], "page_size": -1}, "FIELD_REQUIRED", "idle_for"),
        ({"idle_for": Duration(), "states": [FAILED]}, "INVALID_FIELD", "idle_for"),
        ({"idle_for": HOUR, "states": [7, FAILED], "view": 9}, "INVALID_FIELD", "states[1]"),
        ({"idle_for": HOUR, "states": [7], "view": 9}, "INVALID_FIELD", "view"),
        ({"idle_for": HOUR, "states": [7], "page_size": -1}, "INVALID_STATE", "states[0]"),
        ({"idle_for": HOUR, "page_size": -1, "page_token": "x"}, "INVALID_PAGE_SIZE", "page_size"),
    ],
)
def test_refusals(insights: Insights, fields: dict[str, Any], reason: str, field: str) -> None:
    """In the order of the contract."""
    request = pb.ListStaleRunsRequest(**fields)

    check_refused(lambda: insights.ListStaleRuns(request), Code.INVALID_ARGUMENT, reason, field=field)


@pytest.mark.parametrize("idle_for", [Duration(nanos=1_000), Duration(seconds=DURATION_S_MAX)])
def test_idle_times_at_the_bounds(
    stub: Stub, insights: Insights, clock: ManualClock, idle_for: Duration
) -> None:
    run_id = create(stub).run_id
    clock.advance(DAY_US)

    found = ids(insights.ListStaleRuns(pb.ListStaleRunsRequest(idle_for=idle_for)))

    assert found == ([run_id] if idle_for.seconds == 0 else [])


@pytest.mark.parametrize("seed", range(3))
def test_stale_runs_are_those_of_all_runs(
    loop: LoopThread,
    server: RunningServer,
    stub: Stub,
    data: Data,
    insights: Insights,
    clock: ManualClock,
    seed: int,
) -> None:
    """After any calls; and asking changes nothing."""
    random = Random(seed)  # Not for secrets.
    run_ids: list[str] = [DEFAULT]
    touches = [*TOUCHES.values(), lambda stub, _, run_id: resume(stub, run_id)]

    def step() -> None:
        clock.advance(random.choice((0, SECOND_US, 50 * SECOND_US, 10 * MINUTE_US)))
        if random.random() < 0.4:
            run_ids.append(create(stub).run_id)
        elif random.random() < 0.2:
            random.choice(ENDS)(stub, random.choice(run_ids))
        else:
            random.choice(touches)(stub, data, random.choice(run_ids))

    for _ in range(10):
        for _ in range(12):
            assert outcome_of(step) in ("done", "FAILED_PRECONDITION", "NOT_FOUND")
        us = random.choice((1, MINUTE_US, 20 * MINUTE_US, HOUR_US, DAY_US))
        states = random.choice(((ACTIVE, PAUSED), (ACTIVE,), (PAUSED,)))
        whole = expected(stub, clock.now_us(), us, states)
        assert stale(insights, us, states=states, page_size=random.randrange(1, 6)) == whole
        assert expected(stub, clock.now_us(), us, states) == whole
    loop.run(check_store(server.store))
