"""Pages of RunData: every collection is cut in the same way, and no page skips or repeats an item."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import DEFAULT, UNKNOWN_ID, Stub, check_refused, create, delete
from tests.support.data_calls import (
    Data,
    append,
    delete_document,
    delete_value,
    draft,
    put,
    revision_of,
    set_document,
    set_state,
)
from tests.support.data_methods import COLLECTIONS, build, call
from tests.support.server import RunningServer, StartServer
from tests.support.stores import IN_MEMORY, ON_DISK

COUNT: Final = 9
NAMES: Final = ("a", "a ", "aa", "aab", "b", "e\u0301", "é", "名", "🚀")
"""As many names, in the order of their bytes."""


@dataclass(frozen=True, slots=True)
class Query:
    """A collection, asked in one way.

    Attributes:
        method: The method.
        fields: Its fields beside the run.
        add: Writes the n-th item of the collection; those from `COUNT` on come after it in time.
    """

    method: str
    fields: Mapping[str, Any]
    add: Callable[[Data, str, int], object]


def name_of(n: int) -> str:
    """Return the n-th name; those from `COUNT` on lie between, before and behind the others."""
    return NAMES[n] if n < COUNT else ("a0", "0", "\U0010ffff")[n - COUNT]


def _add_event(data: Data, run_id: str, n: int) -> None:
    append(data, run_id, draft("s", n), draft("t", n), draft("s", n))


QUERIES: Final[Mapping[str, Query]] = {
    "values": Query("ListValues", {}, lambda data, run_id, n: put(data, run_id, name_of(n), n)),
    "names of values": Query(
        "ListValues", {"names_only": True}, lambda data, run_id, n: put(data, run_id, name_of(n), n)
    ),
    "values by prefix": Query(
        "ListValues", {"prefix": "p/"}, lambda data, run_id, n: put(data, run_id, "p/" + name_of(n), n)
    ),
    "history": Query("GetValueHistory", {"key": "k"}, lambda data, run_id, n: put(data, run_id, "k", n)),
    "states": Query("ListStates", {}, lambda data, run_id, n: set_state(data, run_id, name_of(n), n)),
    "states by prefix": Query(
        "ListStates", {"prefix": "p/"}, lambda data, run_id, n: set_state(data, run_id, "p/" + name_of(n), n)
    ),
    "documents": Query(
        "ListDocuments", {}, lambda data, run_id, n: set_document(data, run_id, name_of(n), n)
    ),
    "names of documents": Query(
        "ListDocuments",
        {"names_only": True},
        lambda data, run_id, n: set_document(data, run_id, name_of(n), n),
    ),
    "events": Query("ReadEvents", {}, lambda data, run_id, n: append(data, run_id, draft(name_of(n), n))),
    "events from a place": Query("ReadEvents", {"from_sequence": 2}, _add_event),
    "events of a stream": Query("ReadEvents", {"stream": "s"}, _add_event),
    "events backwards": Query("ReadEvents", {"backwards": True}, _add_event),
    "events of a stream backwards from a place": Query(
        "ReadEvents", {"stream": "s", "backwards": True, "from_sequence": 21}, _add_event
    ),
}
"""Queries by a name."""

every_query: Final = pytest.mark.parametrize("query", QUERIES)


def fill(stub: Stub, data: Data, query: str, *, count: int = COUNT) -> str:
    """Create a run that holds what a query asks for, and what it does not; return its id."""
    run_id = create(stub).run_id
    put(data, run_id, "q", 1)
    put(data, run_id, "o/", 1)
    set_state(data, run_id, "q/", 1)
    set_document(data, run_id, "q/", 1)
    for n in range(count):
        QUERIES[query].add(data, run_id, n)
    return run_id


def ask(data: Data, query: str, run_id: str, /, **paging: Any) -> Any:
    """Return one page of a query."""
    asked = QUERIES[query]
    return call(data, asked.method, build(asked.method, run_id, **(dict(asked.fields) | paging)))


def items_of(answer: Any) -> list[Any]:
    """Return the items of a page."""
    return list(answer.events if hasattr(answer, "events") else answer.items)


def whole(data: Data, query: str, run_id: str) -> list[Any]:
    """Return all items of a query, on one page."""
    answer = ask(data, query, run_id, page_size=1_000)
    assert answer.next_page_token == ""
    return items_of(answer)


def pages(data: Data, query: str, run_id: str, *, token: str = "", **paging: Any) -> Iterator[Any]:
    """Yield the pages of a query, from the first or from a token on."""
    for _ in range(1_000):
        answer = ask(data, query, run_id, page_token=token, **paging)
        yield answer
        token = answer.next_page_token
        if not token:
            return
    msg = "pages without end"
    raise AssertionError(msg)


def joined(answers: Iterator[Any]) -> list[Any]:
    """Return the items of pages, one after the other."""
    return [item for answer in answers for item in items_of(answer)]


def test_every_collection_is_among_the_queries() -> None:
    """The tests of this module leave none out."""
    assert {query.method for query in QUERIES.values()} == set(COLLECTIONS)


@every_query
def test_pages_join_to_the_whole(stub: Stub, data: Data, query: str) -> None:
    """Whatever the size; every page but the last is full, and the token is empty exactly at the end."""
    run_id = fill(stub, data, query)
    expected = whole(data, query, run_id)
    assert len(expected) >= COUNT

    for size in range(1, len(expected) + 2):
        answers = list(pages(data, query, run_id, page_size=size))
        assert joined(iter(answers)) == expected
        assert [len(items_of(answer)) for answer in answers[:-1]] == [size] * (len(answers) - 1)
        assert len(answers) == -(-len(expected) // size)


@every_query
def test_every_page_has_its_own_revision(stub: Stub, data: Data, query: str) -> None:
    """A page is from one snapshot, the newest, and says which."""
    run_id = fill(stub, data, query)

    for answer in pages(data, query, run_id, page_size=4):
        assert answer.revision == revision_of(stub)
        create(stub)


@every_query
def test_items_added_between_pages(stub: Stub, data: Data, query: str) -> None:
    """Those that lie behind the page's end show on a later page, the others on none; nothing is lost."""
    run_id = fill(stub, data, query)
    before = whole(data, query, run_id)
    first = ask(data, query, run_id, page_size=4)
    assert items_of(first) == before[:4]

    for n in range(COUNT, COUNT + 3):
        QUERIES[query].add(data, run_id, n)

    after = whole(data, query, run_id)
    rest = joined(pages(data, query, run_id, page_size=4, token=first.next_page_token))
    assert rest == after[after.index(before[3]) + 1 :]
    assert len(after) > len(before) or "from_sequence" in QUERIES[query].fields


DELETIONS: Final[Mapping[str, Callable[[Data, str, Any], object]]] = {
    "values": lambda data, run_id, item: delete_value(data, run_id, item.key),
    "names of values": lambda data, run_id, item: delete_value(data, run_id, item.key),
    "values by prefix": lambda data, run_id, item: delete_value(data, run_id, item.key),
    "documents": lambda data, run_id, item: delete_document(data, run_id, item.document),
    "names of documents": lambda data, run_id, item: delete_document(data, run_id, item.document),
}


@pytest.mark.parametrize("query", DELETIONS)
@pytest.mark.parametrize("place", [0, 2, 3, 4, 5, -1])
def test_items_deleted_between_pages(stub: Stub, data: Data, query: str, place: int) -> None:
    """Before, at and behind the place where the page ended: no other item is lost or repeated."""
    run_id = fill(stub, data, query)
    before = whole(data, query, run_id)
    first = ask(data, query, run_id, page_size=4)

    DELETIONS[query](data, run_id, before[place])

    rest = joined(pages(data, query, run_id, page_size=4, token=first.next_page_token))
    assert rest == [item for item in before[4:] if item != before[place]]


@pytest.mark.parametrize("query", DELETIONS)
def test_everything_deleted_between_pages(stub: Stub, data: Data, query: str) -> None:
    """A token that leads to nothing gives an empty last page; what is written again shows on it."""
    run_id = fill(stub, data, query)
    before = whole(data, query, run_id)
    first = ask(data, query, run_id, page_size=4)
    for item in before:
        DELETIONS[query](data, run_id, item)

    rest = ask(data, query, run_id, page_token=first.next_page_token)
    assert (items_of(rest), rest.next_page_token) == ([], "")

    QUERIES[query].add(data, run_id, COUNT - 1)
    rest = ask(data, query, run_id, page_token=first.next_page_token)
    assert [item.version for item in items_of(rest)] == [3]


@every_query
def test_the_page_size_may_change_from_page_to_page(stub: Stub, data: Data, query: str) -> None:
    """A token is not bound to it."""
    run_id = fill(stub, data, query)
    found, token = [], ""

    for size in (1, 3, 2, 0):
        answer = ask(data, query, run_id, page_size=size, page_token=token)
        found += items_of(answer)
        token = answer.next_page_token

    assert token == ""
    assert found == whole(data, query, run_id)


@every_query
def test_a_token_may_be_used_again(stub: Stub, data: Data, query: str) -> None:
    """It is a place, not a cursor that moves."""
    run_id = fill(stub, data, query)
    token = ask(data, query, run_id, page_size=2).next_page_token

    once, again = (ask(data, query, run_id, page_size=2, page_token=token) for _ in range(2))

    assert once == again
    assert items_of(once) == whole(data, query, run_id)[2:4]


def check_token_refused(data: Data, query: str, run_id: str, token: str, /, **fields: Any) -> None:
    """Check that a query does not take a token."""
    check_refused(
        lambda: ask(data, query, run_id, page_token=token, **fields),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        field="page_token",
    )


@IN_MEMORY
@every_query
def test_a_token_belongs_to_its_query(stub: Stub, data: Data, query: str) -> None:
    """Another query of the same method, and every other method, refuses it."""
    run_id = fill(stub, data, query)
    token = ask(data, query, run_id, page_size=1).next_page_token

    for other in QUERIES:
        if other != query:
            check_token_refused(data, other, run_id, token)


@pytest.mark.parametrize(
    ("query", "change"),
    [
        ("values by prefix", {"prefix": "p"}),
        ("values by prefix", {"prefix": ""}),
        ("values", {"prefix": "a"}),
        ("values", {"names_only": True}),
        ("history", {"key": "q"}),
        ("history", {"key": "never"}),
        ("states", {"prefix": "a"}),
        ("states", {"names_only": True}),
        ("documents", {"prefix": "a"}),
        ("documents", {"names_only": True}),
        ("events", {"stream": "a"}),
        ("events", {"backwards": True}),
        ("events", {"from_sequence": 0}),
        ("events from a place", {"from_sequence": 3}),
        ("events from a place", {"from_sequence": None}),
        ("events of a stream", {"stream": "t"}),
        ("events of a stream", {"stream": None}),
    ],
)
def test_a_token_is_bound_to_each_part_of_its_query(
    stub: Stub, data: Data, query: str, change: dict[str, Any]
) -> None:
    """No field of a query may change from page to page."""
    run_id = fill(stub, data, query)
    token = ask(data, query, run_id, page_size=1).next_page_token

    check_token_refused(data, query, run_id, token, **change)


@every_query
def test_a_token_is_bound_to_its_run(stub: Stub, data: Data, query: str) -> None:
    """Another run refuses it, though it holds the same; another spelling of the id is the same run."""
    run_id, other = fill(stub, data, query), fill(stub, data, query)
    answer = ask(data, query, run_id, page_size=1)

    check_token_refused(data, query, other, answer.next_page_token)
    check_token_refused(data, query, DEFAULT, answer.next_page_token)
    again = ask(data, query, f"{{{run_id.upper()}}}", page_size=1, page_token=answer.next_page_token)
    assert items_of(again) == whole(data, query, run_id)[1:2]


@every_query
@pytest.mark.parametrize("erased", [False, True])
def test_a_token_belongs_to_one_life_of_the_run(
    server: RunningServer, stub: Stub, data: Data, query: str, *, erased: bool
) -> None:
    """A run that is created again under the id, and holds the same again, refuses it."""
    run_id = fill(stub, data, query)
    token = ask(data, query, run_id, page_size=1).next_page_token

    delete(stub, run_id)
    check_refused(
        lambda: ask(data, query, run_id, page_token=token), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=run_id
    )
    if erased:
        server.run_jobs()
    create(stub, run_id=run_id)
    check_token_refused(data, query, run_id, token)
    for n in range(COUNT):
        QUERIES[query].add(data, run_id, n)
    check_token_refused(data, query, run_id, token)


@IN_MEMORY
@every_query
def test_a_damaged_token_is_refused(stub: Stub, data: Data, query: str) -> None:
    """Each change of one character is found, and so is a token that is cut, longer, or made up."""
    run_id = fill(stub, data, query)
    token = ask(data, query, run_id, page_size=1).next_page_token

    for place, char in enumerate(token):
        other = "A" if char != "A" else "B"
        check_token_refused(data, query, run_id, token[:place] + other + token[place + 1 :])
    for other in (token[:-1], token[:-4], token[4:], token + "A", token * 2, "x", "=", "1", "ü", " " + token):
        check_token_refused(data, query, run_id, other)


def test_tokens_of_runs_and_of_their_data_are_apart(stub: Stub, data: Data) -> None:
    """Neither service takes one of the other."""
    run_id = fill(stub, data, "values")
    of_data = ask(data, "values", run_id, page_size=1).next_page_token
    create(stub)
    of_runs = stub.ListRuns(index_pb.ListRunsRequest(page_size=1)).next_page_token

    check_token_refused(data, "values", run_id, of_runs)
    check_refused(
        lambda: stub.ListRuns(index_pb.ListRunsRequest(page_token=of_data)),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
    )


@every_query
def test_a_token_of_another_store_is_refused(start: StartServer, query: str) -> None:
    """Although that holds the same run with the same data."""
    stubs = []
    for _ in range(2):
        server = start()
        data = server.data_stub()
        create(server.stub(), run_id=UNKNOWN_ID)
        for n in range(COUNT):
            QUERIES[query].add(data, UNKNOWN_ID, n)
        stubs.append(data)
    token = ask(stubs[0], query, UNKNOWN_ID, page_size=1).next_page_token

    check_token_refused(stubs[1], query, UNKNOWN_ID, token)
    assert ask(stubs[0], query, UNKNOWN_ID, page_token=token).next_page_token == ""


@ON_DISK
@every_query
def test_a_token_outlives_a_restart(server: RunningServer, stub: Stub, data: Data, query: str) -> None:
    """It belongs to the store, not to the server."""
    run_id = fill(stub, data, query)
    expected = whole(data, query, run_id)
    first = ask(data, query, run_id, page_size=2)

    server.restart()

    rest = pages(server.data_stub(), query, run_id, token=first.next_page_token)
    assert items_of(first) + joined(rest) == expected
