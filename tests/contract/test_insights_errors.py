"""ListErrors: failed runs by what their errors have in common, the most frequent first, then the newest."""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Final, NamedTuple

import pytest
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import ERROR_BYTES_MAX, PAGE_BYTES_MAX
from tests.support import methods
from tests.support.calls import (
    DEFAULT,
    Stub,
    add_tags,
    archive,
    cancel,
    check_refused,
    close,
    create,
    delete,
    fail,
    get,
    pause,
    set_retention,
)
from tests.support.consistency import check_store
from tests.support.insight_methods import Insights
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import IN_MEMORY
from tests.support.together import outcome_of

ERRORS: Final[Mapping[str, Callable[[int], str]]] = {
    "out of memory": lambda n: "out of memory" + "\nmore" * n,
    "HTTP <n>: overloaded": lambda n: f"HTTP {500 + n}: overloaded",
    "KeyError: <text>": lambda n: (
        f"Traceback (most recent call last):\n  File 'x', line {n}\nKeyError: 'k{n}'"
    ),
    "no run <id>": lambda n: f"no run 0192f3a4-5b6c-7d8e-9f00-{n:012}",
    "größer als <hex>": lambda n: f"größer  als {n:#x}",
}
"""What errors have in common, and what makes one of them: another text for each number."""

both_counts: Final = pytest.mark.parametrize("include_archived", [False, True])


class Group(NamedTuple):
    """A group as the tests compare it: what is common, how many, and the id of the newest."""

    error: str
    runs: int
    example: str


def ask(insights: Insights, **fields: Any) -> pb.ListErrorsResponse:
    """Return one page."""
    return insights.ListErrors(pb.ListErrorsRequest(**fields))


def groups_of(answer: pb.ListErrorsResponse) -> list[Group]:
    """Return the groups of a page."""
    return [Group(group.error, group.count, group.example.run_id) for group in answer.errors]


def pages(insights: Insights, **fields: Any) -> Iterator[list[Group]]:
    """Yield the pages of a query, from the first or from a token on."""
    for _ in range(1_000):
        answer = ask(insights, **fields)
        yield groups_of(answer)
        fields["page_token"] = answer.next_page_token
        if not answer.next_page_token:
            return
    msg = "pages without end"
    raise AssertionError(msg)


def listed(insights: Insights, **fields: Any) -> list[Group]:
    """Return all groups."""
    return [group for page in pages(insights, **fields) for group in page]


def failed(stub: Stub, error: str) -> str:
    """Create a run, fail it with an error, and return its id."""
    run_id = create(stub).run_id
    fail(stub, run_id, error)
    return run_id


class World:
    """Failed runs, and what their errors have in common, which only those who made them know."""

    def __init__(self, stub: Stub) -> None:
        """Begin with none."""
        self._stub = stub
        self._errors: dict[str, str] = {}

    def fail(self, run_id: str, common: str, n: int) -> None:
        """Fail a run with the n-th error of a group."""
        fail(self._stub, run_id, ERRORS[common](n))
        self._errors[run_id] = common

    def add(self, common: str, n: int = 0) -> str:
        """Create a run that fails with the n-th error of a group, and return its id."""
        run_id = create(self._stub).run_id
        self.fail(run_id, common, n)
        return run_id

    def expected(self, *, include_archived: bool = False) -> list[Group]:
        """Return the groups from the runs themselves."""
        request = index_pb.ListRunsRequest(include_archived=include_archived, page_size=1_000)
        answer = self._stub.ListRuns(request)
        assert answer.next_page_token == ""
        newest: dict[str, tuple[int, str]] = {}
        counts: dict[str, int] = {}
        for age, run in enumerate(answer.runs):
            assert run.HasField("error") == (run.outcome == index_pb.RUN_STATE_FAILED)
            if run.HasField("error"):
                common = self._errors[run.run_id]
                newest.setdefault(common, (age, run.run_id))
                counts[common] = counts.get(common, 0) + 1
        ranked = sorted(counts, key=lambda common: (-counts[common], newest[common]))
        return [Group(common, counts[common], newest[common][1]) for common in ranked]


@pytest.fixture
def world(stub: Stub) -> World:
    """Return an empty world."""
    return World(stub)


def test_a_store_without_failed_runs_has_none(stub: Stub, insights: Insights) -> None:
    """However else runs end."""
    create(stub)
    close(stub, create(stub).run_id)
    cancel(stub, create(stub).run_id)
    archive(stub, create(stub).run_id)

    answer = ask(insights, include_archived=True)
    assert (list(answer.errors), answer.next_page_token) == ([], "")


def test_errors_are_grouped_by_what_they_have_in_common(stub: Stub, insights: Insights) -> None:
    """The most frequent first, then the one that occurred last; the example is the newest run of all."""
    first = failed(stub, "HTTP 503: overloaded")
    rare = failed(stub, "KeyError: 'a'")
    newest = create(stub).run_id
    older = failed(stub, "HTTP 529:  overloaded\nand so on")
    fail(stub, newest, "KeyError: 'b'")
    assert listed(insights) == [
        Group("HTTP <n>: overloaded", 2, older),
        Group("KeyError: <text>", 2, newest),
    ]

    archive(stub, older)
    assert listed(insights) == [
        Group("KeyError: <text>", 2, newest),
        Group("HTTP <n>: overloaded", 1, first),
    ]
    assert listed(insights, include_archived=True) == [
        Group("HTTP <n>: overloaded", 2, older),
        Group("KeyError: <text>", 2, newest),
    ]

    archive(stub, first)
    delete(stub, newest)
    assert listed(insights) == [Group("KeyError: <text>", 1, rare)]
    assert listed(insights, include_archived=True) == [
        Group("HTTP <n>: overloaded", 2, older),
        Group("KeyError: <text>", 1, rare),
    ]

    for run_id in (first, rare, older):
        delete(stub, run_id)
    assert listed(insights, include_archived=True) == []


def test_the_example_is_the_newest_archived_or_not(stub: Stub, insights: Insights) -> None:
    """Of the order of creation, not of failing, and not of archiving."""
    runs = [failed(stub, f"broken {n}") for n in range(4)]
    archive(stub, runs[3])
    archive(stub, runs[0])

    assert listed(insights) == [Group("broken <n>", 2, runs[2])]
    assert listed(insights, include_archived=True) == [Group("broken <n>", 4, runs[3])]
    delete(stub, runs[3])
    assert listed(insights, include_archived=True) == [Group("broken <n>", 3, runs[2])]


@pytest.mark.parametrize("view", [0, 1, 2, 3])
def test_the_example_is_cut_to_the_view(stub: Stub, insights: Insights, view: int) -> None:
    run_id = create(stub, tags=["t"], metadata={"k": [1]}, parent=DEFAULT).run_id
    fail(stub, run_id, "broken 7\nwith more lines")
    set_retention(stub, run_id, methods.KEEP_3)

    (group,) = ask(insights, view=view).errors
    assert group == pb.ErrorGroup(
        error="broken <n>",
        count=1,
        example=stub.GetRun(index_pb.GetRunRequest(run_id=run_id, view=view)).run,  # type: ignore[arg-type]
    )
    assert (group.example.error == "broken 7\nwith more lines") == (view != index_pb.RUN_VIEW_ID_ONLY)


def test_long_and_strange_errors(stub: Stub, insights: Insights) -> None:
    """They are told in one line of at most 256 characters; the example has all of it."""
    texts = ("é" * (ERROR_BYTES_MAX // 2), "\x00\x01", " \u2028 \n z", "<n> <text>")
    for text in texts:
        failed(stub, text)

    answer = ask(insights)
    assert [group.error for group in answer.errors] == ["<n> <text>", "z", "\x00\x01", "é" * 256]
    assert [group.example.error for group in answer.errors] == list(reversed(texts))


def test_late_changes_leave_the_group(stub: Stub, insights: Insights) -> None:
    """Tags and a policy of a failed run; the example tells them."""
    run_id = failed(stub, "broken 1")
    failed_too = failed(stub, "other")
    add_tags(stub, run_id, "late")

    assert listed(insights) == [Group("other", 1, failed_too), Group("broken <n>", 1, run_id)]
    assert ask(insights).errors[1].example == get(stub, run_id)


@both_counts
def test_pages_join_to_the_whole(
    stub: Stub, insights: Insights, world: World, *, include_archived: bool
) -> None:
    """Whatever the size; every page but the last is full, and the token is empty exactly at the end."""
    for n in range(3):
        for place, common in enumerate(ERRORS):
            if n <= place % 3:
                run_id = world.add(common, n)
                if place == 3 or (place + n) % 3 == 0:
                    archive(stub, run_id)
    whole = world.expected(include_archived=include_archived)
    assert len(whole) == (5 if include_archived else 3)

    for size in range(1, len(whole) + 2):
        found = list(pages(insights, page_size=size, include_archived=include_archived))
        assert [group for page in found for group in page] == whole
        assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
        assert len(found) == -(-len(whole) // size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_errors_of_one_count_come_newest_first(stub: Stub, insights: Insights, size: int) -> None:
    """Each exactly once, wherever pages end."""
    runs = [failed(stub, "x" * length) for length in range(1, 11)]

    found = listed(insights, page_size=size)
    assert found == [Group("x" * length, 1, runs[length - 1]) for length in range(10, 0, -1)]


@IN_MEMORY
def test_page_sizes(stub: Stub, insights: Insights) -> None:
    """100 by default; a page holds no more than there are."""
    for length in range(1, 102):
        failed(stub, "x" * length)

    for asked, got in ((0, 100), (1, 1), (101, 101), (2**31 - 1, 101)):
        answer = ask(insights, page_size=asked, view=index_pb.RUN_VIEW_ID_ONLY)
        assert [len(group.error) for group in answer.errors] == list(range(101, 101 - got, -1))
        assert bool(answer.next_page_token) == (got < 101)


@IN_MEMORY
def test_a_page_ends_at_2_mib_of_groups(stub: Stub, insights: Insights) -> None:
    """Every default client can read each, and a view that is small is not cut."""
    for length in range(1, 41):
        fail(stub, create(stub, metadata={"k": "x" * 65_000}).run_id, "x" * length)

    first = ask(insights, page_size=1_000)
    rest = ask(insights, page_size=1_000, page_token=first.next_page_token)

    size = sum(group.ByteSize() for group in first.errors)
    assert size <= PAGE_BYTES_MAX < size + rest.errors[0].ByteSize()
    whole = groups_of(ask(insights, page_size=1_000, view=index_pb.RUN_VIEW_BASIC))
    assert len(whole) == 40
    assert (groups_of(first) + groups_of(rest), rest.next_page_token) == (whole, "")


def test_errors_that_come_and_go_between_pages(stub: Stub, insights: Insights) -> None:
    """Those that stay as they are come exactly once; of the others those behind the place do."""
    runs = {
        name: [failed(stub, name) for _ in range(count)] for name, count in (("a", 4), ("b", 3), ("c", 2))
    }
    last = failed(stub, "d")
    first = ask(insights, page_size=2)
    assert [group.error for group in first.errors] == ["a", "b"]

    delete(stub, runs["b"][2])
    delete(stub, runs["b"][1])
    for _ in range(4):
        failed(stub, "d")
    new = failed(stub, "e")

    assert listed(insights, page_token=first.next_page_token) == [
        Group("c", 2, runs["c"][1]),
        Group("e", 1, new),
        Group("b", 1, runs["b"][0]),
    ]
    assert last


def test_a_group_as_frequent_as_the_last_of_the_page_before(stub: Stub, insights: Insights) -> None:
    """It follows when it is older, and is passed over when it is newer: that place is behind the page."""
    old = failed(stub, "old")
    placed = failed(stub, "placed")
    newer = create(stub).run_id
    failed(stub, "top")
    first = ask(insights, page_size=2)
    assert [group.error for group in first.errors] == ["top", "placed"]

    fail(stub, newer, "newer")
    delete(stub, placed)

    assert listed(insights, page_token=first.next_page_token) == [Group("old", 1, old)]


def test_every_page_has_its_own_revision(stub: Stub, insights: Insights) -> None:
    for length in range(1, 8):
        failed(stub, "x" * length)
    token = ""
    for _ in range(3):
        answer = ask(insights, page_size=2, page_token=token)
        assert answer.revision == create(stub).revision - 1
        token = answer.next_page_token


@IN_MEMORY
@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"page_size": -1}, "INVALID_PAGE_SIZE", "page_size"),
        ({"view": 4}, "INVALID_FIELD", "view"),
        ({"page_token": "x"}, "INVALID_PAGE_TOKEN", "page_token"),
        ({"page_size": -1, "view": 4, "page_token": "x"}, "INVALID_PAGE_SIZE", "page_size"),
        ({"view": 4, "page_token": "x"}, "INVALID_FIELD", "view"),
    ],
)
def test_refusals(insights: Insights, fields: dict[str, Any], reason: str, field: str) -> None:
    """In the order of the contract."""
    check_refused(lambda: ask(insights, **fields), Code.INVALID_ARGUMENT, reason, field=field)


def test_a_token_belongs_to_its_query(stub: Stub, insights: Insights) -> None:
    for length in range(1, 4):
        failed(stub, "x" * length)
    token = ask(insights, page_size=1).next_page_token

    rest = ask(insights, page_token=token, page_size=9, view=index_pb.RUN_VIEW_ID_ONLY)
    assert [group.error for group in rest.errors] == ["xx", "x"]
    for call in (
        lambda: ask(insights, page_token=token, include_archived=True),
        lambda: insights.ListTags(pb.ListTagsRequest(page_token=token)),
        lambda: stub.ListRuns(index_pb.ListRunsRequest(page_token=token)),
    ):
        check_refused(call, Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", field="page_token")


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_the_runs(
    loop: LoopThread, server: RunningServer, stub: Stub, insights: Insights, world: World, seed: int
) -> None:
    """After any calls."""
    random = Random(seed)  # Not for secrets.
    run_ids = [create(stub).run_id for _ in range(3)]
    changes = (close, pause, archive, archive, delete, add_tag)

    def step() -> None:
        if random.random() < 0.3:
            run_ids.append(create(stub).run_id)
        elif random.random() < 0.6:
            world.fail(random.choice(run_ids), random.choice(tuple(ERRORS)), random.randrange(50))
        else:
            random.choice(changes)(stub, random.choice(run_ids))

    for _ in range(10):
        for _ in range(15):
            assert outcome_of(step) in ("done", "FAILED_PRECONDITION", "NOT_FOUND")
        archived = random.random() < 0.5
        found = listed(insights, include_archived=archived, page_size=random.randrange(1, 4))
        assert found == world.expected(include_archived=archived)
    loop.run(check_store(server.store))


def add_tag(stub: Stub, run_id: str) -> object:
    """Add a tag."""
    return add_tags(stub, run_id, "t")
