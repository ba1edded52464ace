"""Request ids: a mutation that is sent again is answered again, and done once."""

from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support import methods
from tests.support.calls import (
    DEFAULT,
    UNKNOWN_ID,
    Restart,
    Stub,
    add_tags,
    archive,
    check_refused,
    close,
    create,
    delete,
    get,
    get_retention,
    list_ids,
    pause,
    remove_tags,
    resume,
    struct,
    update,
)
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.methods import CHANGES, CREATES, IDLE_ABLE, MUTATIONS, build, build_idle, call, raw, target
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK

every_mutation: Final = pytest.mark.parametrize("name", MUTATIONS)


def everything(stub: Stub) -> list[Any]:
    """Return all that a caller can see of the store, its revision included."""
    listed = stub.ListRuns(pb.ListRunsRequest(include_archived=True))
    return [listed, [get_retention(stub, run.run_id) for run in listed.runs]]


@every_mutation
def test_a_replay_is_answered_and_changes_nothing(stub: Stub, clock: ManualClock, name: str) -> None:
    """The same request under the same id has the first answer, however often and however much later."""
    request = build(name, target(stub, name), request_id="once")
    first = call(stub, name, request)
    after = everything(stub)

    for _ in range(3):
        clock.advance(SECOND_US)
        assert call(stub, name, request) == first
    assert everything(stub) == after


@every_mutation
def test_a_replay_outlives_what_comes_after(stub: Stub, name: str) -> None:
    """Even when the run has been changed and deleted since: the answer comes back, and nothing else does."""
    run_id = target(stub, name)
    request = build(name, run_id, request_id="once")
    first = call(stub, name, request)
    made = first.run.run_id if name in CREATES else run_id
    if name not in {"DeleteRun", "ArchiveRun"}:
        add_tags(stub, made, "later")
    if name != "DeleteRun":
        delete(stub, made)
    create(stub)
    after = everything(stub)

    assert call(stub, name, request) == first

    assert everything(stub) == after
    assert not stub.RunExists(pb.RunExistsRequest(run_id=made)).exists


@pytest.mark.parametrize("name", CREATES)
def test_a_create_after_its_run_was_created_again(stub: Stub, name: str) -> None:
    """The answer is the first one's, and the run is the later one's."""
    parent = create(stub).run_id
    request = build(name, parent, run_id=UNKNOWN_ID, tags=["first"], request_id="once")
    first = call(stub, name, request)
    delete(stub, UNKNOWN_ID)
    second = create(stub, run_id=UNKNOWN_ID, tags=["second"])

    assert call(stub, name, request) == first
    assert get(stub, UNKNOWN_ID) == second


@pytest.mark.parametrize("name", CREATES)
def test_a_create_is_answered_whole(stub: Stub, name: str) -> None:
    """With the id that the server made, tags, metadata and times."""
    request = build(
        name, DEFAULT, tags=["b", "a"], metadata=struct({"k": {"deep": [1, None]}}), request_id="once"
    )

    first = call(stub, name, request)

    assert call(stub, name, request).run == first.run == get(stub, first.run.run_id)
    assert list_ids(stub) == [first.run.run_id, DEFAULT]


OTHERS: Final[dict[str, Any]] = {
    "run_id": UNKNOWN_ID,
    "parent_run_id": UNKNOWN_ID,
    "metadata": struct({"k": "another"}),
    "tags": ["another"],
    "error": "another",
    "merge": True,
    "expected_version": 99,
    "policy": pb.RetentionPolicy(keep_duration=Duration(seconds=99)),
}
"""For each field of a mutation a value that no other test of this module gives it."""


@every_mutation
def test_an_id_is_for_one_request(stub: Stub, name: str) -> None:
    """A request that differs in any field is refused, with the id and the revision, and changes nothing."""
    request = build(name, target(stub, name), request_id="once")
    call(stub, name, request)
    after = everything(stub)
    fields = {field.name for field in request.DESCRIPTOR.fields} - {"request_id"}
    assert fields <= OTHERS.keys()

    for field in fields:
        other = type(request)()
        other.CopyFrom(request)
        other.ClearField(field)
        other.MergeFrom(type(request)(**{field: OTHERS[field]}))
        refusal = check_refused(
            lambda other=other: call(stub, name, other),
            Code.INVALID_ARGUMENT,
            "REQUEST_ID_REUSED",
            field="request_id",
            requestId="once",
        )
        assert refusal.revision == after[0].revision
    assert everything(stub) == after


@every_mutation
def test_an_id_is_for_one_method(stub: Stub, name: str) -> None:
    """No other method takes it, not even for the same run."""
    run_id = target(stub, name)
    call(stub, name, build(name, run_id, request_id="once"))
    after = everything(stub)

    for other in MUTATIONS:
        if other != name:
            check_refused(
                lambda other=other: call(stub, other, build(other, run_id, request_id="once")),
                Code.INVALID_ARGUMENT,
                "REQUEST_ID_REUSED",
            )
    assert everything(stub) == after


@pytest.mark.parametrize(
    ("first", "second"), [("a", "A"), ("a", "a "), ("é", "e\u0301"), ("a", "a\x00"), ("a", "aa"), ("1", "01")]
)
def test_ids_are_compared_exactly(stub: Stub, first: str, second: str) -> None:
    """Neither case nor form nor a beginning makes two ids one."""
    made = {stub.CreateRun(pb.CreateRunRequest(request_id=each)).run.run_id for each in (first, second)}

    assert len(made) == 2


def test_requests_are_compared_after_canonicalisation(stub: Stub) -> None:
    """Another spelling of an id, a repeated tag and empty metadata make no other request."""
    run_id = create(stub).run_id
    spellings: list[list[tuple[str, dict[str, Any]]]] = [
        [("CloseRun", {"run_id": each}) for each in (run_id, run_id.upper(), f"{{{run_id}}}")],
        [
            ("CreateChildRun", {"parent_run_id": parent, "run_id": child})
            for parent, child in ((run_id, UNKNOWN_ID), (run_id.upper(), UNKNOWN_ID.replace("-", "")))
        ],
        [("AddRunTags", {"run_id": run_id, "tags": tags}) for tags in (["a", "b"], ["a", "b", "a"])],
        [("CreateRun", {"metadata": metadata}) for metadata in (None, struct({}))],
    ]
    for place, requests in enumerate(spellings):
        answers = [
            call(stub, name, methods.request_type(name)(**fields, request_id=f"id-{place}"))
            for name, fields in requests
        ]
        assert all(answer == answers[0] for answer in answers)


def test_the_order_of_metadata_keys_does_not_matter(channel: grpc.Channel) -> None:
    """A map has no order, so it makes no other request on the wire."""
    entries = [struct({key: value}).SerializeToString() for key, value in (("a", 1), ("b", 2), ("c", 3))]
    rest = pb.CreateRunRequest(request_id="once").SerializeToString()
    made = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        metadata = b"".join(entries[place] for place in order)
        made.add(raw(channel, "CreateRun")(b"\x12" + bytes([len(metadata)]) + metadata + rest).run.run_id)

    assert len(made) == 1


@every_mutation
def test_refusals_are_not_remembered(stub: Stub, name: str) -> None:
    """The same request is decided anew, and the id may be used for another."""
    missing = build(name, UNKNOWN_ID, request_id="once")
    if name == "CreateRun":
        missing.run_id = DEFAULT
    with pytest.raises(grpc.RpcError):
        call(stub, name, missing)

    request = build(name, target(stub, name), request_id="once")
    first = call(stub, name, request)

    assert call(stub, name, request) == first


def test_a_refused_request_succeeds_when_its_cause_is_gone(stub: Stub) -> None:
    """Under the same id, and is remembered from then on."""
    run_id = create(stub).run_id
    pause(stub, run_id)
    request = pb.CloseRunRequest(run_id=run_id, request_id="once")
    for _ in range(2):
        check_refused(lambda: stub.CloseRun(request), Code.FAILED_PRECONDITION, "INVALID_STATE_TRANSITION")
    resume(stub, run_id)

    first = stub.CloseRun(request)

    assert first.version == 4
    assert stub.CloseRun(request) == first


@pytest.mark.parametrize("name", IDLE_ABLE)
def test_answers_without_a_change_are_remembered(stub: Stub, name: str) -> None:
    """A replay does not do later what there was no need to do at first."""
    run_id = target(stub, name)
    request = build_idle(name, run_id, request_id="once")
    first = call(stub, name, request)
    assert first.version == get(stub, run_id).version
    update(stub, run_id, {})
    remove_tags(stub, run_id, "old")
    add_tags(stub, run_id, "absent")
    stub.SetRunRetention(
        pb.SetRunRetentionRequest(run_id=run_id, policy=pb.RetentionPolicy(keep_all=pb.KeepAll()))
    )
    after = everything(stub)

    assert call(stub, name, request) == first
    assert everything(stub) == after


@pytest.mark.parametrize("name", CHANGES)
def test_a_replay_comes_before_every_check(stub: Stub, name: str) -> None:
    """Neither a version that is old by now, nor an archived run, nor a missing one stands in its way."""
    run_id = target(stub, name)
    request = build(name, run_id, request_id="once", expected_version=get(stub, run_id).version)
    first = call(stub, name, request)
    assert call(stub, name, request) == first

    if name not in {"DeleteRun", "ArchiveRun"}:
        archive(stub, run_id)
        assert call(stub, name, request) == first
    if name != "DeleteRun":
        delete(stub, run_id)
    assert call(stub, name, request) == first


@pytest.mark.parametrize("name", CHANGES)
def test_a_used_id_comes_before_every_check(stub: Stub, name: str) -> None:
    """It is refused as such on the default run, on a missing run and on a wrong version alike."""
    stub.CreateRun(pb.CreateRunRequest(request_id="once"))
    archived = create(stub).run_id
    archive(stub, archived)

    for run_id in (DEFAULT, UNKNOWN_ID, archived):
        request = build(name, run_id, request_id="once", expected_version=99)
        check_refused(
            lambda request=request: call(stub, name, request), Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"
        )


@pytest.mark.parametrize("name", [*CHANGES, "CreateChildRun"])
def test_arguments_come_before_a_replay(stub: Stub, name: str) -> None:
    """A request that could never have been accepted is refused for what it is."""
    run_id = target(stub, name)
    call(stub, name, build(name, run_id, request_id="once"))

    request = build(name, "nonsense", request_id="once")
    check_refused(lambda: call(stub, name, request), Code.INVALID_ARGUMENT, "INVALID_RUN_ID")


@every_mutation
def test_an_answer_is_remembered_for_24_hours(
    server: RunningServer, stub: Stub, clock: ManualClock, name: str
) -> None:
    """To the last microsecond, whatever is purged in the background."""
    request = build(name, target(stub, name), request_id="once")
    first = call(stub, name, request)

    for step_us in (DAY_US // 2, DAY_US // 2 - 1, 1):
        clock.advance(step_us)
        server.run_jobs()
        assert call(stub, name, request) == first


@ON_DISK
@every_mutation
def test_an_answer_outlives_a_restart(stub: Stub, restart: Restart, name: str) -> None:
    """It was written with the change itself."""
    request = build(name, target(stub, name), request_id="once")
    first = call(stub, name, request)
    after = everything(stub)

    again = restart()

    assert call(again, name, request) == first
    assert everything(again) == after


@every_mutation
def test_without_an_id_nothing_is_remembered(stub: Stub, name: str) -> None:
    """The same request again is a new request."""
    request = build(name, target(stub, name))
    first = call(stub, name, request)

    try:
        second = call(stub, name, request)
    except grpc.RpcError as refused:
        if refused.code() not in {Code.NOT_FOUND, Code.FAILED_PRECONDITION}:
            raise
    else:
        assert name in {*CREATES, *IDLE_ABLE}
        assert (second == first) == (name in IDLE_ABLE)


def test_replays_take_nothing_from_other_ids(stub: Stub) -> None:
    """Many ids, each with its own answer, in any order."""
    requests = [pb.CreateRunRequest(tags=[f"t{place}"], request_id=f"id-{place}") for place in range(30)]
    answers = [stub.CreateRun(request) for request in requests]
    for run in answers[::3]:
        close(stub, run.run.run_id)

    for request, answer in reversed(list(zip(requests, answers, strict=True))):
        assert stub.CreateRun(request) == answer
    assert len(list_ids(stub)) == 31
