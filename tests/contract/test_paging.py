"""Pages: every collection is cut in the same way, and no page skips or repeats a run."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex_server.limits import PAGE_BYTES_MAX
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Restart,
    Stub,
    archive,
    check_refused,
    create,
    delete,
    get,
    ids,
    remove_tags,
    struct,
)
from tests.support.methods import build, call
from tests.support.server import RunningServer, StartServer
from tests.support.stores import IN_MEMORY, ON_DISK

QUERIES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "all": ("ListRuns", {}),
    "all, archived too": ("ListRuns", {"include_archived": True}),
    "some states": ("ListRuns", {"states": [pb.RUN_STATE_ARCHIVED, pb.RUN_STATE_ACTIVE]}),
    "by state": ("QueryRunsByState", {"state": pb.RUN_STATE_ACTIVE}),
    "by tag": ("QueryRunsByTag", {"tag": "t"}),
    "by tag, archived too": ("QueryRunsByTag", {"tag": "t", "include_archived": True}),
    "search": ("SearchRuns", {"query": "tag:t"}),
    "search, archived too": ("SearchRuns", {"query": "tag:t OR tag:u", "include_archived": True}),
    "children": ("GetChildRuns", {}),
    "children, archived too": ("GetChildRuns", {"include_archived": True}),
}
"""Queries by a name: the method, and its fields beside `run_id`, which is the default run's."""

every_query: Final = pytest.mark.parametrize("query", QUERIES)


def fill(stub: Stub, count: int = 9) -> list[str]:
    """Create children of the default run with the tag `t`, archive every third, and return their ids."""
    made = [create(stub, parent=DEFAULT, tags=["t"]).run_id for _ in range(count)]
    for run_id in made[::3]:
        archive(stub, run_id)
    return made


def ask(stub: Stub, query: str, /, **paging: Any) -> Any:
    """Return one page of a query."""
    name, fields = QUERIES[query]
    return call(stub, name, build(name, DEFAULT, **(fields | paging)))


def whole(stub: Stub, query: str) -> list[str]:
    """Return all ids of a query, on one page."""
    answer = ask(stub, query, page_size=1_000)
    assert answer.next_page_token == ""
    return ids(answer)


def pages(stub: Stub, query: str, *, token: str = "", **paging: Any) -> Iterator[Any]:
    """Yield the pages of a query, from the first or from a token on."""
    while True:
        answer = ask(stub, query, page_token=token, **paging)
        yield answer
        token = answer.next_page_token
        if not token:
            return


def joined(answers: Iterator[Any]) -> list[str]:
    """Return the ids of pages, one after the other."""
    return [run_id for answer in answers for run_id in ids(answer)]


@every_query
def test_pages_join_to_the_whole(stub: Stub, query: str) -> None:
    """Whatever the size; every page but the last is full, and the token is empty exactly at the end."""
    fill(stub)
    expected = whole(stub, query)
    assert len(expected) >= 6

    for size in range(1, len(expected) + 2):
        answers = list(pages(stub, query, page_size=size))
        assert joined(iter(answers)) == expected
        assert [len(answer.runs) for answer in answers[:-1]] == [size] * (len(answers) - 1)
        assert len(answers) == -(-len(expected) // size)


@every_query
def test_every_page_has_its_own_revision(stub: Stub, query: str) -> None:
    """A page is from one snapshot, the newest, and says which."""
    fill(stub)

    for answer in pages(stub, query, page_size=2):
        assert answer.revision == get_revision(stub)
        create(stub)


def get_revision(stub: Stub) -> int:
    """Return the store's revision."""
    return stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT)).revision


@every_query
def test_runs_created_between_pages(stub: Stub, query: str) -> None:
    """They are newer than what comes, and show on no later page."""
    fill(stub)
    expected = whole(stub, query)
    first = ask(stub, query, page_size=2)

    fill(stub, 3)

    rest = pages(stub, query, page_size=2, token=first.next_page_token)
    assert ids(first) + joined(rest) == expected


@every_query
@pytest.mark.parametrize("place", [0, 1, 2, 3, -1])
def test_runs_deleted_between_pages(stub: Stub, query: str, place: int) -> None:
    """Before, at and behind the place where the page ended: no other run is lost or repeated."""
    fill(stub)
    expected = [run_id for run_id in whole(stub, query) if run_id != DEFAULT]
    first = ask(stub, query, page_size=2)

    delete(stub, expected[place])

    rest = joined(pages(stub, query, page_size=2, token=first.next_page_token))
    deleted = expected[place]
    assert rest == whole(stub, query)[1 if deleted in ids(first) else 2 :]
    assert deleted not in rest


@every_query
def test_everything_deleted_between_pages(stub: Stub, query: str) -> None:
    """A token that leads to nothing gives an empty last page."""
    made = fill(stub)
    first = ask(stub, query, page_size=2)
    for run_id in made:
        delete(stub, run_id)

    rest = ask(stub, query, page_size=2, page_token=first.next_page_token)

    assert set(ids(rest)) <= {DEFAULT}
    assert rest.next_page_token == ""


@every_query
def test_a_run_created_again_between_pages(stub: Stub, query: str) -> None:
    """It is a new run, and newer than what comes."""
    fill(stub)
    expected = [run_id for run_id in whole(stub, query) if run_id != DEFAULT]
    first = ask(stub, query, page_size=2)

    delete(stub, expected[-1])
    create(stub, run_id=expected[-1], parent=DEFAULT, tags=["t"])

    rest = joined(pages(stub, query, page_size=2, token=first.next_page_token))
    assert expected[-1] not in rest
    assert [run_id for run_id in rest if run_id != DEFAULT] == expected[2:-1]


def test_runs_that_leave_or_enter_a_query_between_pages(stub: Stub) -> None:
    """A later page shows what holds when it is made."""
    made = [create(stub, tags=["t"] if place != 1 else []).run_id for place in range(6)]
    first = ask(stub, "by tag", page_size=2)
    assert ids(first) == [made[5], made[4]]

    remove_tags(stub, made[3], "t")
    archive(stub, made[2])
    stub.AddRunTags(pb.AddRunTagsRequest(run_id=made[1], tags=["t"]))

    rest = pages(stub, "by tag", page_size=2, token=first.next_page_token)
    assert joined(rest) == [made[1], made[0]]


@every_query
def test_size_and_view_may_change_from_page_to_page(stub: Stub, query: str) -> None:
    """A token is bound to neither."""
    fill(stub, 12)
    expected = whole(stub, query)
    views = (pb.RUN_VIEW_ID_ONLY, pb.RUN_VIEW_BASIC, pb.RUN_VIEW_FULL, pb.RUN_VIEW_UNSPECIFIED)
    found, token = [], ""

    for size, view in zip((1, 3, 2, 1_000), views, strict=True):
        answer = ask(stub, query, page_size=size, view=view, page_token=token)
        assert all((run.version == 0) == (view == pb.RUN_VIEW_ID_ONLY) for run in answer.runs)
        found += ids(answer)
        token = answer.next_page_token

    assert token == ""
    assert found == expected


@every_query
def test_a_token_may_be_used_again(stub: Stub, query: str) -> None:
    """It is a place, not a cursor that moves."""
    fill(stub)
    token = ask(stub, query, page_size=2).next_page_token

    once, again = (ask(stub, query, page_size=2, page_token=token) for _ in range(2))

    assert once == again


def check_token_refused(stub: Stub, query: str, token: str, /, **fields: Any) -> None:
    """Check that a query does not take a token."""
    check_refused(
        lambda: ask(stub, query, page_token=token, **fields),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        field="page_token",
    )


@IN_MEMORY
@every_query
def test_a_token_belongs_to_its_query(stub: Stub, query: str) -> None:
    """Another query of the same method, and every other method, refuses it."""
    fill(stub)
    token = ask(stub, query, page_size=1).next_page_token

    for other in QUERIES:
        if other != query:
            check_token_refused(stub, other, token)


@pytest.mark.parametrize(
    ("query", "change"),
    [
        ("all", {"states": [pb.RUN_STATE_ACTIVE]}),
        ("by state", {"state": pb.RUN_STATE_ARCHIVED}),
        ("by tag", {"tag": "u"}),
        ("by tag", {"tag": "T"}),
        ("search", {"query": "tag:t tag:t"}),
        ("children", {"run_id": UNKNOWN_ID}),
    ],
)
def test_a_token_is_bound_to_each_part_of_its_query(stub: Stub, query: str, change: dict[str, Any]) -> None:
    """No field of a query may change from page to page."""
    fill(stub)
    token = ask(stub, query, page_size=1).next_page_token

    check_token_refused(stub, query, token, **change)


def test_a_token_is_bound_to_the_query_not_to_its_spelling(stub: Stub) -> None:
    """Another form of the same id is the same query."""
    parent = create(stub).run_id
    made = [create(stub, parent=parent).run_id for _ in range(3)]
    token = ask(stub, "children", run_id=parent, page_size=1).next_page_token

    rest = ask(stub, "children", run_id=f"{{{parent.upper()}}}", page_token=token)

    assert ids(rest) == made[1::-1]


@IN_MEMORY
@every_query
def test_a_damaged_token_is_refused(stub: Stub, query: str) -> None:
    """Each change of one character is found, and so is a token that is cut, longer, or made up."""
    fill(stub)
    token = ask(stub, query, page_size=1).next_page_token

    for place, char in enumerate(token):
        other = "A" if char != "A" else "B"
        check_token_refused(stub, query, token[:place] + other + token[place + 1 :])
    for other in (token[:-1], token[:-4], token[4:], token + "A", token * 2, "x", "=", "1", "ü", " " + token):
        check_token_refused(stub, query, other)


@every_query
def test_a_token_of_another_store_is_refused(start: StartServer, query: str) -> None:
    """Although that holds runs under the same numbers."""
    stubs = []
    for _ in range(2):
        stub = start().stub()
        fill(stub)
        stubs.append(stub)
    token = ask(stubs[0], query, page_size=1).next_page_token

    check_token_refused(stubs[1], query, token)


@ON_DISK
@every_query
def test_a_token_outlives_a_restart(stub: Stub, restart: Restart, query: str) -> None:
    """It belongs to the store, not to the server."""
    fill(stub)
    expected = whole(stub, query)
    first = ask(stub, query, page_size=2)

    again = restart()

    assert ids(first) + joined(pages(again, query, token=first.next_page_token)) == expected


def test_skip_passes_over_before_the_first_page(stub: Stub) -> None:
    """The pages after it go on by token alone; the two together are refused."""
    fill(stub)
    expected = whole(stub, "all, archived too")

    for skip in range(len(expected) + 2):
        first = ask(stub, "all, archived too", skip=skip, page_size=2)
        found = ids(first)
        if first.next_page_token:
            found += joined(pages(stub, "all, archived too", token=first.next_page_token))
        assert found == expected[skip:]
    token = ask(stub, "all", page_size=1).next_page_token
    check_refused(
        lambda: ask(stub, "all", skip=1, page_token=token),
        Code.INVALID_ARGUMENT,
        "INVALID_FIELD",
        field="skip",
    )


def heavy(stub: Stub, run_bytes: int) -> pb.Run:
    """Create a child of the default run with the tag `t` whose wire form has exactly so many bytes."""
    run = create(stub, parent=DEFAULT, tags=["t"], metadata={"k": "x" * (run_bytes - 300)})
    for _ in range(4):
        if run.ByteSize() == run_bytes:
            return run
        text = "x" * (len(run.metadata["k"]) + run_bytes - run.ByteSize())
        stub.UpdateRunMetadata(pb.UpdateRunMetadataRequest(run_id=run.run_id, metadata=struct({"k": text})))
        run = get(stub, run.run_id)
    msg = f"no metadata makes the run {run_bytes} bytes"
    raise AssertionError(msg)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_page_ends_at_2_mib_of_runs(stub: Stub, over: int) -> None:
    """It takes the run that fills it to the byte, and ends before the one that would pass it."""
    count, run_bytes = 40, 52_200
    oldest = heavy(stub, PAGE_BYTES_MAX - (count - 1) * run_bytes + over)
    made = [oldest.run_id, *(heavy(stub, run_bytes).run_id for _ in range(count - 1))]

    for query in ("by tag", "search", "children"):
        first = ask(stub, query, page_size=1_000)
        held = count if over <= 0 else count - 1
        assert ids(first) == made[::-1][:held]
        assert bool(first.next_page_token) == (over > 0)
        if first.next_page_token:
            assert ids(ask(stub, query, page_token=first.next_page_token)) == [oldest.run_id]


@IN_MEMORY
@every_query
def test_pages_cut_by_bytes_join_to_the_whole(stub: Stub, query: str) -> None:
    """Every default client can read each, and a view that is small is not cut."""
    metadata = struct({"k": "x" * 65_000})
    for _ in range(70):
        stub.CreateChildRun(pb.CreateChildRunRequest(parent_run_id=DEFAULT, tags=["t"], metadata=metadata))

    answers = list(pages(stub, query, page_size=1_000))

    assert len(answers) == 3
    for answer, following in pairwise(answers):
        size = sum(run.ByteSize() for run in answer.runs)
        assert size <= PAGE_BYTES_MAX < size + following.runs[0].ByteSize()
    basic = ask(stub, query, page_size=1_000, view=pb.RUN_VIEW_BASIC)
    assert basic.next_page_token == ""
    assert joined(iter(answers)) == ids(basic)
    assert all(run.metadata == Struct() for run in basic.runs)


def test_an_empty_collection_has_no_next_page(server: RunningServer, stub: Stub) -> None:
    """Not even when it would fill a page exactly."""
    server.run_jobs()

    for query in ("by tag", "search", "children"):
        answer = ask(stub, query, page_size=1)
        assert ids(answer) == []
        assert answer.next_page_token == ""
    answer = ask(stub, "all", page_size=1)
    assert ids(answer) == [DEFAULT]
    assert answer.next_page_token == ""
