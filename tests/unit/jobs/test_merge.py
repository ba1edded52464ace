"""Merging: what was pending is in the postings, exactly, whatever is lost, repeated or comes too late."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pyroaring import BitMap

from runindex_server import limits
from runindex_server.errors import Overloaded, StoreCorrupt
from runindex_server.jobs import merge
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import WRITE_BYTES_MAX, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema.changes import Change, append_change, merged_through
from runindex_server.schema.run import RunState
from runindex_server.schema.terms import EVERY_RUN, terms_of
from runindex_server.search.postings import BLOCK_SIZE, decode_posting, encode_posting
from tests.support.counting_store import CountingStore
from tests.support.search_world import World, drive, make_run


def postings(world: World) -> dict[tuple[bytes, int], BitMap]:
    """Return all postings."""
    start, end = keys.POSTING.range
    rows = world.snapshot().scan(start, end)
    return {keys.split_posting(key): decode_posting(key, value) for key, value in rows}


def expected_postings(world: World) -> dict[tuple[bytes, int], BitMap]:
    """Return what the postings are when all is merged."""
    expected: dict[tuple[bytes, int], BitMap] = {}
    for ordinal, run in world.runs.items():
        for term in terms_of(run):
            expected.setdefault((term, ordinal // BLOCK_SIZE), BitMap()).add(ordinal % BLOCK_SIZE)
    return expected


def pending(world: World) -> list[int]:
    """Return the revisions that are pending."""
    start, end = keys.PENDING_TERMS.range
    return [keys.revision_of(key) for key, _ in world.snapshot().scan(start, end)]


def check_merged(world: World) -> None:
    """Check that all is merged, exactly."""
    assert pending(world) == []
    assert world.snapshot().get_counter(keys.PENDING_TERMS_COUNT) == 0
    assert postings(world) == expected_postings(world)


def busy_world() -> World:
    """Return a world in which much has happened, nothing of it merged."""
    world = World(
        *(make_run(number, tags=("t", f"n{number}")) for number in (1, 2, 3, BLOCK_SIZE, BLOCK_SIZE + 1))
    )
    world.change(1, state=RunState.COMPLETED, outcome=RunState.COMPLETED)
    world.change(2, tags=("u",))
    world.change(2, tags=("t", "u"))
    world.delete(3)
    world.change(1, state=RunState.ARCHIVED)
    world.write(make_run(BLOCK_SIZE + 2, metadata={"k": "v"}))
    world.delete(BLOCK_SIZE + 1)
    return world


def large_run(number: int, word: str) -> Any:
    """Return a run of about 1,000 terms."""
    return make_run(number, metadata={"k": " ".join(f"{word}{place}" for place in range(500))})


def test_all_that_is_pending_is_folded() -> None:
    world = busy_world()
    world.merge()

    check_merged(world)
    assert merged_through(world.snapshot()) == world.snapshot().revision


def test_a_step_with_nothing_to_do_says_so() -> None:
    world = World()

    assert drive(merge_step(world.store)) is False
    world.write(make_run(1))
    assert drive(merge_step(world.store)) is True
    assert drive(merge_step(world.store)) is False


def test_it_runs_on_an_event_loop() -> None:
    world = busy_world()

    assert asyncio.run(merge_step(world.store)) is True
    check_merged(world)


def test_postings_that_become_empty_go() -> None:
    world = World(make_run(1, tags=("t",)))
    world.merge()
    world.delete(1)
    world.merge()

    assert postings(world) == {}


def test_steps_are_bounded_by_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "CHANGES_MAX", 3)
    world = World(*(make_run(number) for number in range(1, 11)))

    assert drive(merge_step(world.store))
    assert pending(world) == list(range(4, 11))
    assert merged_through(world.snapshot()) == 3
    assert world.merge() == 3
    check_merged(world)


def test_steps_are_bounded_by_postings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "POSTINGS_MAX", 9)
    world = World(*(make_run(number, tags=(f"n{number}",)) for number in range(1, 11)))

    assert drive(merge_step(world.store))
    assert pending(world) == list(range(4, 11))
    assert world.merge() == 3
    check_merged(world)


def test_a_row_is_no_larger_than_reckoned() -> None:
    key = keys.posting(b"\x00" * limits.TERM_BYTES_MAX, 0)
    largest = max(
        len(encode_posting(key, BitMap(offsets)))
        for offsets in (range(0, BLOCK_SIZE, 2), [*range(0, BLOCK_SIZE, 4), *range(1, BLOCK_SIZE, 4)])
    )

    assert len(key) + largest <= merge.ROW_BYTES_MAX
    assert (
        merge.WRITE_BYTES_MAX + 2 * merge.CHANGES_MAX * len(keys.pending_terms(1)) < WRITE_BYTES_MAX * 2 // 3
    )


def test_writes_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "WRITE_BYTES_MAX", 16_000)
    world = World(*(make_run(number, tags=(f"n{number}",)) for number in range(1, 11)))

    assert drive(merge_step(world.store))
    assert pending(world) == list(range(6, 11)), "13 new postings are reckoned at 1.1 KiB each"
    world.write(large_run(11, "a"))
    world.merge()
    check_merged(world)


def test_a_change_of_very_many_terms_is_folded_in_several_writes() -> None:
    world = World(make_run(1), large_run(2, "a"), make_run(3))
    counting = CountingStore(world.store)
    assert drive(merge_step(counting))
    assert pending(world) == [2, 3]

    writes = 0
    step = merge_step(world.store)
    try:
        while True:
            step.send(None)
            writes += 1
            assert pending(world) == [2, 3], "the row stays whole until its last part"
    except StopIteration:
        assert writes == -(-len(terms_of(world.runs[2])) // (merge.WRITE_BYTES_MAX // merge.ROW_BYTES_MAX))
    assert pending(world) == [3]
    assert merged_through(world.snapshot()) == 2
    world.merge()
    check_merged(world)


@pytest.mark.parametrize("parts", range(9))
def test_a_crash_between_parts_loses_nothing(parts: int) -> None:
    world = World(large_run(1, "a"))
    world.merge()
    world.write(replace(large_run(1, "b"), version=2))
    step = merge_step(world.store)
    for _ in range(parts):
        step.send(None)
    step.close()

    world.change(1, tags=("t",))
    world.merge()
    check_merged(world)


def interleavings(first: int, second: int) -> Iterator[str]:
    """Yield the ways in which two steps can take turns, each so many."""
    if not (first and second):
        yield "a" * first + "b" * second
        return
    yield from (f"a{rest}" for rest in interleavings(first - 1, second))
    yield from (f"b{rest}" for rest in interleavings(first, second - 1))


@pytest.mark.parametrize("turns", list(interleavings(4, 4)))
def test_two_steps_at_once_do_no_harm(turns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them begins when the other may have done any part of the work; a change comes in between."""
    monkeypatch.setattr(merge, "POSTINGS_MAX", 200)
    monkeypatch.setattr(merge, "WRITE_BYTES_MAX", 200 * merge.ROW_BYTES_MAX)
    world = World(make_run(1, metadata={"k": " ".join(f"a{place}" for place in range(150))}))
    world.merge()
    world.change(1, metadata={"k": " ".join(f"b{place}" for place in range(150))})
    world.change(1, tags=("t",))
    steps = {"a": merge_step(world.store), "b": merge_step(world.store)}
    for place, turn in enumerate(turns):
        if place == 3:
            world.change(1, metadata={"k": "a1 b1"})
        try:
            if turn in steps:
                steps[turn].send(None)
        except StopIteration:
            steps[turn] = merge_step(world.store)
    for step in steps.values():
        step.close()

    world.merge()
    check_merged(world)


def test_a_step_that_comes_too_late_does_nothing() -> None:
    world = World(make_run(1, tags=("t",)))
    late = merge_step(world.store)
    late.send(None)
    world.change(1, tags=())
    world.merge()
    before = postings(world)

    assert drive(late) is True
    assert postings(world) == before
    check_merged(world)


def test_merging_moves_on_over_revisions_without_changed_terms() -> None:
    world = World(make_run(1))
    world.merge()

    def write_only(count: int) -> None:
        drive(world.store.write(lambda txn: [txn.next_revision() for _ in range(count)]))

    write_only(merge.LAG_MAX - 1)
    assert drive(merge_step(world.store)) is False
    write_only(1)
    assert drive(merge_step(world.store)) is True
    assert merged_through(world.snapshot()) == world.snapshot().revision
    assert drive(merge_step(world.store)) is False


def test_writes_are_refused_only_until_merging_has_caught_up() -> None:
    world = World(make_run(1))
    fill_pending(world, limits.PENDING_ROWS_MAX)
    with pytest.raises(Overloaded):
        world.write(make_run(2))
    world.runs.pop(2, None)

    drive(merge_step(world.store))
    world.write(make_run(2))
    world.merge()
    check_merged(world)


def fill_pending(world: World, count: int) -> None:
    """Let changes pend until they are so many, of terms that their run has already."""

    def fill(txn: WriteTxn) -> None:
        for _ in range(min(1_000, count - txn.get_counter(keys.PENDING_TERMS_COUNT))):
            append_change(txn, Change(txn.next_revision(), 1, frozenset({EVERY_RUN}), frozenset()))

    while len(pending(world)) < count:
        drive(world.store.write(fill))


def test_revisions_without_changed_terms_refuse_no_write() -> None:
    world = World(make_run(1))
    drive(world.store.write(lambda txn: [txn.next_revision() for _ in range(2 * limits.PENDING_ROWS_MAX)]))

    world.write(make_run(2))

    world.merge()
    check_merged(world)


@pytest.mark.parametrize("value", [b"damaged", records.seal(keys.pending_terms(1), b"no message")])
def test_a_damaged_row_is_corrupt(value: bytes) -> None:
    world = World(make_run(1))
    drive(world.store.write(lambda txn: txn.put(keys.pending_terms(1), value)))

    with pytest.raises(StoreCorrupt):
        drive(merge_step(world.store))


def test_every_run_is_one_term() -> None:
    world = busy_world()
    world.merge()

    assert postings(world)[EVERY_RUN, 0] == BitMap([1, 2])
    assert postings(world)[EVERY_RUN, 1] == BitMap([0, 2])
