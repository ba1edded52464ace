"""Faults that a store could have, planted into a history that has none: each returns what would be recorded.

The operations of the history stay as they are; those at fault are copies.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

from tests.property.model_arguments import Refused
from tests.trust.histories.recording import Operation
from tests.trust.histories.replay import MAY_CHANGE_NOTHING
from tests.trust.histories.verdict import Fault

History = list[Operation]


def _replaced(history: History, old: Operation, **changes: Any) -> History:
    """Return a history in which an operation is another."""
    return [replace(one, **changes) if one is old else one for one in history]


def _answered_otherwise(history: History, old: Operation, **fields: Any) -> History:
    """Return a history in which an operation was answered otherwise."""
    outcome = {**deepcopy(old.outcome), **fields}  # type: ignore[dict-item]  # Only what was answered is planted.
    return _replaced(history, old, outcome=outcome, revision=outcome["revision"])


def _middle(found: Iterator[Operation]) -> Operation:
    """Return one that has something before it and after it."""
    there = sorted(found, key=lambda one: one.revision or 0)
    assert there, "the history has none such"
    return there[len(there) // 2]


def _makers(history: History) -> Iterator[Operation]:
    """Yield writes that surely made a revision, and were answered once."""
    seen: dict[str | None, int] = {}
    for one in history:
        seen[one.request_id] = seen.get(one.request_id, 0) + 1
    for one in history:
        is_once = one.request_id is None or seen[one.request_id] == 1
        if one.is_write and one.is_answered and is_once and one.method not in MAY_CHANGE_NOTHING:
            yield one


def _reads(history: History, method: str, field: str) -> Iterator[Operation]:
    """Yield answered calls of a method whose answers have a field."""
    for one in history:
        if one.method == method and isinstance(one.outcome, dict) and field in one.outcome:
            yield one


def a_write_that_vanished(history: History) -> History:
    """An acknowledged write is in no order: its revision was made by nothing."""
    lost = _middle(_makers(history))
    return [one for one in history if one is not lost]


def an_acknowledged_write_that_was_lost(history: History) -> History:
    """A write was acknowledged, lost, and its revision given to the next one."""
    other = _middle(_makers(history))
    outcome = {"version": 2, "update_time": 1, "revision": other.revision}
    request = {"run_id": "default", "tags": ["lost"]}
    lost = replace(other, number=-1, method="CloseRun", request=request, outcome=outcome)
    return [*history, lost]


def a_write_that_reads_do_not_show(history: History) -> History:
    """A read shows a run without what was acknowledged before."""
    read = _middle(_reads(history, "GetRunTags", "tags"))
    assert isinstance(read.outcome, dict)
    return _answered_otherwise(history, read, tags=read.outcome["tags"][:-1])


def a_stale_read(history: History) -> History:
    """A read is answered as the same read was before, from an old snapshot."""
    earlier: dict[str, Operation] = {}
    found = []
    for one in sorted(history, key=lambda one: one.begin_ns):
        if one.is_write or not one.is_answered or "page_token" in one.request:
            continue
        same = earlier.setdefault(f"{one.method} {one.request}", one)
        if (same.revision or 0) + 200 < (one.revision or 0):
            found.append((one, same))
    assert found, "no read was made twice"
    late, early = found[len(found) // 2]
    return _replaced(history, late, outcome=early.outcome, revision=early.revision)


def two_writes_with_one_revision(history: History) -> History:
    """A write tells the revision that another made."""
    first = _middle(_makers(history))
    later = [one for one in _makers(history) if (one.revision or 0) > (first.revision or 0)]
    second = min(later, key=lambda one: one.revision or 0)
    return _answered_otherwise(history, second, revision=first.revision)


def an_answer_of_another_version(history: History) -> History:
    """A read shows the next version of a run with the revision before it."""
    read = _middle(one for one in _reads(history, "GetRun", "run") if "version" in one.outcome["run"])
    assert isinstance(read.outcome, dict)
    run = read.outcome["run"]
    return _answered_otherwise(history, read, run={**run, "version": run["version"] + 1})


def a_write_applied_twice(history: History) -> History:
    """A request is applied again when it is sent again with its id."""
    seen: set[str | None] = {None}
    repeated = []
    for one in sorted(history, key=lambda one: one.end_ns):
        if one.is_write and one.is_answered:
            if one.request_id in seen and one.request_id is not None:
                repeated.append(one)
            seen.add(one.request_id)
    twice = _middle(iter(repeated))
    return _answered_otherwise(history, twice, revision=(twice.revision or 0) + 1)


def a_page_that_skips(history: History) -> History:
    """A page lacks a run."""
    read = _middle(one for one in _reads(history, "ListRuns", "runs") if len(one.outcome["runs"]) > 1)
    assert isinstance(read.outcome, dict)
    return _answered_otherwise(history, read, runs=read.outcome["runs"][1:])


def a_run_not_found(history: History) -> History:
    """A run that is there is refused as one that is not."""
    read = _middle(_reads(history, "GetRun", "run"))
    metadata = {"runId": read.request["run_id"], "revision": str(read.revision)}
    return _replaced(history, read, outcome=Refused("RUN_NOT_FOUND", metadata))


def a_refusal_that_tells_no_revision(history: History) -> History:
    """What the store decided does not say when."""
    refused = next(
        one for one in history if isinstance(one.outcome, Refused) and one.outcome.reason == "RUN_NOT_FOUND"
    )
    bare = Refused("RUN_NOT_FOUND", {"runId": refused.request["run_id"]})
    return _replaced(history, refused, outcome=bare, revision=None)


def a_time_that_went_back(history: History) -> History:
    """A write is older than the one before it."""
    write = _middle(one for one in _makers(history) if "write_time" in (one.outcome or {}))
    assert isinstance(write.outcome, dict)
    return _answered_otherwise(history, write, write_time=write.outcome["write_time"] - 60_000_000)


PLANTED: Final[dict[Callable[[History], History], Fault]] = {
    a_write_that_vanished: Fault.NO_WRITE,
    an_acknowledged_write_that_was_lost: Fault.TWO_WRITES,
    a_write_that_reads_do_not_show: Fault.OTHER_ANSWER,
    a_stale_read: Fault.OUT_OF_ORDER,
    two_writes_with_one_revision: Fault.TWO_WRITES,
    an_answer_of_another_version: Fault.OTHER_ANSWER,
    a_write_applied_twice: Fault.TWICE,
    a_page_that_skips: Fault.OTHER_ANSWER,
    a_run_not_found: Fault.OTHER_ANSWER,
    a_refusal_that_tells_no_revision: Fault.NO_REVISION,
    a_time_that_went_back: Fault.TIME,
}
"""What is planted, and by what name it must be found."""
