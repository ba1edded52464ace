"""Tags: the tests that the RunIndex plan names, and ours beside them."""

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Change,
    Restart,
    Stub,
    add_tags,
    by_tag,
    check_refused,
    create,
    create_in,
    get,
    micros,
    remove_tags,
)
from tests.support.clock import SECOND_US, ManualClock
from tests.support.stores import IN_MEMORY, ON_DISK


def tags_of(stub: Stub, run_id: str) -> list[str]:
    """Return a run's tags."""
    return list(stub.GetRunTags(pb.GetRunTagsRequest(run_id=run_id)).tags)


def test_add_tags(stub: Stub, clock: ManualClock) -> None:
    """New tags stand after those that were there; version, update time and revision move, nothing else."""
    run = create(stub, tags=["b"], metadata={"k": 1})
    now_us = clock.advance(SECOND_US)

    answer = add_tags(stub, run.run_id, "c", "a")

    assert answer.version == 2
    assert answer.revision > run.revision
    assert micros(answer.update_time) == now_us
    expected = pb.Run()
    expected.CopyFrom(run)
    expected.tags.extend(["c", "a"])
    expected.version = 2
    expected.revision = answer.revision
    expected.update_time.CopyFrom(answer.update_time)
    assert get(stub, run.run_id) == expected


def test_add_duplicate_tags_ignored(stub: Stub, clock: ManualClock) -> None:
    """A tag that is there keeps its place, and a call that adds none changes nothing."""
    run = create(stub, tags=["b", "a"])
    other = create(stub)
    clock.advance(SECOND_US)

    idle = add_tags(stub, run.run_id, "a", "b", "a")

    assert (idle.version, idle.update_time, idle.revision) == (1, run.update_time, other.revision)
    assert get(stub, run.run_id) == run
    assert add_tags(stub, run.run_id, "a", "c", "b", "c").version == 2
    assert tags_of(stub, run.run_id) == ["b", "a", "c"]


def test_remove_tags(stub: Stub, clock: ManualClock) -> None:
    """The others keep their order; a tag that is added again stands last."""
    run = create(stub, tags=["d", "c", "b", "a"])
    now_us = clock.advance(SECOND_US)

    answer = remove_tags(stub, run.run_id, "a", "c")

    assert answer.version == 2
    assert answer.revision > run.revision
    assert micros(answer.update_time) == now_us
    assert tags_of(stub, run.run_id) == ["d", "b"]
    add_tags(stub, run.run_id, "c")
    assert tags_of(stub, run.run_id) == ["d", "b", "c"]


def test_remove_nonexistent_tags_ignored(stub: Stub, clock: ManualClock) -> None:
    """Tags that are not there are ignored, and a call that removes none changes nothing."""
    run = create(stub, tags=["a"])
    other = create(stub)
    clock.advance(SECOND_US)

    idle = remove_tags(stub, run.run_id, "absent", "A", "a ")

    assert (idle.version, idle.update_time, idle.revision) == (1, run.update_time, other.revision)
    assert get(stub, run.run_id) == run
    assert remove_tags(stub, run.run_id, "absent", "a", "a").version == 2
    assert tags_of(stub, run.run_id) == []


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_get_tags(stub: Stub, state: int) -> None:
    """Tags are read in every state, in the order in which they were added."""
    run = create_in(stub, state, tags=["z", "a", "m"])

    answer = stub.GetRunTags(pb.GetRunTagsRequest(run_id=run.run_id))

    assert list(answer.tags) == ["z", "a", "m"]
    assert answer.revision == run.revision


def test_get_tags_empty(stub: Stub) -> None:
    """A run without tags has an empty list; a missing run has none."""
    assert tags_of(stub, create(stub).run_id) == []

    check_refused(lambda: tags_of(stub, UNKNOWN_ID), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID)


def test_tags_query_integration(stub: Stub) -> None:
    """A run is found by each tag from the moment that it has it until it has it no more."""
    first = create(stub, tags=["a"]).run_id
    second = create(stub).run_id
    assert by_tag(stub, "a") == [first]

    add_tags(stub, second, "a", "b")
    assert by_tag(stub, "a") == [second, first]
    assert by_tag(stub, "b") == [second]

    remove_tags(stub, first, "a")
    assert by_tag(stub, "a") == [second]
    assert by_tag(stub, "b") == [second]


@ON_DISK
def test_tags_persist_across_restart(stub: Stub, restart: Restart) -> None:
    """Order and index outlive the server."""
    run_id = create(stub, tags=["b", "a"]).run_id
    add_tags(stub, run_id, "c")
    remove_tags(stub, run_id, "a")

    again = restart()

    assert tags_of(again, run_id) == ["b", "c"]
    assert by_tag(again, "c") == [run_id]
    assert by_tag(again, "a") == []


# Beside the plan's.


@pytest.mark.parametrize("state", STATES[:-1], ids=pb.RunState.Name)
def test_tags_are_taken_in_every_state_but_archived(stub: Stub, state: int) -> None:
    """Finished runs still take tags, and stay finished."""
    run = create_in(stub, state, tags=["old"])

    assert add_tags(stub, run.run_id, "new").version == run.version + 1
    assert remove_tags(stub, run.run_id, "old").version == run.version + 2

    after = get(stub, run.run_id)
    assert (after.state, after.outcome, after.end_time) == (run.state, run.outcome, run.end_time)
    assert list(after.tags) == ["new"]


def test_tags_of_an_archived_run_are_frozen(stub: Stub) -> None:
    """Also when the call would change nothing."""
    run = create_in(stub, pb.RUN_STATE_ARCHIVED, tags=["a"])

    for change, tag in ((add_tags, "b"), (add_tags, "a"), (remove_tags, "a"), (remove_tags, "absent")):
        refusal = check_refused(
            lambda change=change, tag=tag: change(stub, run.run_id, tag),
            Code.FAILED_PRECONDITION,
            "RUN_ARCHIVED",
            runId=run.run_id,
        )
        assert refusal.revision == run.revision
    assert get(stub, run.run_id) == run


def test_tags_of_the_default_run(stub: Stub) -> None:
    """The default run takes tags like any other."""
    assert add_tags(stub, DEFAULT, "a").version == 2
    assert by_tag(stub, "a") == [DEFAULT]
    assert remove_tags(stub, DEFAULT, "a").version == 3


@pytest.mark.parametrize("change", [add_tags, remove_tags])
def test_an_empty_list_of_tags_is_refused(stub: Stub, change: Change) -> None:
    """A call without tags is a mistake."""
    run_id = create(stub).run_id

    check_refused(lambda: change(stub, run_id), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="tags")


@pytest.mark.parametrize("change", [add_tags, remove_tags])
def test_one_bad_tag_refuses_the_call(stub: Stub, change: Change) -> None:
    """Nothing is added or removed when one tag is refused."""
    run = create(stub, tags=["a"])

    check_refused(lambda: change(stub, run.run_id, "a", "b", ""), Code.INVALID_ARGUMENT, "INVALID_TAG")

    assert get(stub, run.run_id) == run


@IN_MEMORY
@pytest.mark.parametrize(
    "tag", ["", "\x00", "a\tb", "line\n", "\x1f", "\x7f", "\x80", "\u009f", "x" * 129, "ü" * 65]
)
def test_a_tag_out_of_bounds_is_refused_everywhere(stub: Stub, tag: str) -> None:
    """Empty, with a control character (Unicode Cc), or longer than 128 bytes of UTF-8."""
    run_id = create(stub).run_id
    bounds = {"tagBytesMax": "128", "tagsMax": "64"}

    for call in (
        lambda: create(stub, tags=["fine", tag]),
        lambda: create(stub, parent=DEFAULT, tags=["fine", tag]),
        lambda: add_tags(stub, run_id, "fine", tag),
        lambda: remove_tags(stub, run_id, "fine", tag),
    ):
        refusal = check_refused(call, Code.INVALID_ARGUMENT, "INVALID_TAG", **bounds)
        assert refusal.metadata["field"].startswith("tags")


@pytest.mark.parametrize(
    "tag",
    [
        " ",
        "a b",
        "  padded  ",
        "a:b",
        '"quoted"',
        "ü" * 64,
        "🚀",
        "\u200b",
        "\u2028",
        "__idx_by-tag__a__",
        "-",
    ],
)
def test_every_other_tag_is_kept_as_it_is(stub: Stub, tag: str) -> None:
    """Tags are neither trimmed nor folded nor normalised."""
    run_id = create(stub, tags=[tag]).run_id

    assert tags_of(stub, run_id) == [tag]
    assert by_tag(stub, tag) == [run_id]


def test_tags_that_begin_alike_are_apart(stub: Stub) -> None:
    """No tag's listing holds runs of a tag that only begins with it."""
    made = {tag: create(stub, tags=[tag]).run_id for tag in ("a", "a_", "aa", "a b", "b", "a\u00ff")}

    for tag, run_id in made.items():
        assert by_tag(stub, tag) == [run_id]
