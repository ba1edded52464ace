"""Listing, querying, counting and searching: the tests that the RunIndex plan names, and ours beside them.

How pages are cut is in `test_paging`, the grammar of search in `test_search`.
"""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    add_tags,
    archive,
    by_state,
    by_tag,
    check_refused,
    children,
    close,
    count,
    create,
    create_in,
    delete,
    fail,
    ids,
    list_ids,
    pause,
    remove_tags,
    search_ids,
)

ACTIVE: Final = pb.RUN_STATE_ACTIVE
PAUSED: Final = pb.RUN_STATE_PAUSED
COMPLETED: Final = pb.RUN_STATE_COMPLETED
FAILED: Final = pb.RUN_STATE_FAILED
CANCELLED: Final = pb.RUN_STATE_CANCELLED
ARCHIVED: Final = pb.RUN_STATE_ARCHIVED


def one_of_each(stub: Stub, **request: Any) -> dict[int, str]:
    """Create a run in each state, in the order of the enum, and return the ids by state."""
    return {state: create_in(stub, state, **request).run_id for state in STATES}


def test_run_list_all(stub: Stub) -> None:
    """All runs but archived ones, newest first, the default run last; whole, and from one revision."""
    made = one_of_each(stub, tags=["t"], metadata={"k": 1})

    answer = stub.ListRuns(pb.ListRunsRequest())

    shown = [made[state] for state in reversed(STATES) if state != ARCHIVED]
    assert ids(answer) == [*shown, DEFAULT]
    assert answer.next_page_token == ""
    for run in answer.runs:
        whole = stub.GetRun(pb.GetRunRequest(run_id=run.run_id))
        assert run == whole.run
        assert answer.revision == whole.revision


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_run_list_by_status(stub: Stub, state: int) -> None:
    """One state lists its runs, ARCHIVED included."""
    made = one_of_each(stub)

    assert list_ids(stub, state) == [made[state]] + ([DEFAULT] if state == ACTIVE else [])


def test_run_list_limit(stub: Stub) -> None:
    """A page holds at most `page_size` runs, the newest."""
    made = [create(stub).run_id for _ in range(5)]

    answer = stub.ListRuns(pb.ListRunsRequest(page_size=3))

    assert ids(answer) == made[:-4:-1]
    assert answer.next_page_token


def test_run_list_offset(stub: Stub) -> None:
    """`skip` passes over the newest; more than there are gives an empty list."""
    made = [DEFAULT, *(create(stub).run_id for _ in range(4))]

    for skip in range(7):
        answer = stub.ListRuns(pb.ListRunsRequest(skip=skip, page_size=2))
        left = made[::-1][skip:]
        assert ids(answer) == left[:2]
        assert bool(answer.next_page_token) == (len(left) > 2)


def test_run_query_by_status_active(stub: Stub) -> None:
    """A run is active from its creation until it leaves that state."""
    first, second = create(stub).run_id, create(stub).run_id
    assert by_state(stub, ACTIVE) == [second, first, DEFAULT]

    pause(stub, second)

    assert by_state(stub, ACTIVE) == [first, DEFAULT]
    assert by_state(stub, PAUSED) == [second]


def test_run_query_by_status_failed(stub: Stub) -> None:
    """Failed runs are listed in the order of their creation, not of their failing; archiving hides them."""
    first, second, third = (create(stub).run_id for _ in range(3))
    for run_id in (third, first, second):
        fail(stub, run_id)
    assert by_state(stub, FAILED) == [third, second, first]

    archive(stub, second)

    assert by_state(stub, FAILED) == [third, first]
    assert by_state(stub, ARCHIVED) == [second]


def test_run_query_by_tag(stub: Stub) -> None:
    """The runs with a tag, newest first, whatever their state; archived ones only when asked for."""
    made = one_of_each(stub, tags=["t", "u"])
    create(stub, tags=["u"])

    newest_first = [made[state] for state in reversed(STATES)]
    assert by_tag(stub, "t") == newest_first[1:]
    assert by_tag(stub, "t", include_archived=True) == newest_first


def test_run_query_by_tag_not_found(stub: Stub) -> None:
    """A tag that no run carries gives an empty list; tags are compared exactly: prefix, case and form."""
    create(stub, tags=["prod", "prod__eu", "caf\u00e9", "a b"])

    for tag in (
        "absent",
        "pro",
        "prod_",
        "prod__",
        "Prod",
        "PROD",
        " prod",
        "prod ",
        "cafe\u0301",
        "a",
        "a  b",
    ):
        answer = stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag=tag, include_archived=True))
        assert ids(answer) == []
        assert answer.next_page_token == ""


def test_run_count_all(stub: Stub) -> None:
    """All runs but archived ones, the default run among them; deleting takes one away."""
    made = one_of_each(stub)

    assert count(stub) == 6
    assert count(stub, include_archived=True) == 7
    delete(stub, made[PAUSED])
    delete(stub, made[ARCHIVED])
    assert count(stub) == 5
    assert count(stub, include_archived=True) == 5


@pytest.mark.parametrize(
    ("states", "include_archived", "rows"),
    [
        ([], False, [(ACTIVE, 2), (PAUSED, 0), (COMPLETED, 2), (FAILED, 1), (CANCELLED, 0)]),
        ([], True, [(ACTIVE, 2), (PAUSED, 0), (COMPLETED, 2), (FAILED, 1), (CANCELLED, 0), (ARCHIVED, 1)]),
        ([ACTIVE], False, [(ACTIVE, 2)]),
        ([ARCHIVED], False, [(ARCHIVED, 1)]),
        ([PAUSED], False, [(PAUSED, 0)]),
        ([ARCHIVED, FAILED, COMPLETED], False, [(COMPLETED, 2), (FAILED, 1), (ARCHIVED, 1)]),
        ([FAILED, FAILED, FAILED], False, [(FAILED, 1)]),
        ([COMPLETED], True, [(COMPLETED, 2)]),
    ],
)
def test_run_count_by_status(
    stub: Stub,
    states: Sequence[pb.RunState.ValueType],
    rows: list[tuple[int, int]],
    *,
    include_archived: bool,
) -> None:
    """One row for each state that was asked for, zeros included, in the order of the enum, and their sum."""
    for state in (ACTIVE, COMPLETED, COMPLETED, FAILED, ARCHIVED):
        create_in(stub, state)

    answer = stub.CountRuns(pb.CountRunsRequest(states=states, include_archived=include_archived))

    assert [(row.state, row.count) for row in answer.by_state] == rows
    assert answer.count == sum(row_count for _, row_count in rows)


def test_run_search_by_name(stub: Stub) -> None:
    """A run is found by its id, and by the beginning of its id."""
    run_id = create(stub, run_id=UNKNOWN_ID).run_id
    create(stub)

    assert search_ids(stub, run_id) == [run_id]
    assert search_ids(stub, f"id:{run_id}") == [run_id]
    assert search_ids(stub, run_id[:8]) == [run_id]


def test_run_search_by_metadata(stub: Stub) -> None:
    """A run is found by the keys and the values of its metadata as they are, and no longer as they were."""
    first = create(stub, metadata={"model": "gpt-4o", "owner": {"team": "search infra"}}).run_id
    second = create(stub, metadata={"model": "claude"}).run_id

    assert search_ids(stub, "claude") == [second]
    assert search_ids(stub, "model") == [second, first]
    assert search_ids(stub, "infra") == [first]
    assert search_ids(stub, "meta.owner.team:search") == [first]
    stub.UpdateRunMetadata(pb.UpdateRunMetadataRequest(run_id=first, metadata={"model": "claude"}))
    assert search_ids(stub, "infra") == []
    assert search_ids(stub, "claude") == [second, first]


def test_run_search_respects_limit(stub: Stub) -> None:
    """A page of search holds `page_size` runs, 10 when none is given, and a token when there are more."""
    made = [create(stub, tags=["t"]).run_id for _ in range(12)]

    for page_size, held in ((0, 10), (1, 1), (11, 11), (12, 12), (13, 12)):
        answer = stub.SearchRuns(pb.SearchRunsRequest(query="tag:t", page_size=page_size))
        assert ids(answer) == made[::-1][:held]
        assert bool(answer.next_page_token) == (held < 12)
        assert not answer.truncated


# Beside the plan's.


@pytest.mark.parametrize("include_archived", [False, True])
@pytest.mark.parametrize(
    "states",
    [[PAUSED, FAILED], [FAILED, PAUSED, FAILED], [ARCHIVED], [ARCHIVED, COMPLETED], [CANCELLED]],
)
def test_states_win_over_include_archived(
    stub: Stub, states: list[pb.RunState.ValueType], *, include_archived: bool
) -> None:
    """A list of states is what is listed, duplicates and order aside, and nothing else."""
    made = one_of_each(stub)

    listed = list_ids(stub, *states, include_archived=include_archived)

    assert listed == [made[state] for state in reversed(STATES) if state in states]


def test_include_archived_merges_by_creation(stub: Stub) -> None:
    """Archived runs stand among the others where they were created, in every collection."""
    made = [create(stub, parent=DEFAULT, tags=["t"]).run_id for _ in range(9)]
    for run_id in made[::2]:
        archive(stub, run_id)
    newest_first, shown = made[::-1], made[-2::-2]

    assert list_ids(stub, include_archived=True) == [*newest_first, DEFAULT]
    assert by_tag(stub, "t", include_archived=True) == newest_first
    assert children(stub, DEFAULT, include_archived=True) == newest_first
    assert search_ids(stub, "tag:t", include_archived=True) == newest_first
    assert list_ids(stub) == [*shown, DEFAULT]
    assert by_tag(stub, "t") == shown
    assert children(stub, DEFAULT) == shown
    assert search_ids(stub, "tag:t") == shown
    assert search_ids(stub, "tag:t state:archived") == made[::-2]


def test_the_default_run_is_listed_counted_and_found(stub: Stub) -> None:
    """In every query it is a run like others, and the oldest."""
    add_tags(stub, DEFAULT, "t")
    run_id = create(stub, tags=["t"]).run_id

    assert list_ids(stub) == [run_id, DEFAULT]
    assert by_state(stub, ACTIVE) == [run_id, DEFAULT]
    assert by_tag(stub, "t") == [run_id, DEFAULT]
    assert search_ids(stub, "tag:t") == [run_id, DEFAULT]
    assert search_ids(stub, "id:default") == [DEFAULT]
    assert count(stub, ACTIVE) == 2


def test_order_is_of_creation_not_of_change(stub: Stub) -> None:
    """A changed run keeps its place, also among those whose tag it got last."""
    first, second, third = (create(stub).run_id for _ in range(3))
    for run_id in (second, third, first):
        add_tags(stub, run_id, "t")
    pause(stub, first)

    assert list_ids(stub) == [third, second, first, DEFAULT]
    assert by_tag(stub, "t") == [third, second, first]
    assert search_ids(stub, "tag:t") == [third, second, first]


def test_a_run_created_again_is_new(stub: Stub) -> None:
    """A run under the id of a deleted one stands at its own creation, not at the old one's."""
    first, second = create(stub).run_id, create(stub).run_id
    delete(stub, first)
    create(stub, run_id=first)

    assert list_ids(stub) == [first, second, DEFAULT]


def test_queries_read_your_writes(stub: Stub) -> None:
    """Each answer of a query shows the write that was acknowledged just before it."""
    run_id = create(stub).run_id
    assert list_ids(stub) == [run_id, DEFAULT]
    for tag in ("one", "two", "three"):
        add_tags(stub, run_id, tag)
        assert by_tag(stub, tag) == search_ids(stub, tag) == [run_id]
        remove_tags(stub, run_id, tag)
        assert by_tag(stub, tag) == search_ids(stub, tag) == []
    close(stub, run_id)
    assert by_state(stub, COMPLETED) == search_ids(stub, "state:completed") == [run_id]
    assert count(stub, COMPLETED) == 1


def test_an_empty_tag_is_refused(stub: Stub) -> None:
    """A query by tag needs one."""
    check_refused(lambda: by_tag(stub, ""), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="tag")


@pytest.mark.parametrize("tag", ["x" * 129, "a\nb", "\x7f"])
def test_a_tag_that_no_run_can_have_is_refused(stub: Stub, tag: str) -> None:
    """A query by tag is held to the bounds of tags."""
    check_refused(lambda: by_tag(stub, tag), Code.INVALID_ARGUMENT, "INVALID_TAG", field="tag")


def test_a_query_by_state_needs_one(stub: Stub) -> None:
    """Unspecified is no state."""
    check_refused(lambda: by_state(stub, 0), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="state")


@pytest.mark.parametrize("query", ["", " ", "\t\n"])
def test_an_empty_query_is_refused(stub: Stub, query: str) -> None:
    """A search without a term is a mistake, not a listing."""
    request = pb.SearchRunsRequest(query=query)
    reason = "INVALID_QUERY" if query else "FIELD_REQUIRED"
    check_refused(lambda: stub.SearchRuns(request), Code.INVALID_ARGUMENT, reason, field="query")
