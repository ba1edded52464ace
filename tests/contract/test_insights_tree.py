"""Trees of runs: exactly the relatives that can be found one by one, orphans and circles included."""

import random
from typing import Any

import pytest
from grpc import StatusCode as Code

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import (
    TREE_DEPTH_MAX,
    TREE_RUNS_MAX,
)
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    archive,
    check_refused,
    close,
    create,
    create_in,
    delete,
    fail,
    lead,
    pause,
)
from tests.support.consistency import check_store
from tests.support.insight_methods import Insights
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import ON_DISK
from tests.support.trees import (
    BASIC,
    FULL,
    ID_ONLY,
    chain,
    check_tree,
    forest,
    ids,
    levels,
    marked,
    states_of,
    tree,
    whole,
)


def test_a_run_without_relatives(stub: Stub, insights: Insights) -> None:
    """Stands alone."""
    run = create(stub)

    answer = check_tree(stub, insights, run.run_id)

    assert answer == pb.GetRunTreeResponse(run=pb.TreeNode(run=run), revision=run.revision)


def test_three_levels(stub: Stub, insights: Insights) -> None:
    """Level by level, the children of each node together, newest first; ancestors the nearest first."""
    top = create(stub).run_id
    a, b = (create(stub, parent=top).run_id for _ in range(2))
    a1, b1, a2, b2 = (create(stub, parent=parent).run_id for parent in (a, b, a, b))
    deep = create(stub, parent=a1).run_id
    create(stub)

    answer = check_tree(stub, insights, top)
    assert levels(answer.descendants) == [(b, 1), (a, 1), (b2, 2), (b1, 2), (a2, 2), (a1, 2), (deep, 3)]

    answer = check_tree(stub, insights, a)
    assert levels(answer.descendants) == [(a2, 1), (a1, 1), (deep, 2)]
    assert levels(answer.ancestors) == [(top, 1)]

    answer = check_tree(stub, insights, deep)
    assert not answer.descendants
    assert levels(answer.ancestors) == [(a1, 1), (a, 2), (top, 3)]


def test_the_default_run_can_be_asked_for(stub: Stub, insights: Insights) -> None:
    """It has descendants, and is an ancestor, as any other."""
    child = create(stub, parent=DEFAULT).run_id
    below = create(stub, parent=child).run_id

    assert levels(check_tree(stub, insights, DEFAULT).descendants) == [(child, 1), (below, 2)]
    assert ids(check_tree(stub, insights, below).ancestors) == [child, DEFAULT]


def test_any_spelling_of_an_id(stub: Stub, insights: Insights) -> None:
    """Is the same run."""
    run_id = create(stub).run_id

    assert tree(insights, f"{{{run_id.upper()}}}") == tree(insights, run_id)


# Children that are counted, and archived ones.


def test_children_are_counted_by_state(stub: Stub, insights: Insights) -> None:
    """One row for each state that occurs, in the order of the enum; archived ones too."""
    parent = create(stub).run_id
    for number, state in enumerate(reversed(STATES)):
        for _ in range(number + 1):
            create_in(stub, state, parent=parent)

    answer = check_tree(stub, insights, parent)

    expected = [(state, len(STATES) - place) for place, state in enumerate(STATES)]
    assert states_of(answer.run) == expected
    assert len(answer.descendants) == 20


def test_counts_follow_each_change(stub: Stub, insights: Insights) -> None:
    """Of state, and deletion, at once."""
    parent = create(stub).run_id
    one, other = (create(stub, parent=parent).run_id for _ in range(2))
    for change in (pause, archive, delete):
        change(stub, one)
        check_tree(stub, insights, parent)
    fail(stub, other)
    check_tree(stub, insights, parent)
    delete(stub, other)
    assert not check_tree(stub, insights, parent).run.children


def test_archived_descendants_hide_what_is_below_them(stub: Stub, insights: Insights) -> None:
    """Unless they are asked for. They are counted in any case; what is hidden truncates nothing."""
    top = create(stub).run_id
    kept, hidden = (create(stub, parent=top).run_id for _ in range(2))
    below = create(stub, parent=hidden).run_id
    below_kept = create(stub, parent=kept).run_id
    archive(stub, hidden)

    answer = check_tree(stub, insights, top)
    assert ids(answer.descendants) == [kept, below_kept]
    assert not answer.truncated
    assert states_of(answer.run) == [(index_pb.RUN_STATE_ACTIVE, 1), (index_pb.RUN_STATE_ARCHIVED, 1)]
    answer = check_tree(stub, insights, top, include_archived=True)
    assert ids(answer.descendants) == [hidden, kept, below, below_kept]


def test_archived_and_other_children_are_in_one_order(stub: Stub, insights: Insights) -> None:
    """That of creation."""
    top = create(stub).run_id
    made = [create(stub, parent=top).run_id for _ in range(7)]
    for run_id in made[::2]:
        archive(stub, run_id)

    for max_runs in range(1, 9):
        check_tree(stub, insights, top, include_archived=True, max_runs=max_runs)
        check_tree(stub, insights, top, max_runs=max_runs)
    assert ids(whole(insights, top, include_archived=True).descendants) == made[::-1]


def test_ancestors_are_shown_archived_or_not(stub: Stub, insights: Insights) -> None:
    """And an archived run shows its own descendants."""
    top, middle, bottom = chain(stub, 3)
    archive(stub, top)
    archive(stub, middle)

    assert ids(check_tree(stub, insights, bottom).ancestors) == [middle, top]
    assert ids(check_tree(stub, insights, middle).descendants) == [bottom]
    assert not check_tree(stub, insights, top).descendants


# Orphans and circles.


def test_orphans(stub: Stub, insights: Insights) -> None:
    """The run whose parent is gone is marked, wherever it stands, and no other."""
    top, middle, bottom = chain(stub, 3)
    delete(stub, top)

    for run_id in (middle, bottom):
        answer = check_tree(stub, insights, run_id)
        assert marked(answer, "is_orphan") == [middle]
        assert not answer.ancestors_truncated
    create(stub, run_id=top)
    answer = check_tree(stub, insights, bottom)
    assert ids(answer.ancestors) == [middle, top]
    assert not marked(answer, "is_orphan")


def test_a_gone_run_has_no_tree(stub: Stub, insights: Insights) -> None:
    """Its orphans do."""
    top, below = chain(stub, 2)
    delete(stub, top)

    check_refused(lambda: tree(insights, top), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=top)
    assert check_tree(stub, insights, below).run.is_orphan


def circle(stub: Stub, length: int) -> list[str]:
    """Create runs each of which is the child of the one before, the first being the child of the last."""
    made = chain(stub, length)
    delete(stub, made[0])
    create(stub, run_id=made[0], parent=made[-1])
    return made


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_circle_seen_from_each_of_its_members(
    stub: Stub, insights: Insights, server: RunningServer, loop: LoopThread, length: int
) -> None:
    """Each other member once on the way up, once on the way down; what would come back is marked."""
    made = circle(stub, length)

    for place, run_id in enumerate(made):
        answer = check_tree(stub, insights, run_id)
        around = made[place + 1 :] + made[:place]
        assert levels(answer.descendants) == [(each, level) for level, each in enumerate(around, 1)]
        assert levels(answer.ancestors) == [(each, level) for level, each in enumerate(around[::-1], 1)]
        # The last on the way up is the first on the way down, and the reverse.
        assert marked(answer, "is_circular") == [around[0], around[-1]]
        assert not marked(answer, "is_orphan")
        assert not answer.truncated
    loop.run(check_store(server.store))


def test_a_circle_seen_from_below(stub: Stub, insights: Insights) -> None:
    """The way up goes around it once."""
    made = circle(stub, 3)
    bottom = chain(stub, 2, below=made[1])[-1]

    answer = check_tree(stub, insights, bottom)

    assert ids(answer.ancestors)[1:] == [made[1], made[0], made[2]]
    assert marked(answer, "is_circular") == [made[2]]


@pytest.mark.parametrize("include_archived", [False, True])
@pytest.mark.parametrize("archived", [False, True])
def test_what_a_circle_truncates(
    stub: Stub, insights: Insights, *, include_archived: bool, archived: bool
) -> None:
    """The run itself is none of its descendants, archived or not, however few are returned."""
    made = circle(stub, 3)
    create(stub, parent=made[2])
    create(stub, parent=made[1])
    if archived:
        archive(stub, made[0])

    for run_id in made:
        for max_depth in range(1, 4):
            for max_runs in range(1, 6):
                bounds = {"max_depth": max_depth, "max_runs": max_runs}
                check_tree(stub, insights, run_id, include_archived=include_archived, **bounds)


def test_a_circle_that_is_broken(stub: Stub, insights: Insights) -> None:
    """Is a chain with an orphan at its top."""
    made = circle(stub, 3)
    delete(stub, made[0])

    answer = check_tree(stub, insights, made[2])

    assert ids(answer.ancestors) == [made[1]]
    assert marked(answer, "is_orphan") == [made[1]]
    assert not marked(answer, "is_circular")


def test_any_forest(stub: Stub, insights: Insights, server: RunningServer, loop: LoopThread) -> None:
    """Of runs that were created, deleted, created again elsewhere, archived and finished, at random."""
    numbers = random.Random(11)
    made = chain(stub, 2)
    for _ in range(120):
        run_id = numbers.choice(made)
        chance = numbers.random()
        living = forest(stub).runs
        if run_id not in living:
            create(
                stub, run_id=run_id, parent=numbers.choice([None, *(each for each in made if each in living)])
            )
        elif chance < 0.35:
            made.append(create(stub, parent=run_id).run_id)
        elif chance < 0.55:
            delete(stub, run_id)
        elif living[run_id].state == index_pb.RUN_STATE_ACTIVE:
            lead(stub, run_id, numbers.choice(STATES))
    living = forest(stub).runs
    assert len(living) > 15

    for run_id in living:
        bounds = {"max_depth": numbers.randint(1, 5), "max_runs": numbers.randint(1, 9)}
        check_tree(stub, insights, run_id, include_archived=numbers.random() < 0.5, **bounds)
        check_tree(stub, insights, run_id, max_depth=TREE_DEPTH_MAX, max_runs=TREE_RUNS_MAX)
    loop.run(check_store(server.store))


# Views, refusals, and what stays.


@pytest.mark.parametrize("view", [0, FULL, BASIC, ID_ONLY])
def test_views(stub: Stub, insights: Insights, view: Any) -> None:
    """Each run is cut as GetRun cuts it; what a node tells beside it is not."""
    top, middle, bottom = chain(stub, 3, metadata={"k": "v"}, tags=["t"])
    delete(stub, top)

    answer = tree(insights, middle, view=view)

    for node, run_id in ((answer.run, middle), (answer.descendants[0], bottom)):
        expected = stub.GetRun(index_pb.GetRunRequest(run_id=run_id, view=view)).run
        assert node.run == expected
        assert node.run.HasField("metadata") == (view in {0, FULL})
    assert answer.run.is_orphan
    assert states_of(answer.run) == [(index_pb.RUN_STATE_ACTIVE, 1)]
    answer = tree(insights, bottom, view=view)
    expected = stub.GetRun(index_pb.GetRunRequest(run_id=middle, view=view)).run
    assert [node.run for node in answer.ancestors] == [expected]
    assert answer.ancestors[0].is_orphan


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"run_id": ""}, "INVALID_RUN_ID", "run_id"),
        ({"run_id": "x", "max_depth": -1, "view": 9}, "INVALID_RUN_ID", "run_id"),
        ({"max_depth": -1}, "INVALID_FIELD", "max_depth"),
        ({"max_depth": -(2**31), "max_runs": -1, "view": 9}, "INVALID_FIELD", "max_depth"),
        ({"max_runs": -1, "view": 9}, "INVALID_FIELD", "max_runs"),
        ({"max_runs": -(2**31)}, "INVALID_FIELD", "max_runs"),
        ({"view": 4}, "INVALID_FIELD", "view"),
        ({"view": -1}, "INVALID_FIELD", "view"),
    ],
)
def test_requests_that_are_refused(
    insights: Insights, fields: dict[str, Any], reason: str, field: str
) -> None:
    """With the first field that is at fault, before the run is looked for."""
    request = pb.GetRunTreeRequest(**({"run_id": UNKNOWN_ID} | fields))

    check_refused(lambda: insights.GetRunTree(request), Code.INVALID_ARGUMENT, reason, field=field)


def test_a_run_that_does_not_exist(insights: Insights) -> None:
    """Has no tree."""
    check_refused(lambda: tree(insights, UNKNOWN_ID), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID)


@ON_DISK
def test_a_tree_outlives_a_restart(stub: Stub, insights: Insights, server: RunningServer) -> None:
    """Circles and counts included."""
    made = circle(stub, 3)
    close(stub, create(stub, parent=made[0]).run_id)
    before = tree(insights, made[1])

    server.restart()

    assert tree(server.insights_stub(), made[1]) == before
