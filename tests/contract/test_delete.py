"""Deleting a run: the tests that the RunIndex plan names, and ours beside them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Restart,
    Stub,
    by_state,
    by_tag,
    check_refused,
    children,
    close,
    count,
    create,
    create_in,
    delete,
    get,
    list_ids,
    search_ids,
)
from tests.support.data_calls import (
    NOTHING_HELD,
    Data,
    append,
    count_events,
    delete_document,
    delete_value,
    documents,
    draft,
    events,
    get_document,
    get_state,
    get_value,
    held_by,
    history,
    json_value,
    merge_document,
    put,
    set_document,
    set_state,
    states,
    swap,
    value,
    values,
)
from tests.support.methods import MUTATIONS, NEEDS_THE_RUN, build, call
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK

NOTHING = pb.DeleteReceipt()


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_delete_run(stub: Stub, state: int) -> None:
    """A run goes in any state; the receipt of one that held nothing is all zeros."""
    run = create_in(stub, state, tags=["t"], metadata={"k": "v"})

    answer = delete(stub, run.run_id)

    assert answer.HasField("receipt")
    assert answer.receipt == NOTHING
    assert answer.revision > run.revision
    check_refused(lambda: get(stub, run.run_id), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run.run_id)


def test_delete_run_not_found(stub: Stub) -> None:
    """What is not there cannot be deleted, and what was deleted is not there."""
    run_id = create(stub).run_id
    revision = delete(stub, run_id).revision

    for missing in (run_id, UNKNOWN_ID):
        refusal = check_refused(
            lambda missing=missing: delete(stub, missing), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=missing
        )
        assert refusal.revision == revision


def test_delete_default_run_error(stub: Stub) -> None:
    """The default run stays as it is."""
    before = get(stub, DEFAULT)

    check_refused(
        lambda: delete(stub, DEFAULT),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
        operation="delete",
    )

    assert get(stub, DEFAULT) == before


def check_cascade(stub: Stub, data: Data, run_id: str, gone: list[Callable[[], Any]], **held: int) -> None:
    """Delete a run, and check that the receipt has what it held, and that neither it nor a new one shows it.

    Args:
        stub: The stub.
        data: The stub of RunData.
        run_id: The run.
        gone: Reads of what it held, each of which is answered before.
        held: What it held, as the receipt calls it.
    """
    assert all(read() for read in gone)

    assert delete(stub, run_id).receipt == pb.DeleteReceipt(**held)

    for read in gone:
        check_refused(read, Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id)
    create(stub, run_id=run_id)
    assert held_by(data, run_id) == NOTHING_HELD
    assert delete(stub, run_id).receipt == NOTHING


def test_delete_cascades_kv(stub: Stub, data: Data) -> None:
    """Keys go with all their versions; those that hold something are counted, and the bytes of all."""
    run_id = create(stub).run_id
    held = ["a", {"b": [1, None]}, b"c" * 1_000, "d"]
    put(data, run_id, "k", held[0])
    put(data, run_id, "k", held[1])
    put(data, run_id, "gone", held[2])
    delete_value(data, run_id, "gone")
    put(data, run_id, "other", held[3])
    gone: list[Callable[[], Any]] = [
        partial(get_value, data, run_id, "k"),
        partial(get_value, data, run_id, "k", 1),
        partial(get_value, data, run_id, "gone", 2),
        partial(values, data, run_id),
        partial(history, data, run_id, "gone"),
    ]

    check_cascade(stub, data, run_id, gone, kv_keys=2, bytes=sum(value(each).ByteSize() for each in held))


def test_delete_cascades_events(stub: Stub, data: Data) -> None:
    """Events of all streams go."""
    run_id = create(stub).run_id
    append(data, run_id, draft("s", "a"), draft("t", b"b"), draft("s", [1]))
    append(data, run_id, draft("s", None))
    gone: list[Callable[[], Any]] = [
        partial(events, data, run_id),
        partial(events, data, run_id, stream="t"),
        partial(events, data, run_id, stream="s", backwards=True),
        partial(count_events, data, run_id),
        partial(count_events, data, run_id, "s"),
    ]

    held_bytes = sum(value(each).ByteSize() for each in ("a", b"b", [1], None))
    check_cascade(stub, data, run_id, gone, events=4, bytes=held_bytes)


def test_delete_cascades_state(stub: Stub, data: Data) -> None:
    """State cells go, with the values that they had before."""
    run_id = create(stub).run_id
    set_state(data, run_id, "c", "a")
    swap(data, run_id, "c", "a", {"b": 1})
    set_state(data, run_id, "other", b"")
    gone: list[Callable[[], Any]] = [
        partial(get_state, data, run_id, "c"),
        partial(get_state, data, run_id, "c", 1),
        partial(states, data, run_id),
        partial(states, data, run_id, "o"),
    ]

    held_bytes = sum(value(each).ByteSize() for each in ("a", {"b": 1}, b""))
    check_cascade(stub, data, run_id, gone, state_cells=2, bytes=held_bytes)


def test_delete_cascades_json(stub: Stub, data: Data) -> None:
    """Documents go, however each version of them was made."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", {"a": [1, 2]})
    set_document(data, run_id, "d", 3, "/a/-")
    merge_document(data, run_id, "d", {"b": "c"})
    delete_document(data, run_id, "d", "/a/0")
    set_document(data, run_id, "gone", "text")
    delete_document(data, run_id, "gone")
    gone: list[Callable[[], Any]] = [
        partial(get_document, data, run_id, "d"),
        partial(get_document, data, run_id, "d", "/a/0", 1),
        partial(get_document, data, run_id, "gone", version=2),
        partial(documents, data, run_id),
    ]

    versions: list[Any] = [
        {"a": [1, 2]},
        {"a": [1, 2, 3]},
        {"a": [1, 2, 3], "b": "c"},
        {"a": [2, 3], "b": "c"},
        "text",
    ]
    held_bytes = sum(json_value(each).ByteSize() for each in versions)
    check_cascade(stub, data, run_id, gone, documents=1, bytes=held_bytes)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_delete_removes_indices(server: RunningServer, stub: Stub, state: int, *, merged: bool) -> None:
    """No listing, query, count or search leads to a deleted run, whether its terms were merged or not."""
    parent = create(stub).run_id
    run_id = create_in(stub, state, parent=parent, tags=["t", "u"], metadata={"k": "word"}).run_id
    if merged:
        server.run_jobs()

    delete(stub, run_id)

    for _ in range(2):
        assert list_ids(stub, include_archived=True) == [parent, DEFAULT]
        assert list_ids(stub, *STATES) == [parent, DEFAULT]
        assert run_id not in by_state(stub, state)
        assert by_tag(stub, "t", include_archived=True) == []
        assert by_tag(stub, "u", include_archived=True) == []
        assert children(stub, parent, include_archived=True) == []
        for query in (
            "word",
            "tag:t",
            f"id:{run_id}",
            run_id,
            f"parent:{parent}",
            "outcome:failed",
            "meta.k:word",
        ):
            assert search_ids(stub, query, include_archived=True) == []
        assert count(stub, include_archived=True) == 2
        assert count(stub, state) == (2 if state == pb.RUN_STATE_ACTIVE else 0)
        server.run_jobs()


def test_delete_does_not_affect_children(stub: Stub) -> None:
    """Children, and their children, stay as they were."""
    top = create(stub).run_id
    middle = create(stub, parent=top)
    bottom = create(stub, parent=middle.run_id)

    delete(stub, top)

    assert get(stub, middle.run_id) == middle
    assert get(stub, bottom.run_id) == bottom
    assert list_ids(stub) == [bottom.run_id, middle.run_id, DEFAULT]


def test_delete_does_not_affect_parent(stub: Stub) -> None:
    """The parent stays as it was, but for having one child less."""
    parent = create(stub)
    child, sibling = (create(stub, parent=parent.run_id) for _ in range(2))

    delete(stub, child.run_id)

    assert get(stub, parent.run_id) == parent
    assert get(stub, sibling.run_id) == sibling
    assert children(stub, parent.run_id) == [sibling.run_id]


# Beside the plan's.


@pytest.mark.parametrize("name", NEEDS_THE_RUN)
def test_nothing_of_a_deleted_run_answers(stub: Stub, name: str) -> None:
    """Every method that needs the run finds it gone."""
    run_id = create(stub, tags=["old"], metadata={"k": 1}).run_id
    delete(stub, run_id)

    check_refused(
        lambda: call(stub, name, build(name, run_id)), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id
    )


def test_the_receipt_of_a_parent(stub: Stub) -> None:
    """It counts the children that are left, and nothing else that this service has."""
    parent = create(stub, tags=["t"], metadata={"k": "v"}).run_id
    create(stub, parent=parent)

    assert delete(stub, parent).receipt == pb.DeleteReceipt(orphaned_children=1)


def test_background_erasure_shows_nowhere(server: RunningServer, stub: Stub) -> None:
    """What is left to do after the answer changes neither revision nor count."""
    run_id = create(stub).run_id
    revision = delete(stub, run_id).revision

    server.run_jobs()

    assert stub.RunExists(pb.RunExistsRequest(run_id=run_id)) == pb.RunExistsResponse(revision=revision)
    assert count(stub) == 1


def test_erasure_leaves_a_run_created_again(server: RunningServer, stub: Stub) -> None:
    """A run under the id of a deleted one is another run, also for what is still to be erased."""
    run_id = create(stub, tags=["old"], metadata={"k": "old"}).run_id
    delete(stub, run_id)
    new = create(stub, run_id=run_id, tags=["new"], metadata={"k": "new"})

    server.run_jobs()

    assert get(stub, run_id) == new
    assert by_tag(stub, "new") == search_ids(stub, "meta.k:new") == [run_id]
    assert by_tag(stub, "old") == search_ids(stub, "old") == []


def test_deleting_and_creating_again_many_times(stub: Stub) -> None:
    """Each time it is one run, at version 1."""
    for turn in range(5):
        run = create(stub, run_id=UNKNOWN_ID, tags=[f"turn-{turn}"])
        assert run.version == 1
        close(stub, UNKNOWN_ID)
        assert list_ids(stub) == [UNKNOWN_ID, DEFAULT]
        assert count(stub, *STATES) == 2
        assert delete(stub, UNKNOWN_ID).receipt == NOTHING
    assert list_ids(stub, *STATES) == [DEFAULT]


@ON_DISK
def test_deletions_persist_across_restart(stub: Stub, restart: Restart) -> None:
    """A deleted run is deleted for good."""
    run_id = create(stub, tags=["t"]).run_id
    kept = create(stub, tags=["t"]).run_id
    revision = delete(stub, run_id).revision

    again = restart()

    answer = again.RunExists(pb.RunExistsRequest(run_id=run_id))
    assert (answer.exists, answer.revision) == (False, revision)
    assert by_tag(again, "t") == [kept]


def test_every_mutation_is_either_a_creation_or_needs_the_run() -> None:
    """The table over which these tests run leaves no mutation out."""
    assert set(MUTATIONS) - set(NEEDS_THE_RUN) == {"CreateRun", "CreateChildRun"}
