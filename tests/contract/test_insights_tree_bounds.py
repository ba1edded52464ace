"""GetRunTree at its bounds: levels, runs and bytes, downwards and upwards."""

from typing import Final

import pytest

from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import (
    PAGE_BYTES_MAX,
    TREE_DEPTH_MAX,
    TREE_RUNS_MAX,
)
from tests.support.calls import (
    DEFAULT,
    Stub,
    archive,
    create,
    create_many,
    delete,
)
from tests.support.insight_methods import Insights
from tests.support.stores import IN_MEMORY
from tests.support.trees import (
    BASIC,
    ID_ONLY,
    chain,
    check_tree,
    ids,
    levels,
    marked,
    tree,
    whole,
)

CLIENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""What a gRPC client takes by default."""


# Bounds.


@pytest.mark.parametrize("include_archived", [False, True])
def test_max_runs(stub: Stub, insights: Insights, *, include_archived: bool) -> None:
    """At the number of descendants nothing is truncated; one below, the last of the deepest is left out."""
    top = create(stub).run_id
    for parent in [create(stub, parent=top).run_id for _ in range(3)]:
        for below in [create(stub, parent=parent).run_id for _ in range(3)]:
            create(stub, parent=below)
    if include_archived:
        archive(stub, whole(insights, top).descendants[4].run.run_id)
    number = len(whole(insights, top, include_archived=include_archived).descendants)
    assert number == 21

    for max_runs in range(1, number + 2):
        answer = check_tree(stub, insights, top, max_runs=max_runs, include_archived=include_archived)
        assert len(answer.descendants) == min(max_runs, number)
        assert answer.truncated == (max_runs < number)


def test_max_depth(stub: Stub, insights: Insights) -> None:
    """At the depth of the tree nothing is truncated; one below, it is."""
    top, *below = chain(stub, 5)

    for max_depth in range(1, 7):
        answer = check_tree(stub, insights, top, max_depth=max_depth)
        assert ids(answer.descendants) == below[:max_depth]
        assert answer.truncated == (max_depth < 4)


def test_what_lies_deeper_truncates_only_if_it_is_asked_for(stub: Stub, insights: Insights) -> None:
    """An archived run below the last level is none of the descendants, unless archived ones are."""
    top, middle, bottom = chain(stub, 3)
    archive(stub, bottom)

    assert ids(check_tree(stub, insights, top, max_depth=1).descendants) == [middle]
    assert not tree(insights, top, max_depth=1).truncated
    assert check_tree(stub, insights, top, max_depth=1, include_archived=True).truncated


@IN_MEMORY
def test_the_defaults_and_the_greatest_numbers(stub: Stub, insights: Insights) -> None:
    """0 is 100 runs and 10 levels; above 1,000 and 100 is 1,000 and 100."""
    top = create(stub).run_id
    create_many(stub, TREE_RUNS_MAX + 1, parent=top)
    for asked, number in (
        (0, 100),
        (99, 99),
        (100, 100),
        (101, 101),
        (999, 999),
        (1_000, 1_000),
        (1_001, 1_000),
        (2**31 - 1, 1_000),
    ):
        answer = tree(insights, top, max_runs=asked, view=ID_ONLY)
        assert (len(answer.descendants), answer.truncated) == (number, True)
    delete(stub, answer.descendants[0].run.run_id)
    answer = tree(insights, top, max_runs=1_000, view=ID_ONLY)
    assert (len(answer.descendants), answer.truncated) == (1_000, False)

    first, *below = chain(stub, TREE_DEPTH_MAX + 2)
    for asked, depth in ((0, 10), (9, 9), (99, 99), (100, 100), (101, 100), (2**31 - 1, 100)):
        answer = tree(insights, first, max_depth=asked, max_runs=1_000, view=ID_ONLY)
        assert levels(answer.descendants) == [(each, level) for level, each in enumerate(below[:depth], 1)]
        assert answer.truncated
    answer = tree(insights, below[0], max_depth=100, max_runs=100, view=ID_ONLY)
    assert (len(answer.descendants), answer.truncated) == (100, False)


@IN_MEMORY
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_at_most_100_ancestors(stub: Stub, insights: Insights, over: int) -> None:
    """The nearest; the last of them is marked only when it is told why it is the last."""
    number = TREE_DEPTH_MAX + over
    *above, bottom = chain(stub, number + 1)

    answer = tree(insights, bottom, view=ID_ONLY)

    nearest = above[::-1][:TREE_DEPTH_MAX]
    assert levels(answer.ancestors) == [(each, level) for level, each in enumerate(nearest, 1)]
    assert answer.ancestors_truncated == (over > 0)
    delete(stub, above[0])
    answer = tree(insights, bottom, view=ID_ONLY)
    assert not answer.ancestors_truncated
    assert marked(answer, "is_orphan") == [above[1]]


def size_of(run: index_pb.Run) -> int:
    """Return the bytes of a run, encoded."""
    return run.ByteSize()


def heavy(stub: Stub, parent: str, size: int) -> str:
    """Create a run of so many bytes."""
    length = size
    for _ in range(4):
        run = create(stub, parent=parent, metadata={"k": "x" * length})
        if size_of(run) == size:
            return run.run_id
        # What it takes beside the text may change with its revision.
        length += size - size_of(run)
        delete(stub, run.run_id)
    msg = f"no run has {size} bytes"
    raise AssertionError(msg)


@IN_MEMORY
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_descendants_end_at_2_mib_of_runs(stub: Stub, insights: Insights, over: int) -> None:
    """They take the run that fills it to the byte, and end before the one that would pass it."""
    top = create(stub).run_id
    middle = heavy(stub, top, 40_000)
    sizes = [60_000] * 34
    sizes.append(PAGE_BYTES_MAX - sum(sizes) - 40_000 + over)
    for size in reversed(sizes):
        heavy(stub, middle, size)

    answer = tree(insights, top, max_runs=1_000)

    found = [size_of(node.run) for node in answer.descendants]
    assert found == [40_000, *(sizes if over <= 0 else sizes[:-1])]
    assert answer.truncated == (over > 0)
    for view in (BASIC, ID_ONLY):
        light = tree(insights, top, max_runs=1_000, view=view)
        assert (len(light.descendants), light.truncated) == (36, False)


@IN_MEMORY
@pytest.mark.parametrize("over", [0, 1])
def test_ancestors_end_at_2_mib_of_runs(stub: Stub, insights: Insights, over: int) -> None:
    """Which are the nearest, and of their own."""
    above: list[str] = []
    sizes = [60_000] * 34
    sizes.append(PAGE_BYTES_MAX - sum(sizes) + over)
    for size in reversed(sizes):
        above.append(heavy(stub, above[-1] if above else DEFAULT, size))
    bottom = create(stub, parent=above[-1]).run_id

    answer = tree(insights, bottom)

    found = [size_of(node.run) for node in answer.ancestors]
    assert found[:35] == (sizes if over <= 0 else sizes[:-1])
    # The default run is the topmost, and no longer fits.
    assert len(found) == 35 - over
    assert answer.ancestors_truncated


@IN_MEMORY
def test_every_default_client_can_read_a_tree(stub: Stub, insights: Insights) -> None:
    """Although each side is as large as it may be: the furthest ancestors are left out."""
    heavy_ones = {"metadata": {"k": "x" * 21_000}}
    above = chain(stub, 100, **heavy_ones)
    middle = create(stub, parent=above[-1], metadata={"k": "x" * 65_000}).run_id
    for _ in range(100):
        create(stub, parent=middle, **heavy_ones)

    answer = tree(insights, middle, max_runs=1_000)

    assert answer.ByteSize() <= CLIENT_BYTES_MAX
    below = sum(size_of(node.run) for node in answer.descendants)
    assert below <= PAGE_BYTES_MAX < below + size_of(answer.descendants[0].run)
    assert answer.truncated
    assert answer.ancestors_truncated
    assert ids(answer.ancestors) == above[::-1][: len(answer.ancestors)]
    least = CLIENT_BYTES_MAX - PAGE_BYTES_MAX - 512 * 1024
    assert sum(size_of(node.run) for node in answer.ancestors) > least
