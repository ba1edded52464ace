"""The default run: always there, immortal, and otherwise a run like any other."""

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    Restart,
    Stub,
    add_tags,
    by_state,
    by_tag,
    check_refused,
    children,
    count,
    create,
    delete,
    get,
    get_retention,
    list_ids,
    micros,
    remove_tags,
    search_ids,
    set_retention,
    struct,
    update,
)
from tests.support.clock import DAY_US, START_US, ManualClock
from tests.support.methods import KEEP_3, NEEDS_THE_RUN, build, call
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK

PROTECTED = ("CloseRun", "PauseRun", "ResumeRun", "FailRun", "CancelRun", "ArchiveRun", "DeleteRun")


def test_it_was_created_with_the_store(stub: Stub) -> None:
    """Before every other run, by the store's clock."""
    run = get(stub, DEFAULT)
    other = create(stub)

    assert START_US <= micros(run.create_time) < micros(other.create_time)
    assert run.update_time == run.create_time
    assert run.revision < other.revision


def test_it_carries_metadata(stub: Stub) -> None:
    """One version for each change."""
    assert update(stub, DEFAULT, {"k": "word"}).version == 2
    assert update(stub, DEFAULT, {"n": 1}, merge=True).version == 3

    assert get(stub, DEFAULT).metadata == struct({"k": "word", "n": 1})
    assert search_ids(stub, "word") == [DEFAULT]


def test_it_carries_tags(stub: Stub) -> None:
    """And is found by them, without an id that a caller could not use."""
    add_tags(stub, DEFAULT, "a", "b")
    remove_tags(stub, DEFAULT, "a")

    assert list(get(stub, DEFAULT).tags) == ["b"]
    assert by_tag(stub, "b") == search_ids(stub, "tag:b") == [DEFAULT]
    assert by_tag(stub, "a") == []


def test_it_has_children(stub: Stub) -> None:
    """Which outlive nothing, as it never goes."""
    made = [create(stub, parent=DEFAULT).run_id for _ in range(2)]

    assert children(stub, DEFAULT) == search_ids(stub, "parent:default") == made[::-1]
    assert get(stub, made[0]).parent_run_id == DEFAULT


def test_it_carries_a_policy(stub: Stub) -> None:
    """Any but the one that would delete it."""
    set_retention(stub, DEFAULT, KEEP_3)

    assert get_retention(stub, DEFAULT) == KEEP_3


@pytest.mark.parametrize("name", PROTECTED)
def test_it_is_protected_in_every_condition(stub: Stub, name: str) -> None:
    """Whatever it carries, and with or without a condition and a request id."""
    add_tags(stub, DEFAULT, "old")
    create(stub, parent=DEFAULT)
    before = get(stub, DEFAULT)

    for fields in ({}, {"expected_version": before.version}, {"request_id": "once"}, {"request_id": "once"}):
        request = build(name, DEFAULT, **fields)
        check_refused(
            lambda request=request: call(stub, name, request),
            Code.FAILED_PRECONDITION,
            "DEFAULT_RUN_PROTECTED",
            runId=DEFAULT,
            operation=name.removesuffix("Run").lower(),
        )
    assert get(stub, DEFAULT) == before


@pytest.mark.parametrize("name", [name for name in NEEDS_THE_RUN if name not in PROTECTED])
def test_everything_else_works_on_it(stub: Stub, name: str) -> None:
    """As on a run that somebody created."""
    add_tags(stub, DEFAULT, "old")

    call(stub, name, build(name, DEFAULT))


@pytest.mark.parametrize("parent", [None, DEFAULT])
def test_it_cannot_be_created(stub: Stub, parent: str | None) -> None:
    """Neither as a root nor as a child."""
    refusal = check_refused(
        lambda: create(stub, run_id=DEFAULT, parent=parent, tags=["t"]),
        Code.ALREADY_EXISTS,
        "RUN_ALREADY_EXISTS",
        runId=DEFAULT,
    )

    assert refusal.revision == get(stub, DEFAULT).revision
    assert by_tag(stub, "t") == []


def test_it_is_the_last_of_every_listing(stub: Stub) -> None:
    """It is the oldest run, and counted with the others."""
    made = [create(stub).run_id for _ in range(3)]

    assert list_ids(stub) == by_state(stub, pb.RUN_STATE_ACTIVE) == [*reversed(made), DEFAULT]
    assert count(stub) == 4
    for run_id in made:
        delete(stub, run_id)
    assert list_ids(stub, include_archived=True) == [DEFAULT]
    assert count(stub, include_archived=True) == 1


def test_it_outlives_all_background_work(server: RunningServer, stub: Stub, clock: ManualClock) -> None:
    """However long it is left alone."""
    before = get(stub, DEFAULT)
    clock.advance(1_000 * DAY_US)

    server.run_jobs()

    assert get(stub, DEFAULT) == before


@ON_DISK
def test_a_restart_does_not_make_it_anew(stub: Stub, restart: Restart) -> None:
    """It keeps what it carries."""
    update(stub, DEFAULT, {"k": 1})
    add_tags(stub, DEFAULT, "t")
    before = get(stub, DEFAULT)

    again = restart()

    assert get(again, DEFAULT) == before
    assert list_ids(again) == [DEFAULT]
