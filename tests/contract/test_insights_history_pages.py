"""GetRunHistory, page by page, while runs go on and their ids live again."""

from collections.abc import Iterator

import pytest
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Stub,
    add_tags,
    check_refused,
    create,
    delete,
)
from tests.support.data_calls import revision_of
from tests.support.histories import (
    ask,
    go_on_and_off,
    history,
)
from tests.support.insight_methods import Insights
from tests.support.server import RunningServer, StartServer
from tests.support.stores import IN_MEMORY


def pages(insights: Insights, run_id: str, size: int, token: str = "") -> Iterator[pb.GetRunHistoryResponse]:
    """Yield the pages of a run's history, from the first or from a token on."""
    for _ in range(1_000):
        answer = ask(insights, run_id, page_size=size, page_token=token)
        yield answer
        token = answer.next_page_token
        if not token:
            return
    msg = "pages without end"
    raise AssertionError(msg)


# Pages.


def test_pages_join_to_the_whole(stub: Stub, insights: Insights) -> None:
    """Every page but the last is full, and the token is empty exactly at the end."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 4)
    add_tags(stub, run_id, "t")
    go_on_and_off(stub, run_id, 2)
    whole = history(insights, run_id)
    assert len(whole) == 7

    for size in range(1, len(whole) + 2):
        answers = list(pages(insights, run_id, size))
        assert [each for answer in answers for each in answer.transitions] == whole
        assert [len(answer.transitions) for answer in answers[:-1]] == [size] * (len(answers) - 1)
        assert len(answers) == -(-len(whole) // size)


def test_transitions_between_pages_are_on_later_ones(stub: Stub, insights: Insights) -> None:
    """Each page is of the newest snapshot, and says which."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 4)
    found: list[pb.RunTransition] = []

    for answer in pages(insights, run_id, 2):
        assert answer.revision == revision_of(stub)
        if not found:
            go_on_and_off(stub, run_id, 2)
        found += answer.transitions

    assert len(found) == 7
    assert found == history(insights, run_id)


def test_a_token_at_the_end_of_what_was_leads_on(stub: Stub, insights: Insights) -> None:
    """It may be used again, with another size."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 2)
    token = ask(insights, run_id, page_size=2).next_page_token
    assert [each.version for each in ask(insights, run_id, page_token=token).transitions] == [3]

    go_on_and_off(stub, run_id, 1)

    answer = ask(insights, run_id, page_token=token, page_size=1)
    assert [each.version for each in answer.transitions] == [3]
    assert [
        each.version for each in ask(insights, run_id, page_token=answer.next_page_token).transitions
    ] == [4]


@IN_MEMORY
def test_page_sizes(stub: Stub, insights: Insights) -> None:
    """0 is 100, above 1,000 is 1,000; negative is refused."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, PAGE_SIZE_MAX)

    for size in (0, 1, 99, 100, 101, 999, 1_000, 1_001, 2**31 - 1):
        answer = ask(insights, run_id, page_size=size)
        assert len(answer.transitions) == min(size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        assert answer.next_page_token
    answer = ask(insights, run_id, page_size=1_000, page_token=answer.next_page_token)
    assert (len(answer.transitions), answer.next_page_token) == (1, "")
    for size in (-1, -(2**31)):
        check_refused(
            lambda size=size: ask(insights, run_id, page_size=size),
            Code.INVALID_ARGUMENT,
            "INVALID_PAGE_SIZE",
            value=str(size),
        )


def check_token_refused(insights: Insights, run_id: str, token: str) -> None:
    """Check that a run's history does not take a token."""
    check_refused(
        lambda: ask(insights, run_id, page_token=token),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        field="page_token",
    )


def test_a_token_is_bound_to_its_run(stub: Stub, insights: Insights) -> None:
    """Another run refuses it; another spelling of the id is the same run."""
    run_id, other = create(stub).run_id, create(stub).run_id
    go_on_and_off(stub, run_id, 2)
    go_on_and_off(stub, other, 2)
    token = ask(insights, run_id, page_size=1).next_page_token

    check_token_refused(insights, other, token)
    check_token_refused(insights, DEFAULT, token)
    for foreign in ("x", token[:-1], token + "A", token[::-1]):
        check_token_refused(insights, run_id, foreign)
    again = ask(insights, f"urn:uuid:{run_id.upper()}", page_size=1, page_token=token)
    assert [each.version for each in again.transitions] == [2]


def test_tokens_of_other_collections_are_refused(stub: Stub, insights: Insights) -> None:
    """And theirs are."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 1)
    of_runs = stub.ListRuns(index_pb.ListRunsRequest(page_size=1)).next_page_token
    of_history = ask(insights, run_id, page_size=1).next_page_token

    check_token_refused(insights, run_id, of_runs)
    check_refused(
        lambda: stub.ListRuns(index_pb.ListRunsRequest(page_token=of_history)),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
    )


@pytest.mark.parametrize("erased", [False, True])
def test_a_token_belongs_to_one_life_of_the_run(
    stub: Stub, insights: Insights, server: RunningServer, *, erased: bool
) -> None:
    """A run that is created again under the id refuses it, though it has the same history."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 2)
    token = ask(insights, run_id, page_size=1).next_page_token

    delete(stub, run_id)
    check_refused(
        lambda: ask(insights, run_id, page_token=token), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id
    )
    if erased:
        server.run_jobs()
    create(stub, run_id=run_id)
    go_on_and_off(stub, run_id, 2)

    check_token_refused(insights, run_id, token)


def test_a_token_of_another_store_is_refused(start: StartServer) -> None:
    """Although that holds the same run."""
    found = []
    for _ in range(2):
        server = start()
        create(server.stub(), run_id=UNKNOWN_ID)
        go_on_and_off(server.stub(), UNKNOWN_ID, 2)
        found.append(server.insights_stub())
    token = ask(found[0], UNKNOWN_ID, page_size=1).next_page_token

    check_token_refused(found[1], UNKNOWN_ID, token)
    assert ask(found[0], UNKNOWN_ID, page_token=token).next_page_token == ""


def test_what_is_refused_first(stub: Stub, insights: Insights) -> None:
    """The id, the page's size, the token's form, the run, and then the token's run."""
    run_id = create(stub).run_id
    go_on_and_off(stub, run_id, 2)
    token = ask(insights, run_id, page_size=1).next_page_token
    delete(stub, run_id)
    invalid = Code.INVALID_ARGUMENT

    for wrong in ("", "x", "00000000-0000-0000-0000-000000000000"):
        check_refused(
            lambda wrong=wrong: ask(insights, wrong, page_size=-1, page_token="x"), invalid, "INVALID_RUN_ID"
        )
    check_refused(lambda: ask(insights, run_id, page_size=-1, page_token="x"), invalid, "INVALID_PAGE_SIZE")
    check_refused(lambda: ask(insights, run_id, page_token="x"), invalid, "INVALID_PAGE_TOKEN")
    check_refused(lambda: ask(insights, run_id, page_token=token), Code.NOT_FOUND, "RUN_NOT_FOUND")
