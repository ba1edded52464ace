"""Sources: whatever they are asked for, and in whichever order, they tell the same of each block."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from runindex_server.search.decoded import DecodedPostings
from runindex_server.search.effort import Effort, TooMuchWork
from runindex_server.search.overlay import Overlay
from runindex_server.search.planner import plan_of
from runindex_server.search.postings import BLOCK_SIZE
from runindex_server.search.query import parse_query
from runindex_server.search.sources import BLOCK_END, NO_BLOCK, Among, Between, Postings, Source
from tests.support.search_world import NOW_US, Snapshot, World, make_run

BLOCKS = 8


def source(txn: Snapshot, query: str, *, work_max: int | None = None) -> Source:
    """Return where the runs of a query come from."""
    work = Effort(work_max)
    postings = Postings(txn, Overlay().view(txn, Effort()), DecodedPostings(), work, now_us=NOW_US)
    return plan_of(parse_query(query), include_archived=True)(postings)


placed = st.dictionaries(
    st.tuples(st.integers(0, BLOCKS - 1), st.sampled_from((1, 2, BLOCK_SIZE - 1))),
    st.sets(st.sampled_from("abc")).map(lambda tags: tuple(sorted(tags))),
    max_size=10,
)
questions = st.lists(
    st.tuples(st.sampled_from(("newest", "bounds")), st.integers(0, BLOCKS) | st.just(BLOCK_END)), max_size=20
)
MEANINGS: dict[str, Any] = {
    "tag:a": lambda tags: "a" in tags,
    "tag:a tag:b": lambda tags: {"a", "b"} <= tags,
    "tag:a -tag:b": lambda tags: "a" in tags and "b" not in tags,
    "-tag:a": lambda tags: "a" not in tags,
    "tag:a OR tag:b": lambda tags: bool({"a", "b"} & tags),
    "(tag:a OR tag:b) tag:c": lambda tags: bool({"a", "b"} & tags) and "c" in tags,
}


@given(
    merged=placed,
    pending=placed,
    retagged=st.sets(st.sampled_from("abc")),
    query=st.sampled_from(sorted(MEANINGS)),
    asked=questions,
)
def test_answers_do_not_depend_on_what_was_asked_before(
    *,
    merged: dict[tuple[int, int], tuple[str, ...]],
    pending: dict[tuple[int, int], tuple[str, ...]],
    retagged: set[str],
    query: str,
    asked: list[tuple[str, int]],
) -> None:
    world = World()
    for (block, offset), tags in merged.items():
        world.write(make_run(block * BLOCK_SIZE + offset, tags=tags))
    world.merge()
    for (block, offset), tags in pending.items():
        ordinal = block * BLOCK_SIZE + offset
        if ordinal in world.runs:
            world.change(ordinal, tags=tuple(sorted(retagged)))
        else:
            world.write(make_run(ordinal, tags=tags))
    runs = [run.ordinal for run in world.runs.values() if MEANINGS[query](set(run.tags))]
    found = source(world.snapshot(), query)

    for question, block in asked:
        if question == "bounds" and block < BLOCK_END:
            sure, maybe = found.bounds(block)
            expected = BitMap(ordinal % BLOCK_SIZE for ordinal in runs if ordinal // BLOCK_SIZE == block)
            assert sure == maybe == expected
        else:
            newest = found.newest(block)
            below = [ordinal // BLOCK_SIZE for ordinal in runs if ordinal // BLOCK_SIZE <= block]
            assert max(below, default=NO_BLOCK) <= newest <= block


def test_blocks_without_a_run_are_passed_over() -> None:
    """However many runs have the other term."""
    world = World(*(make_run(block * BLOCK_SIZE + 1, tags=("t",)) for block in range(200)))
    world.change(3 * BLOCK_SIZE + 1, tags=("t", "rare"))
    world.merge()
    for query in (
        "tag:t tag:rare",
        "tag:rare tag:t",
        "(tag:rare OR tag:none) tag:t",
        "-tag:u tag:t tag:rare",
    ):
        found = source(world.snapshot(), query, work_max=14)

        assert found.newest(BLOCK_END) == 3
        assert found.bounds(3) == (BitMap([1]), BitMap([1]))
        assert found.newest(2) == NO_BLOCK


def test_what_takes_too_long_is_given_up() -> None:
    world = World(*(make_run(block * BLOCK_SIZE + 1, tags=("t",)) for block in range(20)))
    world.merge()
    found = source(world.snapshot(), "tag:t", work_max=10)

    for block in range(19, 9, -1):
        assert found.newest(block) == block
    with pytest.raises(TooMuchWork):
        found.newest(9)


@pytest.mark.parametrize(
    ("start", "end", "blocks"),
    [
        (0, 1 << 64, [5, 4, 3, 2, 1, 0]),
        (BLOCK_SIZE, 2 * BLOCK_SIZE, [1]),
        (BLOCK_SIZE - 1, 2 * BLOCK_SIZE + 1, [2, 1, 0]),
        (7 * BLOCK_SIZE, 9 * BLOCK_SIZE, []),
        (5, 5, []),
        (0, 0, []),
        (1 << 64, 1 << 64, []),
    ],
)
def test_a_range_is_in_its_blocks(start: int, end: int, blocks: list[int]) -> None:
    ordinals = Between(start, end)
    found = []
    block = ordinals.newest(5)
    while block != NO_BLOCK:
        found.append(block)
        sure, maybe = ordinals.bounds(block)
        assert sure is maybe
        assert sure.min() == max(start - block * BLOCK_SIZE, 0)
        assert sure.max() == min(end - block * BLOCK_SIZE, BLOCK_SIZE) - 1
        block = ordinals.newest(block - 1) if block else NO_BLOCK

    assert found == blocks


def test_ordinals_are_in_their_blocks() -> None:
    among = Among([1, BLOCK_SIZE + 2, BLOCK_SIZE + 5])

    assert [among.newest(block) for block in (BLOCK_END, 1, 0)] == [1, 1, 0]
    assert among.bounds(1) == (BitMap([2, 5]), BitMap([2, 5]))
    assert among.bounds(7) == (BitMap(), BitMap())
    assert Among([]).newest(BLOCK_END) == NO_BLOCK
