"""ListTags: every tag with the exact number of runs, by name and by count."""

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import TAG_BYTES_MAX
from tests.support.calls import (
    DEFAULT,
    Stub,
    add_tags,
    archive,
    check_refused,
    close,
    create,
    delete,
    fail,
    remove_tags,
)
from tests.support.consistency import check_store
from tests.support.insight_methods import Insights
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import IN_MEMORY
from tests.support.together import outcome_of

NAME: Final = pb.TAG_ORDER_NAME
COUNT: Final = pb.TAG_ORDER_COUNT
NAMES: Final = ("a", "a ", "aa", "aab", "b", "e\u0301", "é", "名", "\uffff", "🚀")
"""In the order of their bytes, which is not that of UTF-16."""

every_order: Final = pytest.mark.parametrize("order", [NAME, COUNT], ids=pb.TagOrder.Name)
both_counts: Final = pytest.mark.parametrize("include_archived", [False, True])


def ask(insights: Insights, **fields: Any) -> pb.ListTagsResponse:
    """Return one page."""
    return insights.ListTags(pb.ListTagsRequest(**fields))


def pages(insights: Insights, **fields: Any) -> Iterator[list[tuple[str, int]]]:
    """Yield the pages of a query, from the first or from a token on."""
    for _ in range(1_000):
        answer = ask(insights, **fields)
        yield [(tag.tag, tag.count) for tag in answer.tags]
        fields["page_token"] = answer.next_page_token
        if not answer.next_page_token:
            return
    msg = "pages without end"
    raise AssertionError(msg)


def listed(insights: Insights, **fields: Any) -> list[tuple[str, int]]:
    """Return all tags of a query with their counts."""
    return [tag for page in pages(insights, **fields) for tag in page]


def expected(
    stub: Stub, *, prefix: str = "", include_archived: bool = False, order: int = NAME
) -> list[tuple[str, int]]:
    """Return the same from the runs themselves."""
    answer = stub.ListRuns(index_pb.ListRunsRequest(include_archived=include_archived, page_size=1_000))
    assert answer.next_page_token == ""
    counts = Counter(tag for run in answer.runs for tag in run.tags if tag.startswith(prefix))
    by_name = sorted(counts.items(), key=lambda tag: tag[0].encode())
    return by_name if order != COUNT else sorted(by_name, key=lambda tag: -tag[1])


def test_a_store_without_tags_has_none(stub: Stub, insights: Insights) -> None:
    create(stub)

    for order in (NAME, COUNT):
        answer = ask(insights, order=order)
        assert (list(answer.tags), answer.next_page_token) == ([], "")


def test_tags_are_counted_as_runs_carry_them(stub: Stub, insights: Insights) -> None:
    """Right after each write; those of the default run, of finished and of archived ones too."""
    first = create(stub, tags=["a", "b"]).run_id
    second = create(stub, tags=["b", "b"]).run_id
    add_tags(stub, DEFAULT, "b")
    assert listed(insights) == [("a", 1), ("b", 3)]

    add_tags(stub, second, "a", "b", "c")
    remove_tags(stub, first, "a", "x")
    close(stub, second)
    assert listed(insights) == [("a", 1), ("b", 3), ("c", 1)]

    archive(stub, second)
    assert listed(insights) == [("b", 2)]
    assert listed(insights, include_archived=True) == [("a", 1), ("b", 3), ("c", 1)]
    assert listed(insights, include_archived=True, order=COUNT) == [("b", 3), ("a", 1), ("c", 1)]

    delete(stub, second)
    remove_tags(stub, DEFAULT, "b")
    assert listed(insights, include_archived=True) == [("b", 1)]


@every_order
@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", NAMES),
        ("a", ("a", "a ", "aa", "aab")),
        ("aa", ("aa", "aab")),
        ("aabc", ()),
        ("e", ("e\u0301",)),
        ("é", ("é",)),
        ("\uffff", ("\uffff",)),
        ("🚀", ("🚀",)),
        ("A", ()),
        ("x" * TAG_BYTES_MAX, ()),
    ],
)
def test_a_prefix_is_of_bytes(
    stub: Stub, insights: Insights, order: int, prefix: str, found: tuple[str, ...]
) -> None:
    """Tags of one count stand in the order of their bytes."""
    create(stub, tags=NAMES[::-1])

    assert listed(insights, prefix=prefix, order=order) == [(name, 1) for name in found]
    assert listed(insights, prefix=prefix, order=order, page_size=1) == [(name, 1) for name in found]


def test_the_unspecified_order_is_by_name(stub: Stub, insights: Insights) -> None:
    create(stub, tags=["b", "a"])
    create(stub, tags=["b"])

    assert ask(insights).tags == ask(insights, order=NAME).tags
    assert ask(insights).tags != ask(insights, order=COUNT).tags


@every_order
@both_counts
def test_pages_join_to_the_whole(
    stub: Stub, insights: Insights, order: int, *, include_archived: bool
) -> None:
    """Whatever the size; every page but the last is full, and the token is empty exactly at the end."""
    for place, name in enumerate(NAMES):
        for copy in range(place % 4):
            run_id = create(stub, tags=[name, "x"]).run_id
            if copy == 1:
                archive(stub, run_id)
    archive(stub, create(stub, tags=["0", "hidden", "🚀🚀"]).run_id)
    query: dict[str, Any] = {"order": order, "include_archived": include_archived}
    whole = expected(stub, **query)
    assert len(whole) >= 8

    for size in range(1, len(whole) + 2):
        found = list(pages(insights, page_size=size, **query))
        assert [tag for page in found for tag in page] == whole
        assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
        assert len(found) == -(-len(whole) // size)


@IN_MEMORY
@every_order
def test_page_sizes(stub: Stub, insights: Insights, order: int) -> None:
    """100 by default, 1,000 at most."""
    names = [f"{number:04}" for number in range(1_001)]
    for start in range(0, 1_001, 64):
        create(stub, tags=names[start : start + 64])

    for asked, got in ((0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)):
        answer = ask(insights, page_size=asked, order=order)
        assert [tag.tag for tag in answer.tags] == names[:got]
        assert answer.next_page_token
    token = ask(insights, page_size=1_000, order=order).next_page_token
    rest = ask(insights, page_token=token, order=order)
    assert ([tag.tag for tag in rest.tags], rest.next_page_token) == (["1000"], "")


@every_order
def test_tags_that_come_and_go_between_pages(stub: Stub, insights: Insights, order: int) -> None:
    """Those that stay as they are come exactly once; of the others those behind the place do."""
    counts = {"d": 4, "f": 4, "h": 3, "j": 2}
    runs = {name: [create(stub, tags=[name]).run_id for _ in range(count)] for name, count in counts.items()}
    first = ask(insights, order=order, page_size=2)
    assert [(tag.tag, tag.count) for tag in first.tags] == [("d", 4), ("f", 4)]

    for run_id in runs["f"]:
        delete(stub, run_id)
    create(stub, tags=["a", "e", "g"])
    remove_tags(stub, runs["h"][0], "h")

    rest = listed(insights, order=order, page_token=first.next_page_token)
    new = [("g", 1)] if order == NAME else [("a", 1), ("e", 1), ("g", 1)]
    kept = [("h", 2), ("j", 2)]
    assert rest == (new + kept if order == NAME else kept + new)


def test_a_tag_that_passes_the_place_between_pages_by_count(stub: Stub, insights: Insights) -> None:
    """It is on two pages when it has become less frequent, and on none when it has become more."""
    runs = {
        name: [create(stub, tags=[name]).run_id for _ in range(count)]
        for name, count in {"a": 5, "b": 4, "c": 3, "d": 2}.items()
    }
    first = ask(insights, order=COUNT, page_size=2)
    assert [tag.tag for tag in first.tags] == ["a", "b"]

    for run_id in runs["a"][1:]:
        remove_tags(stub, run_id, "a")
    for _ in range(3):
        create(stub, tags=["d"])

    assert listed(insights, order=COUNT, page_token=first.next_page_token) == [("c", 3), ("a", 1)]


def test_every_page_has_its_own_revision(stub: Stub, insights: Insights) -> None:
    """A page is from one snapshot, the newest, and says which."""
    create(stub, tags=NAMES)
    token = ""
    for _ in range(3):
        answer = ask(insights, page_size=2, page_token=token)
        assert answer.revision == create(stub).revision - 1
        token = answer.next_page_token


@IN_MEMORY
@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"prefix": "x" * (TAG_BYTES_MAX + 1)}, "INVALID_FIELD", "prefix"),
        ({"prefix": "é" * (TAG_BYTES_MAX // 2) + "x"}, "INVALID_FIELD", "prefix"),
        ({"prefix": "a\x00"}, "INVALID_FIELD", "prefix"),
        ({"prefix": "\x85"}, "INVALID_FIELD", "prefix"),
        ({"order": 3}, "INVALID_FIELD", "order"),
        ({"order": -1}, "INVALID_FIELD", "order"),
        ({"page_size": -1}, "INVALID_PAGE_SIZE", "page_size"),
        ({"page_token": "x"}, "INVALID_PAGE_TOKEN", "page_token"),
        ({"prefix": "\x7f", "order": 3, "page_size": -1, "page_token": "x"}, "INVALID_FIELD", "prefix"),
        ({"order": 3, "page_size": -1, "page_token": "x"}, "INVALID_FIELD", "order"),
        ({"page_size": -1, "page_token": "x"}, "INVALID_PAGE_SIZE", "page_size"),
    ],
)
def test_refusals(insights: Insights, fields: dict[str, Any], reason: str, field: str) -> None:
    check_refused(lambda: ask(insights, **fields), Code.INVALID_ARGUMENT, reason, field=field)


@pytest.mark.parametrize(
    "change", [{"prefix": "a"}, {"include_archived": True}, {"order": COUNT}, {"order": NAME}]
)
def test_a_token_belongs_to_its_query(stub: Stub, insights: Insights, change: dict[str, Any]) -> None:
    create(stub, tags=NAMES)
    token = ask(insights, page_size=1).next_page_token

    assert len(ask(insights, page_token=token, page_size=2).tags) == 2
    check_refused(
        lambda: ask(insights, page_token=token, **change),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        field="page_token",
    )
    check_refused(
        lambda: stub.ListRuns(index_pb.ListRunsRequest(page_token=token)),
        Code.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
    )


@pytest.mark.parametrize("seed", range(3))
def test_tags_are_those_of_the_runs(
    loop: LoopThread, server: RunningServer, stub: Stub, insights: Insights, seed: int
) -> None:
    """After any calls."""
    random = Random(seed)  # Not for secrets.
    run_ids: list[str] = [DEFAULT]
    changes = (close, fail, archive, delete, add, add, remove)

    def step() -> None:
        if random.random() < 0.4:
            run_ids.append(create(stub, tags=random.sample(NAMES, random.randrange(4))).run_id)
            return
        change, run_id = random.choice(changes), random.choice(run_ids)
        tags = random.sample(NAMES, 2)
        change(stub, run_id, *tags) if change in (add, remove) else change(stub, run_id)

    for _ in range(10):
        for _ in range(12):
            assert outcome_of(step) in ("done", "FAILED_PRECONDITION", "NOT_FOUND")
        query: dict[str, Any] = {
            "prefix": random.choice(("", "", "a", "e", "z")),
            "include_archived": random.random() < 0.5,
            "order": random.choice((NAME, COUNT)),
        }
        assert listed(insights, page_size=random.randrange(1, 6), **query) == expected(stub, **query)
    loop.run(check_store(server.store))


def add(stub: Stub, run_id: str, *tags: str) -> object:
    """Add tags."""
    return add_tags(stub, run_id, *tags)


def remove(stub: Stub, run_id: str, *tags: str) -> object:
    """Remove tags."""
    return remove_tags(stub, run_id, *tags)
