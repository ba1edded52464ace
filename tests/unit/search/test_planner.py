"""Plans: what postings decide by themselves, and what they leave to be checked."""

import pytest

from runindex_server import limits
from runindex_server.schema import terms
from runindex_server.schema.run import RunState
from runindex_server.search import planner
from runindex_server.search.decoded import DecodedPostings
from runindex_server.search.effort import Effort
from runindex_server.search.index import TermIndex
from runindex_server.search.overlay import Overlay
from runindex_server.search.planner import plan_of
from runindex_server.search.query import parse_query
from runindex_server.search.sources import Postings, Source
from tests.support.search_world import NOW_US, Snapshot, World, find, make_run

LONG = "w" * 70
FIRST = make_run(
    1,
    tags=("prod", "t" * 100),
    parent=make_run(9).run_id,
    metadata={"a": "alpha beta gamma", "b": LONG, "n": 5},
)
SECOND = make_run(
    2,
    state=RunState.FAILED,
    outcome=RunState.FAILED,
    error="gamma beta",
    end_us=make_run(2).create_us + 10_000_000,
    tags=("t" * 99 + "x",),
    metadata={"a": "beta", "b": LONG + "x"},
)
PARTIAL = make_run(3, metadata={"a": " ".join(f"alpha{place}" for place in range(limits.TERMS_MAX))})


def plan(query: str, txn: Snapshot) -> Source:
    """Return where the runs of a query come from."""
    work = Effort()
    postings = Postings(txn, Overlay().view(txn, work), DecodedPostings(), work, now_us=NOW_US)
    return plan_of(parse_query(query), include_archived=True)(postings)


def bounds(query: str, *, merged: bool) -> tuple[list[int], list[int]]:
    """Return the runs that surely match, and those that may."""
    world = World(FIRST, SECOND, PARTIAL)
    if merged:
        world.merge()
    sure, maybe = plan(query, world.snapshot()).bounds(0)
    return list(sure), list(maybe)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("query", "sure", "maybe"),
    [
        ("alpha", [1], [1, 3]),
        ("beta", [1, 2], [1, 2, 3]),
        ("nothing", [], [3]),
        ("-alpha", [2], [2, 3]),
        ("meta.a:gamma", [1], [1, 3]),
        ("meta.b:gamma", [], [3]),
        ("gam*", [1, 2], [1, 2, 3]),
        ("meta.a:gam*", [1], [1, 3]),
        ('"alpha beta"', [], [1, 3]),
        ('"beta gamma"', [], [1, 2, 3]),
        ('"beta gam*"', [], [3]),
        ("beta-gam*", [], [1, 2, 3]),
        ('-"alpha beta"', [2], [1, 2, 3]),
        (LONG, [], [1, 3]),
        (f"{LONG}x", [], [2, 3]),
        (f"{'w' * 46}*", [1, 2], [1, 2, 3]),
        (f"{'w' * 47}*", [], [1, 2, 3]),
        ("state:failed", [2], [2]),
        ("outcome:failed", [2], [2]),
        ("tag:prod", [1], [1]),
        (f"tag:{'t' * 100}", [], [1]),
        (f"parent:{'0' * 31}9", [1], [1]),
        (f"id:{'0' * 31}2", [2], [2]),
        (f"id:{'0' * 31}4", [], []),
        ("id:0000000000000000000000000000000*", [1, 2, 3], [1, 2, 3]),
        ("created<1w", [1, 2, 3], [1, 2, 3]),
        ("created<=2026-03-01T12:00:30.123458Z", [1, 2], [1, 2]),
        ("created>2026-03-01T12:00:30.123458Z", [3], [3]),
        ("created>2026-03-01T12:00:30.123459Z", [], []),
        ("created>0001-01-01", [1, 2, 3], [1, 2, 3]),
        ("created<1969-12-31", [], []),
        ("created<999999999w", [1, 2, 3], [1, 2, 3]),
        ("created>999999999w", [], []),
        ("created<9999-12-31", [1, 2, 3], [1, 2, 3]),
        ("updated<=2026-03-01T12:00:30.123458Z", [], [1, 2]),
        ("updated>2026-03-01T12:00:30.123458Z", [], [1, 2, 3]),
        ("duration>5s", [], [2]),
        ("prod beta", [1], [1, 3]),
        ("tag:prod beta", [1], [1]),
        ("prod OR gamma", [1, 2], [1, 2, 3]),
    ],
)
def test_bounds(query: str, sure: list[int], maybe: list[int], merged: bool) -> None:  # noqa: FBT001
    assert bounds(query, merged=merged) == (sure, maybe)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("query", "sure", "maybe"),
    [
        ("created<=2026-03-01T12:00:30.123458Z", [1, 2], [1, 2, 4]),
        ("created>2026-03-01T12:00:30.123458Z", [3, 5], [3, 4, 5]),
        ("-created>2026-03-01T12:00:30.123458Z", [1, 2], [1, 2, 4]),
        ("created>9999-12-31", [], [4]),
        ("updated<=2026-03-01T12:00:30.123458Z", [], [1, 2, 4]),
    ],
)
def test_imported_runs_are_checked_for_their_create_time(
    query: str,
    sure: list[int],
    maybe: list[int],
    merged: bool,  # noqa: FBT001
) -> None:
    world = World(*(make_run(number) for number in (1, 2, 3)))
    world.write(make_run(4, create_us=NOW_US + 1, update_us=NOW_US + 1, is_imported=True))
    world.write(make_run(5))
    if merged:
        world.merge()
    found_sure, found_maybe = plan(query, world.snapshot()).bounds(0)

    assert (list(found_sure), list(found_maybe)) == (sure, maybe)


def test_a_store_without_imported_runs_looks_for_them_once() -> None:
    world = World(*(make_run(number) for number in (1, 2, 3)))
    world.merge()
    txn, decoded = world.snapshot(), DecodedPostings()
    counts = []
    for _ in range(2):
        work = Effort()
        postings = Postings(txn, Overlay().view(txn, work), decoded, work, now_us=NOW_US)
        plan_of(parse_query("created>2026-03-01"), include_archived=True)(postings)
        counts.append(postings.read_count)

    assert counts[1] == 0 < counts[0]


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_prefix_of_very_many_terms_is_left_to_be_checked(over: int) -> None:
    count = limits.PREFIX_TERMS_MAX + over
    world = World(make_run(1, metadata={"k": " ".join(f"x{place}" for place in range(count))}), make_run(2))
    for _ in range(2):
        txn = world.snapshot()
        sure, maybe = plan("x*", txn).bounds(0)

        assert (list(sure), list(maybe)) == (([1], [1]) if over <= 0 else ([], [1, 2]))
        assert find(TermIndex(), txn, parse_query("x*")) == [1]
        world.merge()


def test_a_prefix_sees_terms_of_which_only_some_are_merged() -> None:
    world = World(make_run(1, tags=("x1",)))
    world.merge()
    world.write(make_run(2, tags=("x2",)))
    world.change(1, tags=("x3",))

    assert find(TermIndex(), world.snapshot(), parse_query("x*")) == [2, 1]
    assert find(TermIndex(), world.snapshot(), parse_query("x1*")) == []


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_prefix_of_very_many_ids_is_left_to_be_checked(over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "ID_PREFIX_RUNS_MAX", 5)
    world = World(*(make_run(number) for number in range(1, 6 + over)))

    sure, _ = plan("id:0*", world.snapshot()).bounds(0)
    assert bool(sure) is (over <= 0)


def test_a_partial_run_is_found_by_its_record() -> None:
    world = World(FIRST, SECOND, PARTIAL)
    txn = world.snapshot()

    assert terms.PARTIAL in terms.terms_of(PARTIAL)
    assert find(TermIndex(), txn, parse_query("alpha4000")) == [3]
    assert find(TermIndex(), txn, parse_query("alpha4000-alpha4001")) == [3]
    assert find(TermIndex(), txn, parse_query("meta.a:alpha400*")) == [3]
    assert find(TermIndex(), txn, parse_query("-alpha")) == [3, 2]
