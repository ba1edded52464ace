"""Merging: what was pending is in the postings, exactly, whatever is lost, repeated or comes too late."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from random import Random
from typing import TypeVar

import pytest
from pyroaring import BitMap

from runindex_server import limits
from runindex_server.errors import Overloaded, StoreCorrupt
from runindex_server.jobs import merge
from runindex_server.jobs.merge import Step, merge_step
from runindex_server.kv.api import WRITE_BYTES_MAX, ReadTxn, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import keys, records
from runindex_server.schema.changes import Change, append_change, merged_through
from runindex_server.schema.terms import EVERY_RUN, terms_of
from runindex_server.search.postings import BLOCK_SIZE, encode_posting
from tests.support.merging import busy_world, check_merged, large_run, pending, postings
from tests.support.search_world import World, drive, make_run

T = TypeVar("T")


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
    assert {term for term, _ in postings(world)} == set().union(*(terms_of(world.runs[n]) for n in (1, 2, 3)))
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
    monkeypatch.setattr(merge, "WRITE_BYTES_MAX", 1_000)
    world = World(*(make_run(number, tags=(f"n{number}",)) for number in range(1, 11)))

    assert drive(merge_step(world.store))
    assert pending(world) == list(range(5, 11)), "11 new postings are reckoned at some 80 bytes each"
    world.write(large_run(11, "a"))
    world.merge()
    check_merged(world)


class SizedStore:
    """A store around another one that tells how many bytes each write puts."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self.write_bytes: list[int] = []

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        return await self._inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        return await self._inner.write(partial(self._sized, fn))

    async def close(self) -> None:
        await self._inner.close()

    def _sized(self, fn: Callable[[WriteTxn], T], txn: WriteTxn) -> T:
        put, write_bytes = txn.put, 0

        def sized_put(key: bytes, value: bytes) -> None:
            nonlocal write_bytes
            write_bytes += len(key) + len(value)
            put(key, value)

        txn.put = sized_put  # type: ignore[method-assign]
        result = fn(txn)
        self.write_bytes.append(write_bytes)
        return result


def append_changes(world: World, changes: Sequence[tuple[int, set[bytes], set[bytes]]]) -> None:
    """Let changes pend, each of a run: what it gets, and what it loses."""

    def fn(txn: WriteTxn) -> None:
        for ordinal, added, removed in changes:
            append_change(txn, Change(txn.next_revision(), ordinal, frozenset(added), frozenset(removed)))

    drive(world.store.write(fn))


def random_changes(count: int) -> list[tuple[int, set[bytes], set[bytes]]]:
    """Return changes of few runs and terms, so that each is changed again and again."""
    chance = Random(count)
    changes = []
    for _ in range(count):
        changed = set(chance.sample([b"wa", b"wb", b"wc", b"t"], chance.randint(1, 4)))
        added = {term for term in changed if chance.random() < 0.5}
        changes.append((chance.randrange(BLOCK_SIZE - 20, BLOCK_SIZE + 20), added, changed - added))
    return changes


def put_postings(world: World) -> None:
    """Put postings into two blocks that are at the bounds of a bitmap's forms: runs, an array, bits."""
    terms = {
        b"wa": BitMap(range(BLOCK_SIZE)),
        b"wb": BitMap(range(1, 2 * 4_096, 2)),
        b"wc": BitMap(range(0, BLOCK_SIZE, 3)),
    }

    def fn(txn: WriteTxn) -> None:
        for (term, offsets), block in product(terms.items(), (0, 1)):
            key = keys.posting(term, block)
            txn.put(key, encode_posting(key, offsets.copy()))

    drive(world.store.write(fn))


def test_many_changes_at_once_come_to_the_same_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for changes_max in (1_000, 7, 1):
        monkeypatch.setattr(merge, "CHANGES_MAX", changes_max)
        world = World()
        put_postings(world)
        append_changes(world, random_changes(400))
        assert world.merge() == -(-400 // changes_max)
        found.append(postings(world))

    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 8


def test_no_write_is_larger_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave a posting in such a way that its row grows as much as it can."""
    monkeypatch.setattr(merge, "WRITE_BYTES_MAX", 9_000)
    monkeypatch.setattr(merge, "CHANGES_MAX", 9_000)
    world = World()
    put_postings(world)
    append_changes(world, [(ordinal, set(), {b"wa"}) for ordinal in range(100, 8_000, 3)])
    append_changes(world, [(ordinal, {b"n%d" % ordinal}, set()) for ordinal in range(200)])
    sized = SizedStore(world.store)

    while drive(merge_step(sized)):
        pass
    assert max(sized.write_bytes) <= 9_000 + len(keys.MERGED_THROUGH) + 8
    assert len(sized.write_bytes) > 2
    assert pending(world) == []


def test_a_change_of_very_many_terms_is_folded_in_several_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "POSTINGS_MAX", 130)
    world = World(make_run(1), large_run(2, "a"), make_run(3))
    assert drive(merge_step(world.store))
    assert pending(world) == [2, 3]

    writes = 0
    step = merge_step(world.store)
    try:
        while True:
            step.send(None)
            writes += 1
            assert pending(world) == [2, 3], "the row stays whole until its last part"
    except StopIteration:
        assert writes == -(-len(terms_of(world.runs[2])) // 130) == 8
    assert pending(world) == [3]
    assert merged_through(world.snapshot()) == 2
    world.merge()
    check_merged(world)


def test_a_step_tells_whether_more_was_pending_than_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "CHANGES_MAX", 2)
    world = World(*(make_run(number) for number in range(1, 5)))

    told = [drive(merge.take_step(world.store)) for _ in range(3)]

    assert told == [Step.BEHIND, Step.CAUGHT_UP, Step.IDLE]


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
