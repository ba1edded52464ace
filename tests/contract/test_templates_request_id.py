"""Request ids of RunTemplates: a mutation that is sent again is answered again, and done once."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from tests.support import data_methods, methods
from tests.support.calls import (
    UNKNOWN_ID,
    Stub,
    archive,
    check_refused,
    create,
    fail,
    get_retention,
    list_ids,
    set_retention,
    struct,
    update,
)
from tests.support.calls import delete as delete_run
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import Data, revision_of
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import ON_DISK
from tests.support.template_methods import (
    CREATES,
    KEEP_ALL,
    MUTATIONS,
    SOURCE,
    Templates,
    build,
    call,
    clone,
    delete,
    everything,
    get,
    put,
    target,
)
from tests.support.together import together

every_mutation: Final = pytest.mark.parametrize("name", MUTATIONS)


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    loop.run(check_store(server.store))


@every_mutation
def test_a_replay_is_answered_and_changes_nothing(
    stub: Stub, templates: Templates, clock: ManualClock, name: str
) -> None:
    """The same request under the same id has the first answer, however often and however much later."""
    target(stub, templates)
    request = build(name, request_id="once")
    first = call(templates, name, request)
    after = everything(stub, templates)

    for _ in range(3):
        clock.advance(DAY_US // 4)
        assert call(templates, name, request) == first
    assert everything(stub, templates) == after


@pytest.mark.parametrize("name", CREATES)
@pytest.mark.parametrize("given", [False, True])
def test_a_replay_returns_the_first_id(stub: Stub, templates: Templates, name: str, *, given: bool) -> None:
    """Whether the caller gave it or the server made it; one run was created."""
    target(stub, templates)
    field = "run_id" if name == "CreateRunFromTemplate" else "new_run_id"
    fields = {field: UNKNOWN_ID} if given else {}
    request = build(name, request_id="once", **fields)
    before = len(list_ids(stub))

    made = {call(templates, name, request).run_id for _ in range(3)}

    assert len(made) == 1
    assert len(list_ids(stub)) == before + 1
    assert made <= set(list_ids(stub))
    assert not given or made == {UNKNOWN_ID}


@every_mutation
def test_the_same_request_many_times_at_once_is_done_once(
    stub: Stub, templates: Templates, name: str
) -> None:
    """All have the one answer."""
    target(stub, templates)
    request = build(name, request_id="once")
    before = revision_of(stub)

    answers = together([partial(call, templates, name, request)] * 8)

    assert answers == [answers[0]] * 8
    assert answers[0].revision == revision_of(stub) == before + 1


@every_mutation
def test_a_replay_outlives_what_comes_after(
    stub: Stub, templates: Templates, clock: ManualClock, name: str
) -> None:
    """Template and source changed, deleted and made again, and the run that was created likewise."""
    target(stub, templates)
    request = build(name, request_id="once")
    first = call(templates, name, request)

    def still_answered() -> None:
        clock.advance(SECOND_US)
        after = everything(stub, templates)
        assert call(templates, name, request) == first
        assert everything(stub, templates) == after

    put(templates, tags=["changed"], metadata={"changed": True}, retention=KEEP_ALL)
    update(stub, SOURCE, {"changed": True})
    set_retention(stub, SOURCE, KEEP_ALL)
    still_answered()
    archive(stub, SOURCE)
    still_answered()
    delete(templates)
    delete_run(stub, SOURCE)
    still_answered()
    if name in CREATES:
        fail(stub, first.run_id)
        still_answered()
        delete_run(stub, first.run_id)
        still_answered()
        assert first.run_id not in list_ids(stub)
        create(stub, run_id=first.run_id)
        still_answered()
    put(templates)
    create(stub, run_id=SOURCE)
    still_answered()


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("PutTemplate", Code.ABORTED, "TEMPLATE_VERSION_MISMATCH"),
        ("DeleteTemplate", Code.NOT_FOUND, "TEMPLATE_NOT_FOUND"),
    ],
)
def test_a_replay_comes_before_the_expected_version(
    stub: Stub, templates: Templates, name: str, code: Code, reason: str
) -> None:
    """Which is another by now."""
    target(stub, templates)
    request = build(name, request_id="once", expected_version=1)
    first = call(templates, name, request)

    assert call(templates, name, request) == first
    request.request_id = "another"
    check_refused(lambda: call(templates, name, request), code, reason)


def test_a_put_that_changes_nothing_is_remembered(stub: Stub, templates: Templates) -> None:
    """With the revision that it saw then."""
    target(stub, templates)
    again = build("PutTemplate", tags=["old"], metadata=struct({"text": "word"}), request_id="once")
    again.retention.keep_latest_n = 2
    first = call(templates, "PutTemplate", again)
    assert first.version == 1
    assert first.revision == revision_of(stub)
    put(templates, tags=["another"])

    assert call(templates, "PutTemplate", again) == first
    assert get(templates).version == 2


OTHERS: Final[dict[str, Any]] = {
    "name": "another",
    "run_id": UNKNOWN_ID,
    "parent_run_id": SOURCE,
    "new_run_id": UNKNOWN_ID,
    "metadata": struct({"text": "yet another"}),
    "tags": ["yet another"],
    "retention": index_pb.RetentionPolicy(keep_latest_n=9),
    "expected_version": 99,
}
"""For each field of a mutation a value that no other test of this module gives it."""


@every_mutation
def test_an_id_is_for_one_request(stub: Stub, templates: Templates, name: str) -> None:
    """A request that differs in any field is refused, with the id and the revision, and changes nothing."""
    target(stub, templates)
    request = build(name, request_id="once")
    call(templates, name, request)
    after = everything(stub, templates)
    fields = {field.name for field in request.DESCRIPTOR.fields} - {"request_id"}
    assert fields <= OTHERS.keys()

    for field in fields:
        refusal = check_refused(
            partial(call, templates, name, build(name, **{"request_id": "once", field: OTHERS[field]})),
            Code.INVALID_ARGUMENT,
            "REQUEST_ID_REUSED",
            field="request_id",
            requestId="once",
        )
        assert refusal.revision == after[0]
    assert everything(stub, templates) == after


@pytest.mark.parametrize(
    ("name", "field", "first", "second"),
    [
        ("PutTemplate", "retention", None, KEEP_ALL),
        ("PutTemplate", "expected_version", None, 1),
        ("PutTemplate", "tags", ["a", "b"], ["b", "a"]),
        ("PutTemplate", "name", "t", "T"),
        ("DeleteTemplate", "expected_version", None, 1),
        ("CreateRunFromTemplate", "metadata", None, struct({"a": None})),
        ("CreateRunFromTemplate", "retention", None, KEEP_ALL),
        ("CreateRunFromTemplate", "parent_run_id", None, "default"),
        ("CreateRunFromTemplate", "tags", [], ["old"]),
        ("CloneRun", "metadata", None, struct({"a": None})),
    ],
)
def test_near_requests_are_others(
    stub: Stub, templates: Templates, name: str, field: str, first: Any, second: Any
) -> None:
    """What differs in the least is another request, also when it would come to the same."""
    target(stub, templates)
    call(templates, name, build(name, **{"request_id": "once", field: first}))

    request = build(name, **{"request_id": "once", field: second})
    check_refused(lambda: call(templates, name, request), Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("name", "field", "spellings"),
    [
        ("CloneRun", "run_id", [SOURCE, SOURCE.upper(), SOURCE.replace("-", ""), f"{{{SOURCE}}}"]),
        ("CloneRun", "new_run_id", [UNKNOWN_ID, UNKNOWN_ID.upper(), f"urn:uuid:{UNKNOWN_ID}"]),
        ("CloneRun", "metadata", [None, Struct()]),
        ("CreateRunFromTemplate", "run_id", [UNKNOWN_ID, UNKNOWN_ID.upper(), f"urn:uuid:{UNKNOWN_ID}"]),
        ("CreateRunFromTemplate", "parent_run_id", [SOURCE, SOURCE.upper(), f"urn:uuid:{SOURCE}"]),
        ("CreateRunFromTemplate", "tags", [["a", "b"], ["a", "b", "a"]]),
        ("PutTemplate", "tags", [["a", "b"], ["a", "b", "a"]]),
        ("PutTemplate", "metadata", [None, Struct()]),
    ],
)
def test_every_spelling_makes_the_same_request(
    stub: Stub, templates: Templates, name: str, field: str, spellings: list[Any]
) -> None:
    """Requests are compared after canonicalisation."""
    target(stub, templates)

    answers = [
        call(templates, name, build(name, **{"request_id": "once", field: spelling}))
        for spelling in spellings
    ]

    assert answers == [answers[0]] * len(spellings)


@every_mutation
def test_an_id_is_for_one_method(stub: Stub, templates: Templates, data: Data, name: str) -> None:
    """No other method of any service takes it; nor does this one take one of theirs."""
    target(stub, templates)
    call(templates, name, build(name, request_id="once"))
    stub.PauseRun(index_pb.PauseRunRequest(run_id=SOURCE, request_id="twice"))
    after = everything(stub, templates)

    others: list[Any] = [
        partial(call, templates, other, build(other, request_id="once"))
        for other in MUTATIONS
        if other != name
    ]
    others += [
        partial(methods.call, stub, other, methods.build(other, SOURCE, request_id="once"))
        for other in methods.MUTATIONS
    ]
    others += [
        partial(data_methods.call, data, other, data_methods.build(other, SOURCE, request_id="once"))
        for other in data_methods.MUTATIONS
    ]
    others.append(partial(call, templates, name, build(name, request_id="twice")))
    for other in others:
        check_refused(other, Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert everything(stub, templates) == after


@pytest.mark.parametrize("name", ["DeleteTemplate", "CreateRunFromTemplate", "CloneRun"])
def test_refusals_are_not_remembered(stub: Stub, templates: Templates, name: str) -> None:
    """The same request is decided anew."""
    request = build(name, request_id="once")
    reason = "RUN_NOT_FOUND" if name == "CloneRun" else "TEMPLATE_NOT_FOUND"
    for _ in range(2):
        check_refused(lambda: call(templates, name, request), Code.NOT_FOUND, reason)
    target(stub, templates)

    first = call(templates, name, request)

    assert call(templates, name, request) == first


@every_mutation
def test_an_answer_is_remembered_for_24_hours(
    server: RunningServer, stub: Stub, templates: Templates, clock: ManualClock, name: str
) -> None:
    """To the last microsecond, whatever is purged in the background."""
    target(stub, templates)
    request = build(name, request_id="once")
    first = call(templates, name, request)
    after = everything(stub, templates)

    for step_us in (DAY_US // 2, DAY_US // 2 - 1, 1):
        clock.advance(step_us)
        server.run_jobs()
        assert call(templates, name, request) == first
    assert everything(stub, templates) == after


@pytest.mark.parametrize("name", CREATES)
def test_without_an_id_nothing_is_remembered(stub: Stub, templates: Templates, name: str) -> None:
    """The same request again creates another run."""
    target(stub, templates)
    first, second = (call(templates, name, build(name)) for _ in range(2))

    assert first.run_id != second.run_id
    assert first.revision < second.revision
    assert {first.run_id, second.run_id} <= set(list_ids(stub))


@ON_DISK
@every_mutation
def test_an_answer_outlives_a_restart(
    server: RunningServer, stub: Stub, templates: Templates, name: str
) -> None:
    """It was written with the change itself."""
    target(stub, templates)
    request = build(name, request_id="once")
    first = call(templates, name, request)
    after = everything(stub, templates)

    server.restart()

    assert call(server.templates_stub(), name, request) == first
    assert everything(server.stub(), server.templates_stub()) == after


def test_a_remembered_answer_holds_nothing_of_a_deleted_run(stub: Stub, templates: Templates) -> None:
    """A replay of what created a run tells its id, create time and revision, and GetRun nothing."""
    target(stub, templates)
    request = build("CloneRun", request_id="once")
    run_id = call(templates, "CloneRun", request).run_id
    copy = clone(templates, run_id).run_id
    delete_run(stub, run_id)

    replayed = call(templates, "CloneRun", request)

    assert {field.name for field, _ in replayed.ListFields()} == {"run_id", "create_time", "revision"}
    check_refused(lambda: get_retention(stub, run_id), Code.NOT_FOUND, "RUN_NOT_FOUND")
    check_refused(lambda: clone(templates, run_id), Code.NOT_FOUND, "RUN_NOT_FOUND")
    assert copy in list_ids(stub)
