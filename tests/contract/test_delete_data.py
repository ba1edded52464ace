"""Deleting runs that hold data: exact receipts, nothing of other runs, and erasure that shows nowhere."""

from functools import partial
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import (
    CALLS_AT_ONCE,
    DEFAULT,
    UNKNOWN_ID,
    Stub,
    archive,
    cancel,
    check_refused,
    close,
    create,
    delete,
    fail,
    get,
    list_ids,
    pause,
)
from tests.support.data_calls import (
    NOTHING_HELD,
    Data,
    append,
    append_many,
    count_events,
    delete_document,
    delete_value,
    draft,
    fill,
    held_by,
    json_value,
    merge_document,
    put,
    revision_of,
    set_document,
    value,
)
from tests.support.data_methods import METHODS, build, call
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK
from tests.support.together import outcome_of

NOTHING: Final = index_pb.DeleteReceipt()

STEPS_MAX: Final = 1_000
"""Steps of background work in which any test here is through."""


@pytest.mark.parametrize("way", [pause, close, fail, cancel, archive, get], ids=lambda way: way.__name__)
def test_the_receipt_says_what_the_run_held(stub: Stub, data: Data, way: Any) -> None:
    """In every state, and to the byte."""
    run_id, other = create(stub).run_id, create(stub).run_id
    expected = fill(data, run_id)
    assert min(expected.kv_keys, expected.events, expected.state_cells, expected.documents) > 0
    assert fill(data, other) == expected
    create(stub, parent=run_id)
    expected.orphaned_children = 1
    way(stub, run_id)

    answer = delete(stub, run_id)

    assert answer.receipt == expected
    assert answer.revision == revision_of(stub)


def test_receipts_of_writes_that_replace_nothing_with_nothing(stub: Stub, data: Data) -> None:
    """A key that comes and goes is counted as it stands, and its bytes as they are kept."""
    run_id = create(stub).run_id
    for _ in range(3):
        put(data, run_id, "k", b"abc")
        delete_value(data, run_id, "k")
        set_document(data, run_id, "d", None)
        delete_document(data, run_id, "d")

    held_bytes = 3 * (value(b"abc").ByteSize() + json_value(None).ByteSize())
    assert delete(stub, run_id).receipt == index_pb.DeleteReceipt(bytes=held_bytes)


def test_refused_writes_are_not_in_the_receipt(stub: Stub, data: Data) -> None:
    """Nor are replays, nor what other runs hold."""
    run_id, other = create(stub).run_id, create(stub).run_id
    fill(data, other)
    request = pb.PutValueRequest(run_id=run_id, key="k", value=value("held"), request_id="once")
    for _ in range(3):
        data.PutValue(request)
    for refused in (
        partial(put, data, run_id, "k", "more", expected_version=7),
        partial(set_document, data, run_id, "d", 1, "/a"),
        partial(append, data, run_id, draft("s", 1), draft("", 1)),
        partial(delete_value, data, run_id, "never"),
    ):
        assert outcome_of(refused) != "done"

    expected = index_pb.DeleteReceipt(kv_keys=1, bytes=value("held").ByteSize())
    assert delete(stub, run_id).receipt == expected


def test_a_merge_into_nothing_is_a_document(stub: Stub, data: Data) -> None:
    """Counted once, however many versions it has."""
    run_id = create(stub).run_id
    for n in range(3):
        merge_document(data, run_id, "d", {"n": n})

    held_bytes = sum(json_value({"n": n}).ByteSize() for n in range(3))
    assert delete(stub, run_id).receipt == index_pb.DeleteReceipt(documents=1, bytes=held_bytes)


# Scope.


def test_nothing_of_other_runs_is_touched(server: RunningServer, stub: Stub, data: Data) -> None:
    """Parent, child, sibling, the default run, and runs whose ids are next to it keep all that they hold."""
    middle = UNKNOWN_ID
    neighbours = [UNKNOWN_ID[:-1] + digit for digit in "57"]
    parent = create(stub).run_id
    create(stub, run_id=middle, parent=parent)
    child = create(stub, parent=middle).run_id
    sibling = create(stub, parent=parent).run_id
    for run_id in neighbours:
        create(stub, run_id=run_id)
    others = [parent, child, sibling, *neighbours, DEFAULT]
    for run_id in (*others, middle):
        fill(data, run_id, mark=run_id)
    before = [[get(stub, run_id), held_by(data, run_id)] for run_id in others]

    delete(stub, middle)

    assert [[get(stub, run_id), held_by(data, run_id)] for run_id in others] == before
    server.run_jobs()
    assert [[get(stub, run_id), held_by(data, run_id)] for run_id in others] == before
    for run_id in others[:-1]:
        receipt = delete(stub, run_id).receipt
        assert (receipt.kv_keys, receipt.events, receipt.state_cells, receipt.documents) == (2, 3, 2, 1)
    assert list_ids(stub, include_archived=True) == [DEFAULT]
    assert held_by(data, DEFAULT) == before[-1][1]


def test_deleting_a_parent_leaves_what_its_children_hold(
    server: RunningServer, stub: Stub, data: Data
) -> None:
    """They can be read and written as before."""
    parent = create(stub).run_id
    made = [create(stub, parent=parent).run_id for _ in range(3)]
    for run_id in (parent, *made):
        fill(data, run_id)
    before = [held_by(data, run_id) for run_id in made]

    assert delete(stub, parent).receipt.orphaned_children == 3
    server.run_jobs()

    assert [held_by(data, run_id) for run_id in made] == before
    assert put(data, made[0], "k", "more").version == 3


@pytest.mark.parametrize("name", METHODS)
def test_nothing_of_a_deleted_run_answers(server: RunningServer, stub: Stub, data: Data, name: str) -> None:
    """Neither at once, nor while it is erased, nor after."""
    run_id = create(stub).run_id
    fill(data, run_id)
    delete(stub, run_id)

    for _ in range(STEPS_MAX):
        check_refused(
            lambda: call(data, name, build(name, run_id)), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id
        )
        if not server.step_jobs():
            return
    msg = "never erased"
    raise AssertionError(msg)


# Erasure.


def load(data: Data, run_id: str) -> None:
    """Give a run what it takes several steps to erase."""
    append_many(data, run_id, "s", 2_000)
    cells = [pb.SetStateRequest(run_id=run_id, cell=f"{n}", value=value(n)) for n in range(100)]
    for first in (0, CALLS_AT_ONCE):
        for under_way in [data.SetState.future(cell) for cell in cells[first : first + CALLS_AT_ONCE]]:
            under_way.result()


def test_a_run_created_again_while_the_old_one_is_erased(
    server: RunningServer, stub: Stub, data: Data
) -> None:
    """It is empty from the first moment, and exact after each step, whatever is written meanwhile."""
    create(stub, run_id=UNKNOWN_ID)
    load(data, UNKNOWN_ID)
    held = delete(stub, UNKNOWN_ID).receipt
    assert (held.events, held.state_cells) == (2_000, 100)
    create(stub, run_id=UNKNOWN_ID)
    assert held_by(data, UNKNOWN_ID) == NOTHING_HELD
    expected = fill(data, UNKNOWN_ID)
    steps = 0

    while server.step_jobs():
        steps += 1
        assert steps < STEPS_MAX
        before = held_by(data, UNKNOWN_ID)
        append(data, UNKNOWN_ID, draft("s", steps))
        expected.events += 1
        expected.bytes += value(steps).ByteSize()
        after = held_by(data, UNKNOWN_ID)
        assert after[2][:-1] == before[2]
        assert after[2][-1].value == value(steps)
        assert [after[0], after[1], *after[4:]] == [before[0], before[1], *before[4:]]
        assert count_events(data, UNKNOWN_ID) == (steps + 3, steps + 3)

    assert steps >= 3
    assert delete(stub, UNKNOWN_ID).receipt == expected


def test_many_lives_are_erased_in_any_order(server: RunningServer, stub: Stub, data: Data) -> None:
    """Several dead lives of one id wait to be erased; none of them shows in the living one."""
    for turn in range(4):
        create(stub, run_id=UNKNOWN_ID)
        assert held_by(data, UNKNOWN_ID) == NOTHING_HELD
        expected = fill(data, UNKNOWN_ID, mark=f"turn {turn}")
        if turn < 3:
            append_many(data, UNKNOWN_ID, "s", 500)
            delete(stub, UNKNOWN_ID)
            server.step_jobs()
    before = held_by(data, UNKNOWN_ID)

    for _ in range(STEPS_MAX):
        if not server.step_jobs():
            break
        assert held_by(data, UNKNOWN_ID) == before
    else:
        msg = "never erased"
        raise AssertionError(msg)

    assert held_by(data, UNKNOWN_ID) == before
    assert delete(stub, UNKNOWN_ID).receipt == expected


def test_erasure_makes_no_revision(server: RunningServer, stub: Stub, data: Data) -> None:
    """It changes no run."""
    run_id = create(stub).run_id
    load(data, run_id)
    revision = delete(stub, run_id).revision

    server.run_jobs()

    assert revision_of(stub) == revision


@ON_DISK
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_erasure_goes_on_after_a_restart(server: RunningServer, stub: Stub, data: Data, steps: int) -> None:
    """Wherever it stood; the runs beside it keep what they hold."""
    run_id, kept = create(stub).run_id, create(stub).run_id
    load(data, run_id)
    expected = fill(data, kept)
    before = held_by(data, kept)
    delete(stub, run_id)
    for _ in range(steps):
        assert server.step_jobs()

    server.restart()
    again, again_data = server.stub(), server.data_stub()
    create(again, run_id=run_id)
    server.run_jobs()

    assert held_by(again_data, run_id) == NOTHING_HELD
    assert held_by(again_data, kept) == before
    assert delete(again, kept).receipt == expected


def test_a_replayed_delete_has_its_receipt(server: RunningServer, stub: Stub, data: Data) -> None:
    """The first one, also when a run of the id holds something else by then."""
    create(stub, run_id=UNKNOWN_ID)
    expected: Any = fill(data, UNKNOWN_ID)
    request = index_pb.DeleteRunRequest(run_id=UNKNOWN_ID, request_id="once")
    first = stub.DeleteRun(request)
    server.run_jobs()
    create(stub, run_id=UNKNOWN_ID)
    put(data, UNKNOWN_ID, "k", 1)

    assert stub.DeleteRun(request) == first
    assert first.receipt == expected
    assert delete(stub, UNKNOWN_ID).receipt == index_pb.DeleteReceipt(kv_keys=1, bytes=value(1).ByteSize())
