"""Revisions: one number for the whole store, in every answer, that grows with every change only."""

from typing import Any, Final

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Restart,
    Stub,
    add_tags,
    archive,
    by_state,
    check_refused,
    close,
    create,
    create_in,
    delete,
    get,
    update,
)
from tests.support.clock import DAY_US, ManualClock
from tests.support.methods import IDLE_ABLE, METHODS, MUTATIONS, READS, build, build_idle, call, target
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK

REVISION_NUMBER: Final = 15


def revision_of(stub: Stub) -> int:
    """Return the store's revision."""
    return stub.RunExists(pb.RunExistsRequest(run_id=UNKNOWN_ID)).revision


@pytest.mark.parametrize("name", METHODS)
def test_every_answer_has_it_at_the_same_place(name: str) -> None:
    """`revision` is field 15 of every response."""
    field = getattr(pb, f"{name}Response").DESCRIPTOR.fields_by_name["revision"]

    assert (field.number, field.type) == (REVISION_NUMBER, field.TYPE_UINT64)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_makes_a_revision(stub: Stub, name: str) -> None:
    """Greater than all before it, the newest from then on, and the run's own."""
    run_id = target(stub, name)
    before = revision_of(stub)

    answer = call(stub, name, build(name, run_id))

    assert answer.revision > before
    assert revision_of(stub) == answer.revision
    if hasattr(answer, "run"):
        assert answer.run.revision == answer.revision
    elif name != "DeleteRun":
        assert get(stub, run_id).revision == answer.revision


@pytest.mark.parametrize("name", READS)
def test_a_read_sees_the_newest_revision(stub: Stub, name: str) -> None:
    """After every change, of whatever run, and makes none itself."""
    run_id = target(stub, name)

    for change in (
        lambda: create(stub).revision,
        lambda: add_tags(stub, DEFAULT, "t").revision,
        lambda: update(stub, run_id, {"k": 1}).revision,
        lambda: delete(stub, create(stub).run_id).revision,
    ):
        made = change()
        for _ in range(2):
            assert call(stub, name, build(name, run_id)).revision == made


@pytest.mark.parametrize("name", IDLE_ABLE)
def test_a_call_that_changes_nothing_makes_none(stub: Stub, name: str) -> None:
    """It answers with the revision at which it found that; the run's own stays older."""
    run_id = target(stub, name)
    own = get(stub, run_id).revision
    newest = create(stub).revision

    assert call(stub, name, build_idle(name, run_id)).revision == newest

    assert revision_of(stub) == newest > own == get(stub, run_id).revision


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_refusal_makes_none(stub: Stub, name: str) -> None:
    """And says the one at which it was decided."""
    newest = create(stub).revision
    request: Any = build(name, UNKNOWN_ID)
    if name == "CreateRun":
        request.run_id = DEFAULT

    with pytest.raises(grpc.RpcError):
        call(stub, name, request)

    assert revision_of(stub) == newest
    refusal = check_refused(lambda: get(stub, UNKNOWN_ID), Code.NOT_FOUND, "RUN_NOT_FOUND")
    assert refusal.revision == newest


def test_an_argument_that_is_refused_has_none(stub: Stub) -> None:
    """It was decided without the store."""
    refusal = check_refused(lambda: get(stub, "nonsense"), Code.INVALID_ARGUMENT, "INVALID_RUN_ID")

    assert refusal.revision is None


def test_a_runs_revision_is_of_its_last_change(stub: Stub) -> None:
    """The changes of its parent, children and neighbours are not its own."""
    parent = create(stub)
    child = create(stub, parent=parent.run_id)
    close(stub, child.run_id)
    create(stub)

    assert get(stub, parent.run_id).revision == parent.revision
    assert get(stub, child.run_id).revision > child.revision


def test_revisions_order_all_changes(stub: Stub) -> None:
    """Sorted by revision, runs stand as they were last changed."""
    made = [create(stub).run_id for _ in range(6)]
    order = [made[place] for place in (3, 0, 5, 1, 4, 2)]
    for run_id in order:
        add_tags(stub, run_id, "t")

    runs = stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag="t")).runs
    assert [run.run_id for run in sorted(runs, key=lambda run: run.revision)] == order


def test_no_run_is_newer_than_the_answer_that_shows_it(stub: Stub) -> None:
    """Every collection is of the revision that it names."""
    for state in (pb.RUN_STATE_ACTIVE, pb.RUN_STATE_FAILED, pb.RUN_STATE_ARCHIVED):
        create_in(stub, state, tags=["old"], metadata={"k": "word"}, parent=DEFAULT)
        for name in ("ListRuns", "QueryRunsByState", "QueryRunsByTag", "SearchRuns", "GetChildRuns"):
            answer = call(stub, name, build(name, DEFAULT))
            assert answer.runs
            assert max(run.revision for run in answer.runs) <= answer.revision


def test_background_work_makes_none(server: RunningServer, stub: Stub, clock: ManualClock) -> None:
    """Merging, erasing and purging change no run."""
    run_id = create(stub, tags=["t"], metadata={"k": "word"}).run_id
    stub.DeleteRun(pb.DeleteRunRequest(run_id=run_id, request_id="once"))
    archive(stub, create(stub).run_id)
    newest = revision_of(stub)

    server.run_jobs()
    clock.advance(3 * DAY_US)
    server.run_jobs()

    assert revision_of(stub) == newest


@ON_DISK
def test_it_goes_on_after_a_restart(stub: Stub, restart: Restart) -> None:
    """It never goes back, nor does a restart count as a change."""
    newest = create(stub).revision

    again = restart()

    assert revision_of(again) == newest
    assert create(again).revision > newest


def test_a_new_store_has_one(stub: Stub) -> None:
    """The creation of the default run is its first change."""
    assert revision_of(stub) == get(stub, DEFAULT).revision > 0
    assert by_state(stub, pb.RUN_STATE_ACTIVE) == [DEFAULT]
