"""Collections that page by themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer

Connect = Callable[..., Any]
Faulty = Callable[..., FaultyServer]


def page(*ids: str, token: str = "", **fields: Any) -> pb.SearchRunsResponse:
    return pb.SearchRunsResponse(
        runs=[pb.Run(run_id=run_id) for run_id in ids], next_page_token=token, **fields
    )


def sizes(server: FaultyServer) -> list[tuple[int, str]]:
    return [(request.page_size, request.page_token) for request in server.requests(pb.SearchRunsRequest)]


def test_nothing_is_called_before_the_first_item(connect: Connect, faulty: Faulty) -> None:
    server = faulty(page("a", token="t"), page("b"))

    runs = iter(connect(server.target).search("q").ids())
    assert server.calls == []
    assert next(runs) == "a"
    assert len(server.calls) == 1
    assert list(runs) == ["b"]
    assert sizes(server) == [(100, ""), (100, "t")]


def test_it_has_no_length(client: Any) -> None:
    runs = client.runs()

    assert not hasattr(getattr(runs, "inner", runs), "__len__")


def test_it_begins_again_each_time(client: Any) -> None:
    runs = client.runs().ids()

    assert list(runs) == list(runs) == ["default"]


def test_a_limit_over_pages(client: Any) -> None:
    made = [client.create().run_id for _ in range(7)][::-1]

    assert list(client.runs(limit=5, page_size=2).ids()) == made[:5]
    assert [len(page.items) for page in client.runs(limit=5, page_size=2).pages()] == [2, 2, 1]
    assert list(client.runs(limit=0)) == []
    assert client.runs(limit=0).first() is None
    assert client.runs(page_size=3).first().run_id == made[0]
    assert list(client.runs(page_size=3).ids()) == [*made, "default"]


def test_no_more_is_read_than_the_limit(connect: Connect, faulty: Faulty) -> None:
    server = faulty(page("a", "b", token="t"), page("c", token="u"))

    assert list(connect(server.target).search("q", limit=3).ids()) == ["a", "b", "c"]
    assert sizes(server) == [(3, ""), (1, "t")]


def test_a_search_that_was_cut_short_goes_on(connect: Connect, faulty: Faulty) -> None:
    pages = (page(token="t", truncated=True), page("a", token="u"))

    assert connect(faulty(*pages).target).search("q").first().run_id == "a"
    assert [page.truncated for page in connect(faulty(*pages, page()).target).search("q").pages()] == [
        True,
        False,
        False,
    ]


def test_nothing_found(client: Any) -> None:
    assert client.search("nothing").first() is None
    assert list(client.search("nothing")) == []


@pytest.mark.parametrize("bounds", [{"limit": -1}, {"page_size": 0}, {"page_size": -1}])
def test_bounds_that_cannot_be(client: Any, bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        client.runs(**bounds)
