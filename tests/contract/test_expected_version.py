"""Conditional mutations: applied only while the run has the version that the caller knows."""

from typing import Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex_server.limits import TAGS_MAX
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Stub,
    archive,
    check_refused,
    close,
    create,
    create_in,
    delete,
    get,
    get_retention,
    set_retention,
)
from tests.support.methods import (
    CHANGES,
    CREATES,
    IDLE_ABLE,
    KEEP_3,
    LIFECYCLE,
    build,
    build_idle,
    call,
    request_type,
    target,
)
from tests.support.stores import IN_MEMORY

every_change: Final = pytest.mark.parametrize("name", CHANGES)


def check_mismatch(stub: Stub, name: str, run_id: str, expected: int, current: int, **fields: object) -> None:
    """Check that a change is refused for its expected version, with both versions and the revision."""
    request = build(name, run_id, expected_version=expected, **fields)
    refusal = check_refused(
        lambda: call(stub, name, request),
        Code.ABORTED,
        "VERSION_MISMATCH",
        runId=run_id,
        expectedVersion=str(expected),
        currentVersion=str(current),
    )
    assert refusal.revision == stub.RunExists(pb.RunExistsRequest(run_id=run_id)).revision


@every_change
def test_the_right_version_is_taken(stub: Stub, name: str) -> None:
    """And moves on by one, so that it is right once."""
    run_id = target(stub, name)
    version = get(stub, run_id).version
    request = build(name, run_id, expected_version=version)

    answer = call(stub, name, request)

    if name == "DeleteRun":
        check_refused(lambda: call(stub, name, request), Code.NOT_FOUND, "RUN_NOT_FOUND")
    else:
        assert answer.version == version + 1
    if name in IDLE_ABLE:
        check_mismatch(stub, name, run_id, version, version + 1)


@every_change
def test_every_other_version_is_refused(stub: Stub, name: str) -> None:
    """Older, newer, and 0, which is a version and not the absence of one; nothing is changed."""
    run_id = target(stub, name)
    before = get(stub, run_id)

    for expected in (0, before.version - 1, before.version + 1, 2**64 - 1):
        check_mismatch(stub, name, run_id, expected, before.version)
    assert get(stub, run_id) == before
    assert get_retention(stub, run_id) == KEEP_3


@pytest.mark.parametrize("name", IDLE_ABLE)
def test_a_call_without_a_change_has_its_condition_too(stub: Stub, name: str) -> None:
    """With the right version it changes nothing; with another it is refused."""
    run_id = target(stub, name)
    before = get(stub, run_id)

    right = build_idle(name, run_id, expected_version=before.version)
    assert call(stub, name, right).version == before.version
    wrong = build_idle(name, run_id, expected_version=before.version + 1)
    check_refused(lambda: call(stub, name, wrong), Code.ABORTED, "VERSION_MISMATCH")
    assert get(stub, run_id) == before


@pytest.mark.parametrize("name", CREATES)
def test_creates_have_no_condition(name: str) -> None:
    """There is no version before the first."""
    assert "expected_version" not in request_type(name).DESCRIPTOR.fields_by_name  # type: ignore[attr-defined] # a message


@IN_MEMORY
@every_change
def test_a_missing_run_comes_first(stub: Stub, name: str) -> None:
    """A run that does not exist has no version."""
    request = build(name, UNKNOWN_ID, expected_version=7)

    check_refused(lambda: call(stub, name, request), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID)


@pytest.mark.parametrize("name", [*LIFECYCLE, "DeleteRun"])
def test_the_protection_of_the_default_run_comes_first(stub: Stub, name: str) -> None:
    """It holds at every version."""
    request = build(name, DEFAULT, expected_version=7)

    check_refused(lambda: call(stub, name, request), Code.FAILED_PRECONDITION, "DEFAULT_RUN_PROTECTED")


@pytest.mark.parametrize("name", ["UpdateRunMetadata", "AddRunTags", "RemoveRunTags"])
def test_an_archived_run_comes_first(stub: Stub, name: str) -> None:
    """A frozen record is frozen at every version."""
    run = create_in(stub, pb.RUN_STATE_ARCHIVED, tags=["old"])
    request = build(name, run.run_id, expected_version=run.version + 7)

    check_refused(lambda: call(stub, name, request), Code.FAILED_PRECONDITION, "RUN_ARCHIVED")


@pytest.mark.parametrize("name", LIFECYCLE)
def test_the_version_comes_before_the_transition(stub: Stub, name: str) -> None:
    """A caller who does not know the run's version does not know its state either."""
    run_id = create_in(stub, pb.RUN_STATE_ARCHIVED).run_id

    check_mismatch(stub, name, run_id, 1, 2)

    request = build(name, run_id, expected_version=2)
    check_refused(lambda: call(stub, name, request), Code.FAILED_PRECONDITION, "INVALID_STATE_TRANSITION")


def test_the_version_comes_before_a_limit(stub: Stub) -> None:
    """A caller who does not know what is stored cannot know that it is full."""
    run_id = create(stub, tags=[f"t{place}" for place in range(TAGS_MAX)]).run_id

    check_mismatch(stub, "AddRunTags", run_id, 7, 1)

    request = build("AddRunTags", run_id, expected_version=1)
    check_refused(lambda: stub.AddRunTags(request), Code.FAILED_PRECONDITION, "LIMIT_EXCEEDED")


def test_the_default_run_has_versions_too(stub: Stub) -> None:
    """What it allows can be made conditional."""
    request = build("AddRunTags", DEFAULT, expected_version=1)

    assert stub.AddRunTags(request).version == 2
    check_mismatch(stub, "AddRunTags", DEFAULT, 1, 2)


def test_a_run_created_again_starts_again(stub: Stub) -> None:
    """A version that was reached once is not reached by another run of the id."""
    run_id = create(stub).run_id
    close(stub, run_id)
    archive(stub, run_id)
    delete(stub, run_id)
    create(stub, run_id=run_id)

    check_mismatch(stub, "CloseRun", run_id, 3, 1)
    assert stub.CloseRun(build("CloseRun", run_id, expected_version=1)).version == 2


def test_changes_of_other_runs_do_not_matter(stub: Stub) -> None:
    """A version is the run's own, unlike a revision."""
    parent = create(stub).run_id
    child = create(stub, parent=parent).run_id
    set_retention(stub, child, KEEP_3)
    close(stub, child)

    assert stub.CloseRun(build("CloseRun", parent, expected_version=1)).version == 2
