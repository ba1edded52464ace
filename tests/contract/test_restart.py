"""What was acknowledged is there after a restart, to the byte."""

from collections.abc import Iterator
from typing import Any

import pytest

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    Restart,
    Stub,
    add_tags,
    close,
    create,
    create_in,
    delete,
    get,
    get_retention,
    ids,
    list_ids,
    remove_tags,
    set_retention,
    update,
)
from tests.support.methods import KEEP_3, READS, build, call
from tests.support.server import RunningServer

QUERIES = (
    "word",
    "tag:a",
    "state:failed",
    "outcome:completed",
    "parent:default",
    "meta.k:word",
    "-tag:a",
    "wor*",
)


@pytest.fixture
def store_kind() -> str:
    """Return the store that outlives its server."""
    return "lmdb"


def fill(stub: Stub) -> list[str]:
    """Create runs in all states with all that they can have, delete some, and return the others' ids."""
    made = []
    for turn in range(2):
        for state in STATES:
            run = create_in(
                stub, state, parent=DEFAULT, tags=["a", f"t{turn}"], metadata={"k": ["word", turn]}
            )
            set_retention(stub, run.run_id, KEEP_3)
            made.append(run.run_id)
    add_tags(stub, made[0], "late")
    remove_tags(stub, made[1], "a")
    update(stub, made[2], {"other": {"nested": None}})
    delete(stub, made.pop())
    delete(stub, made.pop(0))
    return made


def answers(stub: Stub, run_ids: list[str]) -> Iterator[Any]:
    """Yield the answers of every read."""
    for run_id in (*run_ids, DEFAULT):
        yield stub.GetRun(pb.GetRunRequest(run_id=run_id))
        yield get_retention(stub, run_id)
        for name in READS:
            if name != "SearchRuns":
                yield call(stub, name, build(name, run_id))
    for state in STATES:
        yield stub.QueryRunsByState(pb.QueryRunsByStateRequest(state=state))  # type: ignore[arg-type] # a number
    yield stub.CountRuns(pb.CountRunsRequest(include_archived=True))
    yield stub.ListRuns(pb.ListRunsRequest(include_archived=True))
    for query in QUERIES:
        yield stub.SearchRuns(pb.SearchRunsRequest(query=query, include_archived=True, page_size=100))


@pytest.mark.parametrize("merged", [False, True])
def test_every_answer_is_the_same(
    server: RunningServer, stub: Stub, restart: Restart, *, merged: bool
) -> None:
    """Of every read, whether the terms of search were merged before or not, and however often it restarts."""
    run_ids = fill(stub)
    if merged:
        server.run_jobs()
    before = list(answers(stub, run_ids))

    for _ in range(2):
        assert list(answers(restart(), run_ids)) == before


def test_background_work_goes_on_after_a_restart(server: RunningServer, stub: Stub, restart: Restart) -> None:
    """What was left to merge and to erase is merged and erased, and shows nowhere."""
    run_ids = fill(stub)
    before = list(answers(stub, run_ids))

    again = restart()
    server.run_jobs()

    assert list(answers(again, run_ids)) == before
    assert list(answers(restart(), run_ids)) == before


def test_writes_go_on_after_a_restart(stub: Stub, restart: Restart) -> None:
    """Versions, the order of creation and every listing go on where they stood."""
    first = create(stub, tags=["t"]).run_id

    again = restart()
    second = create(again, tags=["t"], parent=first).run_id
    assert close(again, first).version == 2

    third_stub = restart()
    third = create(third_stub, tags=["t"]).run_id
    assert list_ids(third_stub) == [third, second, first, DEFAULT]
    assert ids(third_stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag="t"))) == [third, second, first]
    assert get(third_stub, first).version == 2
    assert third_stub.CountRuns(pb.CountRunsRequest()).count == 4
