"""Events: one sequence for all streams of a run, read forwards and backwards, counted."""

from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex_server.limits import EVENTS_MAX
from tests.support.calls import DEFAULT, Stub, check_refused, create, micros
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.data_calls import (
    Data,
    append,
    append_many,
    count_events,
    draft,
    events,
    revision_of,
    sequences,
    value,
)

STREAMS: Final = ("s", "t", "s", "ss", "s", "é", "t", "s")
"""The streams of eight events, in their order."""


def fill(data: Data, run_id: str) -> None:
    """Append an event to each of `STREAMS`, three of them by one call."""
    append(data, run_id, *(draft(stream, n) for n, stream in enumerate(STREAMS[:3])))
    for n, stream in enumerate(STREAMS[3:], start=3):
        append(data, run_id, draft(stream, n))


def places(stream: str | None) -> list[int]:
    """Return the sequences of a stream's events, or of all."""
    return [n for n, each in enumerate(STREAMS) if stream in (None, each)]


def test_sequences_go_on_over_all_streams(stub: Stub, data: Data) -> None:
    """From 0; those of one call follow each other in their order."""
    run_id = create(stub).run_id

    assert append(data, run_id, draft("s", "a")).first_sequence == 0
    assert append(data, run_id, draft("t", "b"), draft("s", "c"), draft("u", "d")).first_sequence == 1
    assert append(data, run_id, draft("s", "e")).first_sequence == 4

    found = events(data, run_id)
    assert [event.sequence for event in found] == [0, 1, 2, 3, 4]
    assert [event.stream for event in found] == ["s", "t", "s", "u", "s"]
    assert [event.value for event in found] == [value(held) for held in "abcde"]


def test_sequences_are_each_runs_own(stub: Stub, data: Data) -> None:
    """What is appended to another run moves nothing."""
    first, second = create(stub).run_id, create(stub).run_id
    for run_id in (first, second, DEFAULT, first):
        append(data, run_id, draft("s", run_id))

    assert sequences(data, first) == [0, 1]
    assert sequences(data, second) == sequences(data, DEFAULT) == [0]
    assert count_events(data, first) == (2, 2)
    assert all(event.value == value(first) for event in events(data, first))


def test_the_events_of_a_call_have_one_time(stub: Stub, data: Data, clock: ManualClock) -> None:
    """That of the answer."""
    run_id = create(stub).run_id
    now_us = clock.advance(SECOND_US)

    answer = append(data, run_id, draft("s", 1), draft("t", 2), draft("s", 3))

    assert micros(answer.append_time) == now_us
    assert answer.revision == revision_of(stub)
    assert [event.append_time for event in events(data, run_id)] == [answer.append_time] * 3


def test_times_never_go_back(stub: Stub, data: Data, clock: ManualClock) -> None:
    """An event is never before an earlier one, whatever the wall clock does."""
    run_id = create(stub).run_id
    told = []
    for step_us in (0, SECOND_US, -DAY_US, 0, 5, 2 * DAY_US, -SECOND_US):
        clock.advance(step_us)
        told.append(micros(append(data, run_id, draft("s", step_us)).append_time))

    assert told == sorted(told)
    assert [micros(event.append_time) for event in events(data, run_id)] == told


@pytest.mark.parametrize("stream", ["s", "t", "ss", "é", None])
@pytest.mark.parametrize("backwards", [False, True])
def test_reading_a_stream_or_all(stub: Stub, data: Data, stream: str | None, *, backwards: bool) -> None:
    """In the order of the sequence or against it, from each place within and beyond."""
    run_id = create(stub).run_id
    fill(data, run_id)
    all_of = places(stream)

    whole = events(data, run_id, stream=stream, backwards=backwards)
    assert [event.sequence for event in whole] == (all_of[::-1] if backwards else all_of)
    assert all(event.value == value(event.sequence) for event in whole)
    assert all(event.stream == STREAMS[event.sequence] for event in whole)
    for start in (*range(len(STREAMS) + 2), 2**32, 2**63, 2**64 - 2, 2**64 - 1):
        found = sequences(data, run_id, stream=stream, from_sequence=start, backwards=backwards)
        if backwards:
            assert found == [n for n in all_of[::-1] if n <= start]
        else:
            assert found == [n for n in all_of if n >= start]


def test_reading_on_when_more_have_come(stub: Stub, data: Data) -> None:
    """From the sequence after the last one that was read, nothing is missed or seen twice."""
    run_id = create(stub).run_id
    read: list[int] = []
    for turn in range(4):
        append(data, run_id, *(draft("s", n) for n in range(turn)), draft("t", 0))
        read += sequences(data, run_id, stream="s", from_sequence=read[-1] + 1 if read else None)

    assert read == sequences(data, run_id, stream="s") == [1, 3, 4, 6, 7, 8]


@pytest.mark.parametrize("stream", ["unknown", "S", "s ", "sss", "e\u0301"])
def test_unknown_streams_are_empty(stub: Stub, data: Data, stream: str) -> None:
    """Also those that are named much like others; the next sequence is the run's all the same."""
    run_id = create(stub).run_id
    fill(data, run_id)

    assert events(data, run_id, stream=stream) == []
    assert events(data, run_id, stream=stream, from_sequence=3, backwards=True) == []
    assert count_events(data, run_id, stream) == (0, len(STREAMS))


def test_a_run_without_events(stub: Stub, data: Data) -> None:
    """Nothing to read and to count, and the first event will be 0."""
    run_id = create(stub).run_id

    for backwards in (False, True):
        assert events(data, run_id, backwards=backwards) == []
        assert events(data, run_id, backwards=backwards, from_sequence=0) == []
    assert count_events(data, run_id) == count_events(data, run_id, "s") == (0, 0)


def test_counts_are_exact(stub: Stub, data: Data) -> None:
    """Of each stream and of all, after each call."""
    run_id = create(stub).run_id
    appended: list[str] = []
    for streams in (["s"], ["s", "t", "s"], ["ss"], ["t"] * 5, ["é", "s"]):
        append(data, run_id, *(draft(stream, 1) for stream in streams))
        appended += streams
        for stream in ("s", "t", "ss", "é", "none"):
            assert count_events(data, run_id, stream) == (appended.count(stream), len(appended))
        assert count_events(data, run_id) == (len(appended), len(appended))


def test_a_count_tells_its_revision(stub: Stub, data: Data) -> None:
    """The one at which it holds."""
    run_id = create(stub).run_id
    answer = append(data, run_id, draft("s", 1))

    assert data.CountEvents(pb.CountEventsRequest(run_id=run_id)).revision == answer.revision
    later = create(stub).revision
    assert data.CountEvents(pb.CountEventsRequest(run_id=run_id)).revision == later


BAD: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "no stream": ("FIELD_REQUIRED", "events[1].stream", {"value": value(1)}),
    "no value": ("FIELD_REQUIRED", "events[1].value", {"stream": "s"}),
    "a control character": ("INVALID_FIELD", "events[1].stream", {"stream": "a\n", "value": value(1)}),
    "a long name": ("INVALID_FIELD", "events[1].stream", {"stream": "x" * 129, "value": value(1)}),
    "a value of no kind": ("INVALID_FIELD", "events[1].value", {"stream": "s", "value": pb.DataValue()}),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_wrong_event_refuses_all(stub: Stub, data: Data, kind: str) -> None:
    """All or none: those before it are not appended, and no sequence is spent."""
    reason, field, fields = BAD[kind]
    run_id = create(stub).run_id
    append(data, run_id, draft("s", 0))
    before = revision_of(stub)

    check_refused(
        lambda: append(data, run_id, draft("s", 1), pb.EventDraft(**fields), draft("s", 2)),
        Code.INVALID_ARGUMENT,
        reason,
        field=field,
    )

    assert revision_of(stub) == before
    assert count_events(data, run_id) == count_events(data, run_id, "s") == (1, 1)
    assert append(data, run_id, draft("s", 1)).first_sequence == 1


def test_no_events_are_refused(stub: Stub, data: Data) -> None:
    """A call that would append nothing is a mistake."""
    run_id = create(stub).run_id

    check_refused(lambda: append(data, run_id), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="events")


@pytest.mark.parametrize("name", ["ReadEvents", "CountEvents"])
@pytest.mark.parametrize("stream", ["", "a\x00", "x" * 129, "\u009f"])
def test_a_stream_that_is_present_is_a_name(stub: Stub, data: Data, name: str, stream: str) -> None:
    """Present but empty is refused, too."""
    run_id = create(stub).run_id
    request: Any = getattr(pb, f"{name}Request")(run_id=run_id, stream=stream)

    check_refused(
        lambda: getattr(data, name)(request), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="stream"
    )


def test_the_sequence_0_is_a_place(stub: Stub, data: Data) -> None:
    """Set to 0 is not unset: backwards from there is one event."""
    run_id = create(stub).run_id
    append_many(data, run_id, "s", 5)

    assert sequences(data, run_id, from_sequence=0, backwards=True) == [0]
    assert sequences(data, run_id, from_sequence=0, backwards=True, stream="s") == [0]
    assert sequences(data, run_id, backwards=True) == [4, 3, 2, 1, 0]


def test_many_events_of_one_call(stub: Stub, data: Data) -> None:
    """A thousand over ten streams, each stream in order."""
    run_id = create(stub).run_id

    append(data, run_id, *(draft(f"stream {n % 10}", n) for n in range(EVENTS_MAX)))

    assert sequences(data, run_id) == list(range(EVENTS_MAX))
    for n in range(10):
        found = events(data, run_id, stream=f"stream {n}")
        assert [event.sequence for event in found] == list(range(n, EVENTS_MAX, 10))
        assert [event.value for event in found] == [value(n) for n in range(n, EVENTS_MAX, 10)]
        assert count_events(data, run_id, f"stream {n}") == (100, EVENTS_MAX)
