"""Merges that are cut short, or race: whatever is lost or done twice, the postings are right in the end."""

from collections.abc import Iterator

import pytest
from pyroaring import BitMap

from runindex_server.jobs import merge
from runindex_server.jobs.merge import merge_step
from runindex_server.schema.changes import merged_through, read_changes
from runindex_server.search.postings import split_ordinal
from tests.support.merging import check_merged, expected_postings, large_run, postings
from tests.support.search_world import World, make_run


@pytest.mark.parametrize("parts", range(9))
def test_a_crash_between_parts_loses_nothing(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "POSTINGS_MAX", 200)
    world = World(large_run(1, "a"))
    world.merge()
    world.write(large_run(1, "b")._replace(version=2))
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


def visible_postings(world: World) -> dict[tuple[bytes, int], BitMap]:
    """Return the postings with what is pending laid over them, as a search sees them."""
    snapshot = world.snapshot()
    visible = postings(world)
    for change in read_changes(snapshot, after=merged_through(snapshot), through=snapshot.revision):
        block, offset = split_ordinal(change.ordinal)
        for term in change.added:
            visible.setdefault((term, block), BitMap()).add(offset)
        for term in change.removed:
            visible.setdefault((term, block), BitMap()).discard(offset)
    return {place: members for place, members in visible.items() if members}


@pytest.mark.parametrize("turns", list(interleavings(4, 3)))
@pytest.mark.parametrize("bounds", [{"a": (1, 3), "b": (3, 99)}, {"a": (1, 99), "b": (4, 99)}], ids=repr)
def test_steps_of_other_sizes_do_no_harm(
    bounds: dict[str, tuple[int, int]], turns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folds the oldest change alone, perhaps in parts, and the other one folds it with those after it."""
    world = World(make_run(1, tags=("t", "u")))
    world.merge()
    for tags in (("v", "w"), ("t", "x"), ("v", "u"), ("t", "y"), ("t", "u")):
        world.change(1, tags=tags)
    steps = {name: merge_step(world.store) for name in bounds}
    for turn in turns:
        changes_max, postings_max = bounds[turn]
        monkeypatch.setattr(merge, "CHANGES_MAX", changes_max)
        monkeypatch.setattr(merge, "POSTINGS_MAX", postings_max)
        try:
            steps[turn].send(None)
        except StopIteration:
            steps[turn] = merge_step(world.store)
        assert visible_postings(world) == expected_postings(world)
    for step in steps.values():
        step.close()

    world.merge()
    check_merged(world)
