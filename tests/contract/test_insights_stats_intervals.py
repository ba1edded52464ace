"""GetRunStats by hour and by day: which intervals there are, what is in them, and what is refused."""

import random
from typing import Any, Final

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex_server.limits import STATS_INTERVALS_MAX, TAG_BYTES_MAX
from tests.support.calls import (
    Stub,
    check_refused,
    close,
    create,
)
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, START_US, ManualClock
from tests.support.figures import (
    DAY,
    HOUR,
    OUTCOMES,
    WIDTHS_US,
    check_intervals,
    live,
    rows_of,
    stats,
    time,
)
from tests.support.insight_methods import Insights
from tests.support.stores import IN_MEMORY


def test_figures_by_hour_and_by_day(stub: Stub, insights: Insights, clock: ManualClock) -> None:
    """A run counts where its end lies, while the clock goes on by hours and days, and is set back."""
    numbers = random.Random(6)
    for step_us in (0, 20 * MINUTE_US, HOUR_US, 5 * HOUR_US, DAY_US, -2 * DAY_US, 3 * DAY_US, 9 * DAY_US):
        clock.advance(step_us)
        live(stub, clock, numbers, 4)
        now_us = clock.now_us()
        check_intervals(stub, insights, DAY, START_US - DAY_US, None, now_us=now_us)
        check_intervals(stub, insights, HOUR, now_us - 9 * HOUR_US, None, now_us=now_us)
        check_intervals(stub, insights, HOUR, now_us - 400 * HOUR_US + HOUR_US, now_us)
        check_intervals(stub, insights, DAY, START_US, now_us + DAY_US)


FULL_HOUR_US: Final = START_US - START_US % HOUR_US + HOUR_US


@pytest.mark.parametrize(
    ("end_us", "numbers"),
    [
        (FULL_HOUR_US - 1, [1, 0]),
        (FULL_HOUR_US, [0, 1]),
        (FULL_HOUR_US + HOUR_US - 1, [0, 1]),
        (FULL_HOUR_US + HOUR_US, [0, 0]),
    ],
)
def test_an_interval_begins_with_its_start_and_ends_before_the_next(
    stub: Stub, insights: Insights, clock: ManualClock, end_us: int, numbers: list[int]
) -> None:
    """To the microsecond; the last is the one before the end that is asked for."""
    run_id = create(stub).run_id
    clock.set(end_us)
    close(stub, run_id)

    answer = stats(
        insights,
        interval=HOUR,
        start_time=time(FULL_HOUR_US - 1),
        end_time=time(FULL_HOUR_US + HOUR_US),
    )

    assert [each.finished.count for each in answer.intervals] == numbers
    assert answer.intervals_finished.count == sum(numbers)
    assert answer.finished.count == 1


def test_what_has_just_finished_is_in_the_last_interval(
    stub: Stub, insights: Insights, clock: ManualClock
) -> None:
    """Also at the first microsecond of an hour, when no end is asked for."""
    run_id = create(stub).run_id
    clock.set(FULL_HOUR_US)
    close(stub, run_id)

    answer = stats(insights, interval=HOUR, start_time=time(FULL_HOUR_US))

    assert [each.finished.count for each in answer.intervals] == [1]


@pytest.mark.parametrize(
    ("first", "last", "starts_s"),
    [
        ((3_600, 0), (3_600, 1), [3_600]),
        ((3_599, 999_999_999), (3_600, 0), [0]),
        ((3_599, 999_999_999), (3_600, 1), [0, 3_600]),
        ((3_600, 999), (7_200, 0), [3_600]),
        ((-1, 0), (1, 0), [-3_600, 0]),
        ((-62_135_596_800, 0), (-62_135_596_799, 0), [-62_135_596_800]),
        ((253_402_300_799, 0), (253_402_300_799, 999_999_999), [253_402_297_200]),
    ],
)
def test_which_intervals_times_lie_in(
    insights: Insights, first: tuple[int, int], last: tuple[int, int], starts_s: list[int]
) -> None:
    """To the nanosecond, and in all years that a Timestamp has."""
    answer = stats(
        insights,
        interval=HOUR,
        start_time=Timestamp(seconds=first[0], nanos=first[1]),
        end_time=Timestamp(seconds=last[0], nanos=last[1]),
    )

    assert [each.start_time.seconds for each in answer.intervals] == starts_s
    assert {each.start_time.nanos for each in answer.intervals} == {0}


def test_an_interval_without_runs_has_figures_of_none(insights: Insights) -> None:
    """Zeros, and neither a rate nor durations."""
    answer = stats(insights, interval=DAY, start_time=time(START_US))

    [only] = answer.intervals
    for found in (only.finished, answer.intervals_finished, answer.finished):
        assert rows_of(found.by_outcome) == [(state, 0) for state in OUTCOMES]
        assert found.count == 0
        assert not found.HasField("error_rate")
        assert not found.HasField("durations")


NO_TIMES: Final = (
    Timestamp(seconds=-62_135_596_801),
    Timestamp(seconds=253_402_300_800),
    Timestamp(seconds=2**63 - 1),
    Timestamp(seconds=-(2**63)),
    Timestamp(nanos=-1),
    Timestamp(nanos=1_000_000_000),
    Timestamp(nanos=2**31 - 1),
)
START: Final = time(START_US)
LATER: Final = time(START_US + 1)

REFUSED: Final[tuple[tuple[dict[str, Any], str, str], ...]] = (
    ({"tag": ""}, "INVALID_TAG", "tag"),
    ({"tag": "x" * (TAG_BYTES_MAX + 1)}, "INVALID_TAG", "tag"),
    ({"tag": "a\nb"}, "INVALID_TAG", "tag"),
    ({"interval": 3}, "INVALID_FIELD", "interval"),
    ({"interval": -1}, "INVALID_FIELD", "interval"),
    ({"interval": 3, "start_time": START}, "INVALID_FIELD", "interval"),
    ({"tag": "t", "interval": HOUR, "start_time": START}, "INVALID_FIELD", "interval"),
    ({"tag": "t", "interval": HOUR}, "INVALID_FIELD", "interval"),
    ({"start_time": START}, "INVALID_FIELD", "start_time"),
    ({"end_time": START}, "INVALID_FIELD", "end_time"),
    ({"start_time": Timestamp()}, "INVALID_FIELD", "start_time"),
    ({"tag": "t", "start_time": START}, "INVALID_FIELD", "start_time"),
    ({"interval": HOUR}, "FIELD_REQUIRED", "start_time"),
    ({"interval": DAY, "end_time": LATER}, "FIELD_REQUIRED", "start_time"),
    *(({"interval": HOUR, "start_time": bad}, "INVALID_FIELD", "start_time") for bad in NO_TIMES),
    *(
        ({"interval": HOUR, "start_time": START, "end_time": bad}, "INVALID_FIELD", "end_time")
        for bad in NO_TIMES
    ),
    ({"interval": HOUR, "start_time": START, "end_time": START}, "INVALID_FIELD", "end_time"),
    ({"interval": HOUR, "start_time": LATER, "end_time": START}, "INVALID_FIELD", "end_time"),
    ({"interval": HOUR, "start_time": LATER}, "INVALID_FIELD", "start_time"),
    # What is wrong with an earlier field is told before what is wrong with a later one.
    ({"tag": "", "interval": 3, "start_time": NO_TIMES[0]}, "INVALID_TAG", "tag"),
    ({"tag": "t", "interval": 3, "start_time": NO_TIMES[0]}, "INVALID_FIELD", "interval"),
    (
        {"interval": HOUR, "start_time": NO_TIMES[0], "end_time": NO_TIMES[0]},
        "INVALID_FIELD",
        "start_time",
    ),
    ({"interval": HOUR, "end_time": NO_TIMES[0]}, "INVALID_FIELD", "end_time"),
)


@IN_MEMORY
@pytest.mark.parametrize(("fields", "reason", "field"), REFUSED)
def test_requests_that_are_refused(
    insights: Insights, fields: dict[str, Any], reason: str, field: str
) -> None:
    """With the field that is at fault. The clock stands at the start of what is asked for."""
    check_refused(lambda: stats(insights, **fields), Code.INVALID_ARGUMENT, reason, field=field)


@pytest.mark.parametrize("interval", [HOUR, DAY])
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_at_most_400_intervals(insights: Insights, clock: ManualClock, interval: Any, over: int) -> None:
    """By a bound that is asked for, and by now."""
    width_us = WIDTHS_US[interval]
    number = STATS_INTERVALS_MAX + over
    start_us = START_US - START_US % width_us + width_us - 1
    end_us = start_us + (number - 2) * width_us + 2
    clock.set(end_us - 1)

    for fields, field in (({"end_time": time(end_us)}, "end_time"), ({}, "start_time")):
        request = pb.GetRunStatsRequest(interval=interval, start_time=time(start_us), **fields)
        if over > 0:
            check_refused(
                lambda request=request: insights.GetRunStats(request),
                Code.INVALID_ARGUMENT,
                "INVALID_FIELD",
                field=field,
            )
        else:
            assert len(insights.GetRunStats(request).intervals) == number
