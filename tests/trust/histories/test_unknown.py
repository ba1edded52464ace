"""Writes whose outcome nobody learnt: what the store shows afterwards decides whether they took place."""

from typing import Any, Final

import pytest

from tests.property.model_arguments import DEFAULT, Answer, Refused, Request
from tests.trust.histories.judge import Beginning, judge
from tests.trust.histories.recording import Operation, body_of
from tests.trust.histories.verdict import Fault

BEGINNING: Final = Beginning(create_us=60_000_000, revision=1)
LONG_NS: Final = 100 * 1_000_000_000


def operation(
    begin: int, method: str, request: Request, outcome: Answer | None, *, end: int = 0
) -> Operation:
    asked = {"run_id": DEFAULT, **request}
    revision = None if outcome is None else outcome["revision"]
    end = end or begin + 1
    return Operation(begin, 0, method, asked, begin, end, outcome, revision, body_of(method, asked))


def lost(begin: int, tag: str, **request: Any) -> Operation:
    return operation(begin, "AddRunTags", {"tags": [tag], **request}, None)


def tagged(begin: int, tag: str, *, version: int, revision: int, **request: Any) -> Operation:
    answer = {"version": version, "update_time": 60_000_000 + revision, "revision": revision}
    return operation(begin, "AddRunTags", {"tags": [tag], **request}, answer)


def tags(begin: int, *shown: str, revision: int) -> Operation:
    return operation(begin, "GetRunTags", {}, {"tags": list(shown), "revision": revision})


def faults(*history: Operation) -> list[Fault]:
    return [violation.fault for violation in judge(history, BEGINNING).violations]


def test_a_lost_write_may_have_taken_place_or_not() -> None:
    assert faults(lost(1, "a"), tags(10, "a", revision=2)) == []
    assert faults(lost(1, "a"), tagged(10, "b", version=2, revision=2), tags(20, "b", revision=2)) == []


def test_a_lost_write_takes_place_once() -> None:
    assert faults(lost(1, "a"), tags(10, "a", revision=3)) == [Fault.NO_WRITE]


def test_which_of_two_lost_writes_took_place_is_told_by_what_is_shown() -> None:
    both = (lost(1, "a"), lost(2, "b"))
    assert faults(*both, tags(10, "b", revision=2)) == []
    assert faults(*both, tags(10, "a", revision=2), tags(20, "a", "b", revision=3)) == []
    assert faults(*both, tags(10, "a", revision=2), tags(20, "b", "a", revision=3)) == [Fault.OTHER_ANSWER]
    assert faults(*both, tags(10, "c", revision=2)) == [Fault.OTHER_ANSWER]


def test_a_lost_write_takes_place_after_what_ended_before_it_began() -> None:
    assert faults(tags(1, "a", revision=2), lost(10, "a")) == [Fault.NO_WRITE]


def test_a_lost_write_does_not_take_place_long_after_it_was_lost() -> None:
    shown = operation(LONG_NS, "GetRunTags", {}, {"revision": 1})
    assert faults(lost(1, "a"), shown, tags(2 * LONG_NS, "a", revision=2)) == [Fault.NO_WRITE]


def test_the_time_of_a_lost_write_is_the_one_that_is_shown_first() -> None:
    def run(begin: int, update_us: int) -> Operation:
        shown = {
            "run_id": DEFAULT,
            "state": 1,
            "version": 2,
            "create_time": 60_000_000,
            "update_time": update_us,
            "tags": ["a"],
            "revision": 2,
            "activity_time": 60_000_000,
        }
        return operation(begin, "GetRun", {}, {"run": shown, "revision": 2})

    assert faults(lost(1, "a"), run(10, 60_000_007), run(20, 60_000_007)) == []
    assert faults(lost(1, "a"), run(10, 60_000_007), run(20, 60_000_008)) == [Fault.OTHER_ANSWER]
    assert faults(lost(1, "a"), run(10, 59_999_999)) == [Fault.OTHER_ANSWER]


def test_a_lost_write_is_settled_by_its_request_id() -> None:
    again = tagged(10, "a", version=2, revision=2, request_id="x")
    assert faults(lost(1, "a", request_id="x"), again, tags(20, "a", revision=2)) == []
    # It took place before the answer that was lost, perhaps, and others saw it.
    assert faults(lost(1, "a", request_id="x"), tags(5, "a", revision=2), again) == []
    late = tagged(10, "a", version=2, revision=2, request_id="x")
    assert faults(tags(5, "a", revision=2), late) == [Fault.OUT_OF_ORDER]


@pytest.mark.parametrize("is_same", [True, False])
def test_a_request_id_is_used_for_one_request(*, is_same: bool) -> None:
    first = tagged(1, "a", version=2, revision=2, request_id="x")
    reused = operation(10, "AddRunTags", {"tags": ["a" if is_same else "b"], "request_id": "x"}, None)
    refusal = {"field": "request_id", "requestId": "x", "revision": "2"}
    reused.outcome, reused.revision = Refused("REQUEST_ID_REUSED", refusal), 2
    assert faults(first, reused) == ([Fault.MISPLACED] if is_same else [])
    early = tagged(1, "a", version=2, revision=2, request_id="x")
    reused.revision = 1
    assert Fault.MISPLACED in faults(early, reused)
