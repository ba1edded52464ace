"""Pages of templates: how large they are, and what comes and goes between them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1 import templates_pb2 as pb
from runindex_server.limits import (
    PAGE_BYTES_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
)
from tests.support.calls import CALLS_AT_ONCE, Stub, check_refused, struct
from tests.support.consistency import check_store
from tests.support.data_calls import revision_of
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import IN_MEMORY
from tests.support.template_methods import (
    Templates,
    create_from,
    delete,
    list_all,
    put,
)

NAMES: Final = (" ", "A", "a", "a ", "a/b", "a0", "aa", "b", "é", "🚀", "🚀a", "\U0010ffff")
"""Names in the order of their bytes."""


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    loop.run(check_store(server.store))


def pages(templates: Templates, *, token: str = "", **query: Any) -> Iterator[pb.ListTemplatesResponse]:
    """Yield the pages of a list, from the first or from a token on."""
    for _ in range(1_000):
        answer = templates.ListTemplates(pb.ListTemplatesRequest(page_token=token, **query))
        yield answer
        token = answer.next_page_token
        if not token:
            return
    msg = "pages without end"
    raise AssertionError(msg)


def put_many(templates: Templates, count: int, **content: Any) -> list[str]:
    """Write so many templates, many at a time, and return their names in order."""
    made = [f"{number:05}" for number in range(count)]
    for start in range(0, count, CALLS_AT_ONCE):
        calls = [
            templates.PutTemplate.future(pb.PutTemplateRequest(name=name, **content))
            for name in made[start : start + CALLS_AT_ONCE]
        ]
        for each in calls:
            each.result()
    return made


@IN_MEMORY
def test_page_size(templates: Templates) -> None:
    """0 is 100, above 1,000 is 1,000; a token tells that there is more, and is empty exactly at the end."""
    put_many(templates, PAGE_SIZE_MAX + 1)

    for size in (0, 1, 99, 100, 101, 999, 1_000, 1_001, 2**31 - 1):
        answer = templates.ListTemplates(pb.ListTemplatesRequest(page_size=size))
        assert len(answer.templates) == min(size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        assert answer.next_page_token
    last = pb.ListTemplatesRequest(page_size=1_001, page_token=answer.next_page_token)
    answer = templates.ListTemplates(last)
    assert (len(answer.templates), answer.next_page_token) == (1, "")
    delete(templates, "00000")
    assert len(list_all(templates)) == PAGE_SIZE_MAX


@pytest.mark.parametrize("size", [-1, -(2**31)])
def test_page_size_is_not_negative(templates: Templates, size: int) -> None:
    """A negative size is a mistake, and shown back."""
    check_refused(
        lambda: templates.ListTemplates(pb.ListTemplatesRequest(page_size=size)),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_SIZE",
        field="page_size",
        value=str(size),
    )


def test_an_empty_list(stub: Stub, templates: Templates) -> None:
    """Has no next page, and the store's revision."""
    assert templates.ListTemplates(pb.ListTemplatesRequest()) == pb.ListTemplatesResponse(
        revision=revision_of(stub)
    )


@pytest.mark.parametrize("prefix", ["", "a"])
def test_pages_join_to_the_whole(stub: Stub, templates: Templates, prefix: str) -> None:
    """Whatever the size; every page but the last is full, and each tells the revision that it saw."""
    for name in NAMES:
        put(templates, name, tags=[name])
    whole = list_all(templates, prefix)
    assert len(whole) >= 5

    for size in range(1, len(whole) + 2):
        answers = []
        for answer in pages(templates, prefix=prefix, page_size=size):
            assert answer.revision == revision_of(stub)
            answers.append(list(answer.templates))
            put(templates, "A", tags=[f"{size} {len(answers)}"])  # Another revision for the next page.
        expected = [template.name for template in whole]
        assert [template.name for page in answers for template in page] == expected
        assert [len(page) for page in answers[:-1]] == [size] * (len(answers) - 1)
        assert len(answers) == -(-len(whole) // size)


@pytest.mark.parametrize("gone", ["c", "d", "e"])
def test_pages_survive_what_comes_and_goes(templates: Templates, gone: str) -> None:
    """Nothing is lost or repeated, whether the last template of the page or one beside it was deleted."""
    for name in "bdefh":
        put(templates, name)
    put(templates, "c")
    first = templates.ListTemplates(pb.ListTemplatesRequest(page_size=3))
    assert [template.name for template in first.templates] == ["b", "c", "d"]

    delete(templates, gone)
    for name in ("a", "dd", "g"):
        put(templates, name)

    rest = pages(templates, token=first.next_page_token, page_size=2)
    found = [template.name for answer in rest for template in answer.templates]
    assert found == [name for name in ("dd", "e", "f", "g", "h") if name != gone]


def test_a_token_belongs_to_its_prefix(templates: Templates) -> None:
    """It is of no other list, no other collection and no damage; the size of the page may change."""
    for name in ("a", "aa", "ab", "ac"):
        put(templates, name)
    token = templates.ListTemplates(pb.ListTemplatesRequest(prefix="a", page_size=1)).next_page_token

    for other in (
        pb.ListTemplatesRequest(page_token=token),
        pb.ListTemplatesRequest(prefix="aa", page_token=token),
        pb.ListTemplatesRequest(prefix="a", page_token=token[:-1]),
        pb.ListTemplatesRequest(prefix="a", page_token="x" + token[1:]),
    ):
        check_refused(
            lambda other=other: templates.ListTemplates(other),
            Code.INVALID_ARGUMENT,
            "INVALID_PAGE_TOKEN",
            field="page_token",
        )
    page = templates.ListTemplates(pb.ListTemplatesRequest(prefix="a", page_size=2, page_token=token))
    assert [template.name for template in page.templates] == ["aa", "ab"]


def test_a_token_of_runs_is_of_no_list_of_templates(stub: Stub, templates: Templates) -> None:
    """Nor the other way round."""
    put(templates, "a")
    put(templates, "b")
    created = [create_from(templates, "a").run_id for _ in range(2)]
    assert len(created) == 2
    of_runs = stub.ListRuns(index_pb.ListRunsRequest(page_size=1)).next_page_token
    of_templates = templates.ListTemplates(pb.ListTemplatesRequest(page_size=1)).next_page_token

    for call in (
        lambda: templates.ListTemplates(pb.ListTemplatesRequest(page_token=of_runs)),
        lambda: stub.ListRuns(index_pb.ListRunsRequest(page_token=of_templates)),
    ):
        check_refused(call, Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", field="page_token")


@IN_MEMORY
def test_a_page_ends_by_its_bytes(templates: Templates) -> None:
    """Before the template that would pass 2 MiB, and nothing is lost."""
    made = put_many(templates, 70, metadata=struct({"k": "x" * 60_000}))

    answers = list(pages(templates, page_size=PAGE_SIZE_MAX))

    assert [template.name for answer in answers for template in answer.templates] == made
    assert len(answers) == 3
    for answer, following in pairwise(answers):
        held = sum(template.ByteSize() for template in answer.templates)
        assert held <= PAGE_BYTES_MAX < held + following.templates[0].ByteSize()
