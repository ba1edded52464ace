"""What always holds, whatever is done: the tests that the RunIndex plan names, and ours beside them."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support import calls, methods
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    add_tags,
    archive,
    by_state,
    by_tag,
    cancel,
    check_refused,
    children,
    close,
    count,
    create,
    create_in,
    delete,
    fail,
    get,
    list_ids,
    pause,
    remove_tags,
    resume,
    search_ids,
    set_retention,
    update,
)
from tests.support.server import RunningServer

TAGS: Final = ("a", "b", "c", "d")
CHANGES: Final = (
    pause,
    resume,
    close,
    fail,
    cancel,
    archive,
    lambda stub, run_id: add_tags(stub, run_id, "a", "b"),
    lambda stub, run_id: add_tags(stub, run_id, "b", "c", "d"),
    lambda stub, run_id: remove_tags(stub, run_id, "a", "d"),
    lambda stub, run_id: update(stub, run_id, {"k": "v"}),
    lambda stub, run_id: update(stub, run_id, {"k": "w", "n": 1}, merge=True),
    lambda stub, run_id: set_retention(stub, run_id, methods.KEEP_3),
)
"""Changes of a run, some of them refused in some states."""


def wander(stub: Stub, run_ids: list[str], steps: int) -> Iterator[tuple[str, Any]]:
    """Make random changes of some runs, the same in each test, and yield each run with its answer or None."""
    random = Random(20_260_301)  # Not for secrets.
    for _ in range(steps):
        run_id, change = random.choice(run_ids), random.choice(CHANGES)
        try:
            answer = change(stub, run_id)
        except grpc.RpcError as refused:
            if refused.code() is not Code.FAILED_PRECONDITION:
                raise
            answer = None
        yield run_id, answer


def everything(stub: Stub) -> dict[str, Any]:
    """Return all that a caller can see of the store."""
    listed = stub.ListRuns(pb.ListRunsRequest(include_archived=True, page_size=1_000))
    assert listed.next_page_token == ""
    return {
        "revision": listed.revision,
        "runs": list(listed.runs),
        "retention": [calls.get_retention(stub, run.run_id) for run in listed.runs],
        "counts": stub.CountRuns(pb.CountRunsRequest(include_archived=True)),
    }


def test_version_increments_monotonically(stub: Stub) -> None:
    """Whatever is done, a run's version goes up by one, or stays."""
    run_ids = [create(stub).run_id for _ in range(3)]
    versions = dict.fromkeys(run_ids, 1)

    for run_id, answer in wander(stub, run_ids, 60):
        if answer is not None:
            assert answer.version - versions[run_id] in (0, 1)
            versions[run_id] = answer.version
        assert get(stub, run_id).version == versions[run_id]


def test_version_never_decreases(stub: Stub) -> None:
    """Neither a refusal nor the change of another run moves a version."""
    run_ids = [create(stub).run_id for _ in range(3)]
    seen = {run_id: get(stub, run_id) for run_id in run_ids}

    for changed, answer in wander(stub, run_ids, 60):
        for run_id in run_ids:
            run = get(stub, run_id)
            if run_id != changed or answer is None:
                assert run == seen[run_id]
            assert run.version >= seen[run_id].version
            seen[run_id] = run


@pytest.mark.parametrize("name", methods.CHANGES)
def test_version_increments_on_any_mutation(stub: Stub, name: str) -> None:
    """By exactly one; a deletion ends it, and the next run of the id starts at 1 again."""
    run_id = methods.target(stub, name)
    before = get(stub, run_id)

    answer = methods.call(stub, name, methods.build(name, run_id))

    if name == "DeleteRun":
        assert create(stub, run_id=run_id).version == 1
    else:
        assert answer.version == get(stub, run_id).version == before.version + 1


def test_terminal_states_are_terminal(stub: Stub) -> None:
    """No call makes anything else of an archived run."""
    run = create_in(stub, pb.RUN_STATE_ARCHIVED)

    for change in (pause, resume, close, fail, cancel, archive):
        check_refused(
            lambda change=change: change(stub, run.run_id),
            Code.FAILED_PRECONDITION,
            "INVALID_STATE_TRANSITION",
            fromState="RUN_STATE_ARCHIVED",
            allowedStates="",
        )
    assert get(stub, run.run_id) == run


@pytest.mark.parametrize(
    "state", [pb.RUN_STATE_COMPLETED, pb.RUN_STATE_FAILED, pb.RUN_STATE_CANCELLED], ids=pb.RunState.Name
)
def test_no_resurrection_from_finished(stub: Stub, state: int) -> None:
    """A finished run can only be archived."""
    run = create_in(stub, state)

    for change in (resume, pause, close, fail, cancel):
        check_refused(
            lambda change=change: change(stub, run.run_id),
            Code.FAILED_PRECONDITION,
            "INVALID_STATE_TRANSITION",
            fromState=pb.RunState.Name(state),
            allowedStates="RUN_STATE_ARCHIVED",
        )
    assert get(stub, run.run_id) == run


def test_default_run_is_immortal(stub: Stub) -> None:
    """Whatever is tried, it is there and ACTIVE."""
    for _, _ in wander(stub, [DEFAULT], 40):
        assert get(stub, DEFAULT).state == pb.RUN_STATE_ACTIVE
    for name in (*methods.LIFECYCLE, "DeleteRun"):
        check_refused(
            lambda name=name: methods.call(stub, name, methods.build(name, DEFAULT)),
            Code.FAILED_PRECONDITION,
            "DEFAULT_RUN_PROTECTED",
        )
    assert list_ids(stub, pb.RUN_STATE_ACTIVE) == [DEFAULT]


def check_leaves_everything(stub: Stub, *names: str) -> None:
    """Call reads of a run in each state, and of one that is not there, and check that nothing changed."""
    run_ids = [create_in(stub, state, tags=["old"], metadata={"k": "word"}).run_id for state in STATES]
    before = everything(stub)

    for name in names:
        for run_id in (*run_ids, DEFAULT, UNKNOWN_ID):
            try:
                answer = methods.call(stub, name, methods.build(name, run_id))
            except grpc.RpcError as refused:
                if refused.code() is not Code.NOT_FOUND:
                    raise
            else:
                assert answer.revision == before["revision"]

    assert everything(stub) == before


def test_read_does_not_mutate(stub: Stub) -> None:
    """Reading one run changes neither it nor the store's revision."""
    check_leaves_everything(stub, "GetRun", "RunExists", "GetRunTags", "GetParentRun", "GetRunRetention")


def test_list_does_not_mutate(stub: Stub) -> None:
    """Listing changes nothing."""
    check_leaves_everything(stub, "ListRuns", "GetChildRuns")


def test_query_does_not_mutate(stub: Stub) -> None:
    """Querying, counting and searching change nothing."""
    check_leaves_everything(stub, "QueryRunsByState", "QueryRunsByTag", "CountRuns", "SearchRuns")


def test_delete_removes_addressability(stub: Stub) -> None:
    """After a deletion no form of the id leads anywhere."""
    run_id = create(stub).run_id
    delete(stub, run_id)

    for form in (run_id, run_id.upper(), run_id.replace("-", ""), f"{{{run_id}}}", f"urn:uuid:{run_id}"):
        check_refused(lambda form=form: get(stub, form), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id)
        assert not stub.RunExists(pb.RunExistsRequest(run_id=form)).exists


def test_delete_is_permanent(server: RunningServer, stub: Stub) -> None:
    """No call, and no work in the background, brings a deleted run back."""
    run_id = create(stub, tags=["t"], metadata={"k": "word"}).run_id
    delete(stub, run_id)

    for name in methods.NEEDS_THE_RUN:
        check_refused(
            lambda name=name: methods.call(stub, name, methods.build(name, run_id)),
            Code.NOT_FOUND,
            "RUN_NOT_FOUND",
        )
    server.run_jobs()

    assert not stub.RunExists(pb.RunExistsRequest(run_id=run_id)).exists
    assert list_ids(stub, include_archived=True) == [DEFAULT]


def check_indexes(stub: Stub) -> None:
    """Check that every index and counter says what the records say."""
    runs = list(stub.ListRuns(pb.ListRunsRequest(include_archived=True, page_size=1_000)).runs)
    shown = [run for run in runs if run.state != pb.RUN_STATE_ARCHIVED]
    for state in STATES:
        expected = [run.run_id for run in runs if run.state == state]
        assert by_state(stub, state) == list_ids(stub, state) == expected
        assert count(stub, state) == len(expected)
        name = pb.RunState.Name(state).removeprefix("RUN_STATE_").lower()
        assert search_ids(stub, f"state:{name}") == expected
    for tag in TAGS:
        expected = [run.run_id for run in shown if tag in run.tags]
        assert by_tag(stub, tag) == search_ids(stub, f"tag:{tag}") == expected
        expected = [run.run_id for run in runs if tag in run.tags]
        assert by_tag(stub, tag, include_archived=True) == expected
    for parent in runs:
        expected = [run.run_id for run in runs if run.parent_run_id == parent.run_id]
        assert children(stub, parent.run_id, include_archived=True) == expected
    assert list_ids(stub) == [run.run_id for run in shown]
    assert count(stub) == len(shown)
    assert count(stub, include_archived=True) == len(runs)


def test_status_index_consistent_with_state(stub: Stub) -> None:
    """After each of many random changes, every listing, count and search agrees with the records."""
    run_ids = [create(stub, parent=DEFAULT).run_id for _ in range(4)]

    for place, _ in enumerate(wander(stub, run_ids, 60)):
        if place % 5 == 0:
            check_indexes(stub)


def test_tag_index_consistent_with_tags(server: RunningServer, stub: Stub) -> None:
    """The same with runs that come and go, and with search's own index merged on the way."""
    run_ids = [create(stub, tags=["a", "d"], parent=DEFAULT).run_id for _ in range(4)]

    for place, (run_id, _) in enumerate(wander(stub, run_ids, 60)):
        if place % 7 == 0:
            delete(stub, run_id)
            create(stub, run_id=run_id, tags=["c"])
        if place % 10 == 0:
            server.run_jobs()
            check_indexes(stub)
