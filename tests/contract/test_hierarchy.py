"""Parents and children, which is information and nothing more: the plan's tests, and ours beside them."""

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Change,
    Stub,
    archive,
    cancel,
    check_refused,
    children,
    close,
    create,
    create_in,
    delete,
    fail,
    get,
    get_retention,
    list_ids,
    micros,
    pause,
    set_retention,
    struct,
    update,
)
from tests.support.clock import SECOND_US, ManualClock


def parent_of(stub: Stub, run_id: str) -> str | None:
    """Return the id of a run's parent, or None for a root."""
    answer = stub.GetParentRun(pb.GetParentRunRequest(run_id=run_id))
    return answer.parent_run_id if answer.HasField("parent_run_id") else None


def test_create_child(stub: Stub, clock: ManualClock) -> None:
    """A child is a new run with a parent, in canonical form; the parent does not change."""
    parent = create(stub)
    now_us = clock.advance(SECOND_US)

    answer = stub.CreateChildRun(
        pb.CreateChildRunRequest(
            parent_run_id=parent.run_id.upper(), metadata=struct({"k": 1}), tags=["b", "a", "b"]
        )
    )
    child = answer.run

    assert child.parent_run_id == parent.run_id
    assert (child.state, child.version) == (pb.RUN_STATE_ACTIVE, 1)
    assert (list(child.tags), child.metadata) == (["b", "a"], struct({"k": 1}))
    assert micros(child.create_time) == micros(child.update_time) == now_us
    assert child.revision == answer.revision > parent.revision
    assert get(stub, child.run_id) == child
    assert get(stub, parent.run_id) == parent


def test_create_child_parent_not_found(stub: Stub) -> None:
    """A parent that does not exist, or no longer, is refused; the child is not made."""
    gone = create(stub).run_id
    delete(stub, gone)
    child_id = "11111111-2222-4333-8444-555555555555"

    for parent in (UNKNOWN_ID, gone):
        check_refused(
            lambda parent=parent: create(stub, parent=parent, run_id=child_id),
            Code.NOT_FOUND,
            "PARENT_RUN_NOT_FOUND",
            parentRunId=parent,
        )
    assert list_ids(stub) == [DEFAULT]


def test_get_children(stub: Stub) -> None:
    """The direct children, newest first and whole; archived ones only when asked for."""
    parent = create(stub).run_id
    first, second, third = (create(stub, parent=parent, tags=["t"]).run_id for _ in range(3))
    create(stub, parent=first)
    create(stub)
    archive(stub, second)

    assert children(stub, parent) == [third, first]
    assert children(stub, parent, include_archived=True) == [third, second, first]
    for run in stub.GetChildRuns(pb.GetChildRunsRequest(run_id=parent)).runs:
        assert run == get(stub, run.run_id)


def test_get_children_empty(stub: Stub) -> None:
    """A run without children, and an id that never was one, have an empty list."""
    for run_id in (create(stub).run_id, UNKNOWN_ID, DEFAULT):
        answer = stub.GetChildRuns(pb.GetChildRunsRequest(run_id=run_id, include_archived=True))
        assert not answer.runs
        assert answer.next_page_token == ""


def test_get_parent(stub: Stub) -> None:
    """The parent's id, with the revision that the call saw."""
    parent = create(stub)
    child = create(stub, parent=parent.run_id)

    answer = stub.GetParentRun(pb.GetParentRunRequest(run_id=child.run_id))

    assert answer.parent_run_id == parent.run_id
    assert answer.revision == child.revision


def test_get_parent_none(stub: Stub) -> None:
    """A root has no parent: the field is unset, not empty. A missing run is NOT_FOUND."""
    assert parent_of(stub, create(stub).run_id) is None
    assert parent_of(stub, DEFAULT) is None

    check_refused(lambda: parent_of(stub, UNKNOWN_ID), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID)


def test_hierarchy_three_levels(stub: Stub) -> None:
    """Each level knows its direct parent and its direct children only."""
    top = create(stub).run_id
    middle = [create(stub, parent=top).run_id for _ in range(2)]
    bottom = [create(stub, parent=middle[0]).run_id for _ in range(2)]

    assert children(stub, top) == middle[::-1]
    assert children(stub, middle[0]) == bottom[::-1]
    assert children(stub, middle[1]) == []
    assert [parent_of(stub, run_id) for run_id in bottom] == [middle[0]] * 2
    assert [parent_of(stub, run_id) for run_id in middle] == [top] * 2
    assert parent_of(stub, top) is None


def test_delete_parent_orphans_children(stub: Stub) -> None:
    """Children stay as they were; they still name the parent, and are still listed by its id."""
    parent = create(stub).run_id
    kept = [create(stub, parent=parent) for _ in range(2)]

    receipt = delete(stub, parent).receipt

    assert receipt.orphaned_children == 2
    for child in kept:
        assert get(stub, child.run_id) == child
        assert parent_of(stub, child.run_id) == parent
    assert children(stub, parent) == [kept[1].run_id, kept[0].run_id]


# Beside the plan's.


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_a_parent_may_be_in_any_state(stub: Stub, state: int) -> None:
    """A child is ACTIVE, and its parent stays as it was, archived included."""
    parent = create_in(stub, state)

    child = create(stub, parent=parent.run_id)

    assert (child.state, child.parent_run_id) == (pb.RUN_STATE_ACTIVE, parent.run_id)
    assert get(stub, parent.run_id) == parent


def test_nothing_is_inherited(stub: Stub) -> None:
    """Tags, metadata, retention and state of a parent are its own."""
    parent = create(stub, tags=["t"], metadata={"k": 1}).run_id
    set_retention(stub, parent, pb.RetentionPolicy(keep_latest_n=1))
    pause(stub, parent)

    child = create(stub, parent=parent)

    assert child.state == pb.RUN_STATE_ACTIVE
    assert not child.tags
    assert not child.HasField("metadata")
    assert get_retention(stub, child.run_id).WhichOneof("policy") == "keep_all"


@pytest.mark.parametrize("change", [pause, close, fail, cancel, archive])
def test_nothing_cascades(stub: Stub, change: Change) -> None:
    """A change of the parent leaves its children, and a change of a child leaves its parent."""
    parent = create(stub)
    child = create(stub, parent=parent.run_id)

    change(stub, parent.run_id)
    assert get(stub, child.run_id) == child

    parent = get(stub, parent.run_id)
    change(stub, child.run_id)
    assert get(stub, parent.run_id) == parent


def test_orphans_belong_to_the_id_of_their_parent(stub: Stub) -> None:
    """They are children again of a run that is created under that id, and orphans again when it goes."""
    parent = create(stub).run_id
    orphan = create(stub, parent=parent).run_id
    delete(stub, parent)
    create(stub, run_id=parent)
    child = create(stub, parent=parent).run_id

    assert children(stub, parent) == [child, orphan]
    assert delete(stub, parent).receipt.orphaned_children == 2


def test_orphaned_children_counts_what_is_left(stub: Stub) -> None:
    """Archived children count; deleted ones, grandchildren and children of others do not."""
    parent, other = create(stub).run_id, create(stub).run_id
    kept, archived, deleted = (create(stub, parent=parent).run_id for _ in range(3))
    create(stub, parent=kept)
    create(stub, parent=other)
    archive(stub, archived)
    delete(stub, deleted)

    assert delete(stub, parent).receipt.orphaned_children == 2


def test_a_child_may_be_given_an_id(stub: Stub) -> None:
    """In any form; a taken one is refused, before the parent is looked for."""
    child = create(stub, parent=DEFAULT, run_id=UNKNOWN_ID.upper())
    assert child.run_id == UNKNOWN_ID

    for taken, parent in ((UNKNOWN_ID, DEFAULT), (DEFAULT, DEFAULT), (UNKNOWN_ID, UNKNOWN_ID[:-1] + "0")):
        check_refused(
            lambda taken=taken, parent=parent: create(stub, parent=parent, run_id=taken),
            Code.ALREADY_EXISTS,
            "RUN_ALREADY_EXISTS",
            runId=taken,
        )


def test_a_run_cannot_be_its_own_parent(stub: Stub) -> None:
    """At its creation it does not exist yet."""
    check_refused(
        lambda: create(stub, parent=UNKNOWN_ID, run_id=UNKNOWN_ID),
        Code.NOT_FOUND,
        "PARENT_RUN_NOT_FOUND",
        parentRunId=UNKNOWN_ID,
    )


def test_children_of_the_default_run(stub: Stub) -> None:
    """The default run can have children, and is named as their parent by its name."""
    child = create(stub, parent=DEFAULT).run_id

    assert parent_of(stub, child) == get(stub, child).parent_run_id == DEFAULT
    assert children(stub, DEFAULT) == [child]


def test_moving_a_child_through_its_life_keeps_its_parent(stub: Stub) -> None:
    """The parent is given once, at creation."""
    parent = create(stub).run_id
    child = create(stub, parent=parent).run_id
    update(stub, child, {"parent_run_id": DEFAULT})
    close(stub, child)
    archive(stub, child)

    assert parent_of(stub, child) == parent
