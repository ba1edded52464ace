"""State cells: set, and set only while they hold what the caller expects."""

from functools import partial
from typing import Any, Final

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from tests.support.calls import Stub, check_refused, create, micros
from tests.support.clock import SECOND_US, ManualClock
from tests.support.data_calls import (
    Data,
    get_state,
    put,
    revision_of,
    set_document,
    set_first,
    set_state,
    states,
    swap,
    value,
)
from tests.support.data_methods import raw
from tests.support.stores import IN_MEMORY

HELD: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "1": 1,
    "-1": -1,
    "a fraction": 0.1,
    "no text": "",
    "text": "1",
    "another text": "e\u0301",
    "the same to people": "é",
    "no elements": [],
    "elements": [1, 2],
    "elements in another order": [2, 1],
    "more elements": [1, 2, None],
    "no members": {},
    "a member": {"a": 1},
    "a member that is null": {"a": None},
    "members": {"a": 1, "b": {"c": [1, {}]}},
    "other members": {"a": 1, "b": {"c": [1, []]}},
    "no bytes": b"",
    "bytes": b"1",
    "bytes that are JSON": b"null",
}
"""Values no two of which are equal."""

every_held: Final = pytest.mark.parametrize("held", HELD.values(), ids=HELD)


def check_mismatch(stub: Stub, change: Any, run_id: str, current: int) -> None:
    """Check that a swap is refused, with the cell's version and the revision."""
    refusal = check_refused(
        change, Code.ABORTED, "VALUE_MISMATCH", runId=run_id, cell="c", currentVersion=str(current)
    )
    assert refusal.revision == revision_of(stub)


@every_held
def test_a_swap_of_the_expected_value(stub: Stub, data: Data, clock: ManualClock, held: Any) -> None:
    """It makes the next version; the one before is kept."""
    run_id = create(stub).run_id
    set_state(data, run_id, "c", held)
    now_us = clock.advance(SECOND_US)

    answer = swap(data, run_id, "c", held, "swapped")

    assert (answer.version, micros(answer.write_time)) == (2, now_us)
    assert answer.revision == revision_of(stub)
    item = get_state(data, run_id, "c")
    assert (item.version, item.value, item.write_time) == (2, value("swapped"), answer.write_time)
    assert get_state(data, run_id, "c", 1).value == value(held)


@IN_MEMORY
@every_held
def test_a_swap_of_any_other_value(stub: Stub, data: Data, held: Any) -> None:
    """Two values are equal when they are of one kind and equal as such; else nothing is changed."""
    run_id = create(stub).run_id
    set_state(data, run_id, "c", held)
    others = [other for other in HELD.values() if type(other) is not type(held) or other != held]
    assert len(others) == len(HELD) - 1

    for other in others:
        check_mismatch(stub, partial(swap, data, run_id, "c", other, "swapped"), run_id, 1)
    check_mismatch(stub, partial(set_first, data, run_id, "c", "swapped"), run_id, 1)
    item = get_state(data, run_id, "c")
    assert (item.version, item.value) == (1, value(held))


def test_a_cell_that_was_never_set_holds_no_value(stub: Stub, data: Data) -> None:
    """Not even null; and a refusal does not make it."""
    run_id = create(stub).run_id
    for held in HELD.values():
        check_mismatch(stub, partial(swap, data, run_id, "c", held, "swapped"), run_id, 0)

    assert states(data, run_id) == []
    assert set_first(data, run_id, "c", None).version == 1
    assert get_state(data, run_id, "c").value == value(None)
    check_mismatch(stub, partial(set_first, data, run_id, "c", None), run_id, 1)


def test_only_the_current_value_counts(stub: Stub, data: Data) -> None:
    """What the cell held before is not what it holds."""
    run_id = create(stub).run_id
    for held in ("a", "b", "c"):
        set_state(data, run_id, "c", held)

    for held in ("a", "b"):
        check_mismatch(stub, partial(swap, data, run_id, "c", held, "d"), run_id, 3)
    assert swap(data, run_id, "c", "c", "a").version == 4
    assert swap(data, run_id, "c", "a", "a").version == 5
    assert [get_state(data, run_id, "c", n).value for n in range(1, 6)] == [value(h) for h in "abcaa"]


def test_a_swap_looks_at_its_own_cell(stub: Stub, data: Data) -> None:
    """Not at another cell, another run, or a key and a document of the name."""
    run_id, other_run = create(stub).run_id, create(stub).run_id
    set_state(data, run_id, "cc", "a")
    set_state(data, other_run, "c", "a")
    put(data, run_id, "c", "a")
    set_document(data, run_id, "c", "a")

    check_mismatch(stub, partial(swap, data, run_id, "c", "a", "b"), run_id, 0)
    set_state(data, run_id, "c", "z")
    check_mismatch(stub, partial(swap, data, run_id, "c", "a", "b"), run_id, 1)
    assert swap(data, run_id, "c", "z", "b").version == 2
    assert get_state(data, other_run, "c").value == get_state(data, run_id, "cc").value == value("a")


def test_a_cell_may_go_round(stub: Stub, data: Data) -> None:
    """A swap sees values, not versions: what came back is what it was."""
    run_id = create(stub).run_id
    for held in ("a", "b", "a"):
        set_state(data, run_id, "c", held)

    assert swap(data, run_id, "c", "a", "z").version == 4


def test_members_have_no_order(channel: grpc.Channel, stub: Stub, data: Data) -> None:
    """Objects are equal whatever the order in which their members are sent."""
    run_id = create(stub).run_id
    members = [value({f"member {n}": n}) for n in range(40)]
    rest = pb.CompareAndSetStateRequest(run_id=run_id, cell="c", value=value("swapped")).SerializeToString()
    set_state(data, run_id, "c", {f"member {n}": n for n in range(40)})

    # Messages that follow each other on the wire are merged: so the members come last to first.
    parts = (pb.CompareAndSetStateRequest(expected=member).SerializeToString() for member in members[::-1])
    answer = raw(channel, "CompareAndSetState")(b"".join(parts) + rest)

    assert answer.version == 2
    assert get_state(data, run_id, "c").value == value("swapped")


def test_numbers_are_equal_as_doubles(stub: Stub, data: Data) -> None:
    """1 and 1.0 are one number; so are two integers that no double tells apart."""
    run_id = create(stub).run_id
    set_state(data, run_id, "c", 1)
    assert swap(data, run_id, "c", 1.0, 2**53).version == 2
    assert swap(data, run_id, "c", 2**53 + 1, "done").version == 3


def test_cells_are_listed_with_their_current_versions(stub: Stub, data: Data) -> None:
    """Whichever call set them last."""
    run_id = create(stub).run_id
    set_first(data, run_id, "b", 1)
    set_state(data, run_id, "a", 1)
    swap(data, run_id, "a", 1, 2)

    found = states(data, run_id)

    assert [(item.cell, item.version, item.value) for item in found] == [
        ("a", 2, value(2)),
        ("b", 1, value(1)),
    ]
    assert found == [get_state(data, run_id, cell) for cell in "ab"]
