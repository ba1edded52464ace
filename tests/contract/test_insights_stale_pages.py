"""ListStaleRuns, page by page, while runs are touched and end."""

from collections.abc import Callable
from typing import Any

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import PAGE_BYTES_MAX
from tests.support.calls import (
    Stub,
    add_tags,
    check_refused,
    create,
    delete,
    ids,
    pause,
    resume,
)
from tests.support.clock import HOUR_US, MINUTE_US, SECOND_US, ManualClock
from tests.support.data_calls import Data
from tests.support.insight_methods import Insights
from tests.support.stale_runs import (
    ACTIVE,
    ENDS,
    PAUSED,
    ask,
    every_touch,
    expected,
    pages,
    stale,
)
from tests.support.stores import IN_MEMORY


def fill(stub: Stub, clock: ManualClock, count: int = 9) -> list[str]:
    """Create runs, three in each minute, pause every fourth, let an hour pass, and return their ids."""
    made = []
    for place in range(count):
        made.append(create(stub).run_id)
        if place % 4 == 0:
            pause(stub, made[-1])
        if place % 3 == 2:
            clock.advance(MINUTE_US)
    clock.advance(HOUR_US)
    return made


@pytest.mark.parametrize("states", [(), (ACTIVE,), (PAUSED,), (ACTIVE, PAUSED)])
def test_pages_join_to_the_whole(
    stub: Stub, insights: Insights, clock: ManualClock, states: tuple[int, ...]
) -> None:
    """Whatever the size; every page but the last is full, and the token is empty exactly at the end."""
    fill(stub, clock)
    whole = expected(stub, clock.now_us(), HOUR_US, states or (ACTIVE, PAUSED))
    assert len(whole) >= 3

    for size in range(1, len(whole) + 2):
        found = list(pages(insights, states=states, page_size=size))
        assert [run_id for page in found for run_id in page] == whole
        assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
        assert len(found) == -(-len(whole) // size)


def test_idle_times_count_from_the_first_page(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """What has become stale since then is on none of the later pages, but when it is asked for anew."""
    made = fill(stub, clock)
    late = create(stub).run_id
    first = ask(insights, page_size=2)
    clock.advance(2 * HOUR_US)

    assert ids(first) + stale(insights, page_size=2, page_token=first.next_page_token) == made
    assert stale(insights) == [*made, late]


@every_touch
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_run_touched_between_two_pages(
    stub: Stub,
    data: Data,
    insights: Insights,
    clock: ManualClock,
    touch: Callable[[Stub, Data, str], object],
    place: int,
) -> None:
    """It is not stale any more, and does not come again; each of the others comes exactly once."""
    made = fill(stub, clock)
    first = ask(insights, page_size=3)
    assert ids(first) == made[:3]
    if place % 4 == 0:
        resume(stub, made[place])
    touch(stub, data, made[place])

    rest = stale(insights, page_size=2, page_token=first.next_page_token)
    assert rest == [run_id for run_id in made[3:] if run_id != made[place]]


def test_of_less_than_a_minute_a_run_can_come_again(
    stub: Stub, insights: Insights, clock: ManualClock
) -> None:
    """When it is touched between two pages, because its activity is of the beginning of that minute."""
    made = fill(stub, clock, 3)
    clock.set(clock.now_us() // MINUTE_US * MINUTE_US + 40 * SECOND_US)
    first = ask(insights, 30 * SECOND_US, page_size=1)

    add_tags(stub, made[0], "t")

    assert ids(first) == made[:1]
    assert stale(insights, 30 * SECOND_US, page_token=first.next_page_token) == [*made[1:], made[0]]


@pytest.mark.parametrize("end", ENDS)
def test_runs_that_end_between_pages(
    stub: Stub, insights: Insights, clock: ManualClock, end: Callable[..., object]
) -> None:
    """Before, at and behind the place where the page ended: no other run is lost or repeated."""
    made = fill(stub, clock)
    first = ask(insights, page_size=3)
    for place in (1, 2, 3, 6):
        end(stub, made[place])

    rest = stale(insights, page_token=first.next_page_token)
    assert rest == [made[4], made[5], made[7], made[8]]


def test_everything_ended_between_pages(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """A token that leads to nothing gives an empty last page."""
    made = fill(stub, clock)
    first = ask(insights, page_size=3)
    for run_id in made:
        delete(stub, run_id)

    rest = ask(insights, page_token=first.next_page_token)
    assert (ids(rest), rest.next_page_token) == ([], "")


@IN_MEMORY
def test_a_page_ends_at_2_mib_of_runs(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    made = [create(stub, metadata={"k": "x" * 65_000}).run_id for _ in range(40)]
    clock.advance(HOUR_US)

    first = ask(insights, page_size=1_000)
    rest = ask(insights, page_size=1_000, page_token=first.next_page_token)

    size = sum(run.ByteSize() for run in first.runs)
    assert size <= PAGE_BYTES_MAX < size + rest.runs[0].ByteSize()
    assert (ids(first) + ids(rest), rest.next_page_token) == (made, "")
    assert ids(ask(insights, page_size=1_000, view=index_pb.RUN_VIEW_BASIC)) == made


def test_every_page_has_its_own_revision(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    fill(stub, clock)
    token = ""
    for _ in range(3):
        answer = ask(insights, page_size=2, page_token=token)
        assert answer.revision == create(stub).revision - 1
        token = answer.next_page_token


@pytest.mark.parametrize("change", [{"us": HOUR_US - 1}, {"states": [ACTIVE]}])
def test_a_token_belongs_to_its_query(
    stub: Stub, insights: Insights, clock: ManualClock, change: dict[str, Any]
) -> None:
    fill(stub, clock)
    token = ask(insights, page_size=1).next_page_token

    for call in (
        lambda: ask(insights, page_token=token, **change),
        lambda: stub.ListRuns(index_pb.ListRunsRequest(page_token=token)),
    ):
        check_refused(call, Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", field="page_token")
