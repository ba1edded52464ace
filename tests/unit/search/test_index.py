"""The term index: what it reads, where it stops, and what it does about damage.

That its answers are right is proved in `tests/property/test_search.py`.
"""

from dataclasses import replace
from functools import cache
from itertools import islice

import pytest

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys, terms
from runindex_server.schema.run import DEFAULT_RUN_ID, RunState
from runindex_server.search import effort, index, planner
from runindex_server.search.effort import TooMuchWork
from runindex_server.search.expression import Created, Expression, Id, IdPrefix, Interval, Tag, Text, Times
from runindex_server.search.index import SearchIndex, SearchRequest, TermIndex
from runindex_server.search.naive import NaiveSearch
from runindex_server.search.postings import BLOCK_SIZE
from runindex_server.search.query import parse_query
from tests.support.search_world import NOW_US, Snapshot, World, drive, find, find_by_pages, make_run

MANY = 400


def world(count: int) -> World:
    """Return a world of merged runs, each with a word of its own, one of a hundred, and one that all have."""
    made = World(
        *(
            make_run(number, tags=("all", f"of{number % 100}"), metadata={"k": f"own{number} shared text"})
            for number in range(1, count + 1)
        )
    )
    made.merge()
    return made


@cache
def snapshot(count: int = MANY) -> Snapshot:
    """Return such a world as it is."""
    return world(count).snapshot()


def rows_read(txn: Snapshot, query: str, *, page_size: int = 10, budget: int = 1_000_000) -> int:
    """Return how many rows the first page of a search reads."""
    txn.rows_read = 0
    request = SearchRequest(expression=parse_query(query), now_us=NOW_US, budget=budget)
    for _ in islice(TermIndex().search(txn, request), page_size):
        pass
    return txn.rows_read


@pytest.mark.parametrize(
    "query",
    [
        "all",
        "tag:all",
        "state:active -tag:none",
        "own7",
        "of9*",
        "shared text",
        '"shared text"',
        "meta.k:shared",
        "created<1h",
        "id:0000000000000000000000000000000a",
        "id:00000000-0000-0000-0000-00000000000*",
        "none",
        "none OR nobody",
        "all -all",
        "updated<1h",
    ],
)
def test_a_page_reads_no_more_of_a_larger_store(query: str) -> None:
    assert rows_read(snapshot(4 * MANY), query) <= rows_read(snapshot(), query) + 2


@cache
def wide_snapshot(block_count: int) -> Snapshot:
    """Return a world of so many blocks, half merged: all runs have a word and a tag, three a rare word."""
    made = World()
    for block in range(block_count):
        for offset in range(4):
            words = "common rare" if block < 3 and offset == 0 else "common"
            ordinal = block * BLOCK_SIZE + offset
            made.write(make_run(ordinal, tags=("all",), metadata={"k": words}))
        if block == block_count // 2:
            made.merge()
    made.merge()
    return made.snapshot()


@pytest.mark.parametrize(
    "query",
    [
        "common",
        "tag:all",
        "common tag:all state:active",
        "common -tag:none",
        "rare",
        "common rare",
        "rare tag:all",
        "state:active rare",
        "none common",
        "state:failed tag:all",
        "rare -common",
        "rare OR none",
        "meta.k:rare all",
    ],
)
def test_a_page_reads_no_more_of_more_blocks(query: str) -> None:
    """However many runs have a common term: what is rare leads from block to block."""
    assert rows_read(wide_snapshot(40), query) <= rows_read(wide_snapshot(10), query) + 2


@pytest.mark.parametrize("query", ["common", "rare", "common rare", "tag:all -rare", "rare OR tag:all"])
@pytest.mark.parametrize("page_size", [1, 3, 4, 5, 100])
@pytest.mark.parametrize("listed_max", [0, 4_096])
def test_pages_go_on_over_the_borders_of_blocks(
    query: str, page_size: int, listed_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "OFFSETS_LISTED_MAX", listed_max)
    txn = wide_snapshot(10)
    asked = parse_query(query)
    expected = find(NaiveSearch(), txn, asked)

    for wanted in (1, page_size + 1, 1_000):
        assert find_by_pages(TermIndex(), txn, asked, page_size=page_size, wanted=wanted) == expected


@pytest.mark.parametrize(
    "query", ["tag:all", "own7", "all none", "state:active tag:all shared", '"shared text" own7']
)
def test_a_bounded_search_is_little_work(query: str) -> None:
    """So it can run where it must not hold up others, and finds the same."""
    request = SearchRequest(expression=parse_query(query), now_us=NOW_US, budget=9, wanted=11)
    brief = TermIndex().search(snapshot(), replace(request, work_max=30))
    whole = TermIndex().search(snapshot(), request)

    assert list(islice(brief, 11)) == list(islice(whole, 11))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('"text shared"', 11),  # Very many candidates.
        ("-updated<1h", 11),
        ("own1*", 11),  # Very many terms.
        ("id:0*", 11),  # Very many ids.
        ("tag:all", 1_001),  # A very large page.
    ],
)
def test_a_search_that_is_too_much_work_is_given_up(query: str, wanted: int) -> None:
    request = SearchRequest(
        expression=parse_query(query), now_us=NOW_US, budget=10_000, wanted=wanted, work_max=60
    )

    with pytest.raises(TooMuchWork):
        list(TermIndex().search(snapshot(), request))


def test_pending_changes_are_work() -> None:
    txn = World(*(make_run(number) for number in range(1, 101))).snapshot()
    searched = TermIndex()
    work_max = 60 * effort.CHANGE
    request = SearchRequest(expression=Tag("none"), now_us=NOW_US, budget=1, wanted=1, work_max=work_max)

    with pytest.raises(TooMuchWork):
        searched.search(txn, request)
    # What was read before is not read again.
    assert list(searched.search(txn, request)) == []


def test_a_page_reads_what_it_returns() -> None:
    """Two rows for each run that is fetched, and a few postings."""
    txn = snapshot()

    assert rows_read(txn, "tag:all") <= 2 * index.RECORDS_READ_AT_ONCE + 8
    assert rows_read(txn, "tag:none") <= 6
    assert rows_read(txn, "tag:all", page_size=1_000) <= 2 * MANY + 8


def test_the_cheapest_part_is_asked_first() -> None:
    txn = snapshot()

    assert rows_read(txn, "own1* own2* tag:none") < rows_read(txn, "own1* own2* tag:all")


@pytest.mark.parametrize("searched", [TermIndex(), NaiveSearch()])
def test_a_search_stops_when_its_budget_is_spent(searched: SearchIndex) -> None:
    txn = snapshot(20)
    request = SearchRequest(expression=parse_query('"text shared"'), now_us=NOW_US, budget=5)
    search = searched.search(txn, request)

    assert list(search) == []
    assert search.truncated_at == 16


@pytest.mark.parametrize("searched", [TermIndex(), NaiveSearch()])
@pytest.mark.parametrize("budget", [-1, 0, 1])
def test_a_search_examines_one_candidate_at_least(searched: SearchIndex, budget: int) -> None:
    txn = snapshot(20)
    search = searched.search(
        txn, SearchRequest(expression=parse_query('"shared text"'), now_us=NOW_US, budget=budget)
    )

    assert [hit.ordinal for hit in search] == [20]
    assert search.truncated_at == 20


def test_a_search_that_reaches_the_end_says_so_though_its_budget_is_spent() -> None:
    txn = snapshot(5)
    search = TermIndex().search(
        txn, SearchRequest(expression=parse_query('"shared text"'), now_us=NOW_US, budget=5)
    )

    assert len(list(search)) == 5
    assert search.truncated_at is None


def test_what_postings_decide_costs_no_budget() -> None:
    assert len(find(TermIndex(), snapshot(), Tag("all"), budget=1)) == MANY


@pytest.mark.parametrize(
    "query", ["updated<1h own7", "own7 updated<1h", '-"text shared" own7', '"shared text" own7']
)
def test_only_what_all_parts_leave_open_is_examined(query: str) -> None:
    assert find(TermIndex(), snapshot(), parse_query(query), budget=1) == [7]


def test_a_large_record_counts_as_several() -> None:
    large = {"k": "two words", "long": "x" * 3 * index.RECORD_UNIT_BYTES}
    txn = World(*(make_run(number, metadata=large) for number in range(1, 11))).snapshot()
    search = TermIndex().search(
        txn, SearchRequest(expression=parse_query('"two words"'), now_us=NOW_US, budget=8)
    )

    assert [hit.ordinal for hit in search] == [10, 9]
    assert search.truncated_at == 9


def test_a_search_stops_between_blocks_when_it_read_too_many_postings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "POSTINGS_MAX", 2)
    made = World(*(make_run(block * BLOCK_SIZE + 1, tags=("t",)) for block in range(4)))
    search = TermIndex().search(
        made.snapshot(), SearchRequest(expression=parse_query("tag:t -tag:t"), now_us=NOW_US, budget=1)
    )

    assert list(search) == []
    assert search.truncated_at == 2 * BLOCK_SIZE


def test_a_search_that_ends_with_the_last_block_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "POSTINGS_MAX", 0)
    made = World(make_run(1, tags=("t",)))

    assert find(TermIndex(), made.snapshot(), Tag("t")) == [1]


@pytest.mark.parametrize("before", [0, 1, 2, BLOCK_SIZE, BLOCK_SIZE + 1, BLOCK_SIZE + 2, 1 << 40])
def test_a_page_begins_below_its_ordinal(before: int) -> None:
    made = World(*(make_run(ordinal) for ordinal in (1, 2, BLOCK_SIZE, BLOCK_SIZE + 1)))
    for _ in range(2):
        found = find(TermIndex(), made.snapshot(), Created(Times(Interval())), before_ordinal=before)
        assert found == [ordinal for ordinal in (BLOCK_SIZE + 1, BLOCK_SIZE, 2, 1) if ordinal < before]
        made.merge()


@pytest.mark.parametrize("merged", [False, True])
def test_archived_runs_are_found_when_they_are_asked_for(merged: bool) -> None:  # noqa: FBT001
    made = World(make_run(1), make_run(2), make_run(3))
    made.change(2, state=RunState.ARCHIVED)
    if merged:
        made.merge()
    txn = made.snapshot()

    assert find(TermIndex(), txn, Created(Times(Interval()))) == [3, 1]
    assert find(TermIndex(), txn, Created(Times(Interval())), include_archived=True) == [3, 2, 1]
    assert find(TermIndex(), txn, parse_query("state:archived OR id:" + "0" * 31 + "1")) == [2, 1]


@pytest.mark.parametrize("count", [planner.ID_PREFIX_RUNS_MAX - 1, planner.ID_PREFIX_RUNS_MAX + 1])
def test_a_prefix_of_very_many_ids_is_checked_on_the_records(count: int) -> None:
    made = World(make_run(1, run_id=DEFAULT_RUN_ID), *(make_run(number) for number in range(2, count + 2)))

    assert find(TermIndex(), made.snapshot(), IdPrefix("0")) == list(range(count + 1, 1, -1))


def test_hits_lead_to_the_records() -> None:
    made = world(3)
    txn = made.snapshot()
    search = TermIndex().search(txn, SearchRequest(expression=Tag("all"), now_us=NOW_US, budget=1))

    for hit, ordinal in zip(search, (3, 2, 1), strict=True):
        assert hit.ordinal == ordinal
        assert hit.key == keys.run(made.runs[ordinal].run_id)
        assert hit.value == txn.get(hit.key)


@pytest.mark.parametrize(
    ("lost", "expression"),
    [
        (keys.all_runs(archived=False, ordinal=2), Tag("all")),
        (keys.run(make_run(2).run_id), Tag("all")),
    ],
)
def test_a_row_that_is_missing_is_corrupt(lost: bytes, expression: Expression) -> None:
    made = world(3)
    drive(made.store.write(lambda txn: txn.delete(lost)))

    with pytest.raises(StoreCorrupt):
        find(TermIndex(), made.snapshot(), expression)


@pytest.mark.parametrize(
    ("damaged", "expression"),
    [
        (keys.posting(terms.tag("all"), 0), Tag("all")),
        (keys.posting(terms.EVERY_RUN, 0), Created(Times(Interval()))),
        (keys.run(make_run(2).run_id), Text(("shared", "text"))),
        (keys.run(make_run(2).run_id), Id(make_run(2).run_id)),
        (keys.pending_terms(99), Tag("all")),
    ],
)
def test_a_row_that_is_damaged_is_corrupt(damaged: bytes, expression: Expression) -> None:
    def damage(txn: WriteTxn) -> None:
        while txn.next_revision() < 99:
            pass
        txn.put(damaged, b"\x01damaged")

    made = world(3)
    drive(made.store.write(damage))

    with pytest.raises(StoreCorrupt):
        find(TermIndex(), made.snapshot(), expression)
