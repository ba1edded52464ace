"""Request ids of RunData: a write that is sent again is answered again, and done once."""

from functools import partial
from typing import Any, Final

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support import methods
from tests.support.calls import DEFAULT, UNKNOWN_ID, Stub, archive, check_refused, create, delete
from tests.support.clock import DAY_US, SECOND_US, ManualClock
from tests.support.data_calls import Data, draft, fill, held_by, json_value, revision_of, value
from tests.support.data_methods import MUTATIONS, VERSIONED, build, call, give, raw, target
from tests.support.server import RunningServer
from tests.support.stores import ON_DISK

every_mutation: Final = pytest.mark.parametrize("name", MUTATIONS)


def everything(stub: Stub, data: Data, run_id: str) -> list[Any]:
    """Return all that a caller can see of a run and of what it holds, and the store's revision."""
    run = stub.GetRun(index_pb.GetRunRequest(run_id=run_id))
    return [run, revision_of(stub), held_by(data, run_id)]


@every_mutation
def test_a_replay_is_answered_and_changes_nothing(
    stub: Stub, data: Data, clock: ManualClock, name: str
) -> None:
    """The same request under the same id has the first answer, however often and however much later."""
    run_id = target(stub, data)
    request = build(name, run_id, request_id="once")
    first = call(data, name, request)
    after = everything(stub, data, run_id)

    for _ in range(3):
        clock.advance(DAY_US // 4)
        assert call(data, name, request) == first
    assert everything(stub, data, run_id) == after


@every_mutation
def test_a_replay_outlives_what_comes_after(stub: Stub, data: Data, clock: ManualClock, name: str) -> None:
    """Later writes, an archived run, a deleted one, and one created again under the id."""
    run_id = target(stub, data)
    request = build(name, run_id, request_id="once")
    first = call(data, name, request)

    clock.advance(SECOND_US)
    give(data, run_id)
    after = everything(stub, data, run_id)
    assert call(data, name, request) == first
    assert everything(stub, data, run_id) == after

    archive(stub, run_id)
    after = everything(stub, data, run_id)
    assert call(data, name, request) == first
    assert everything(stub, data, run_id) == after

    revision = delete(stub, run_id).revision
    assert call(data, name, request) == first
    assert revision_of(stub) == revision
    assert not stub.RunExists(index_pb.RunExistsRequest(run_id=run_id)).exists

    create(stub, run_id=run_id)
    fill(data, run_id)
    after = everything(stub, data, run_id)
    assert call(data, name, request) == first
    assert everything(stub, data, run_id) == after


@every_mutation
def test_a_replay_comes_before_every_condition(stub: Stub, data: Data, name: str) -> None:
    """Neither a version nor a value that is another by now stands in its way."""
    run_id = target(stub, data)
    condition = {"expected_version": 1} if name in VERSIONED else {}
    request = build(name, run_id, request_id="once", **condition)
    first = call(data, name, request)

    assert call(data, name, request) == first
    if name in VERSIONED or name == "CompareAndSetState":
        request.request_id = "another"
        with pytest.raises(grpc.RpcError) as refused:
            call(data, name, request)
        assert refused.value.code() in {Code.ABORTED, Code.NOT_FOUND}


OTHERS: Final[dict[str, Any]] = {
    "run_id": UNKNOWN_ID,
    "key": "another",
    "cell": "another",
    "document": "another",
    "pointer": "/another",
    "value": value("yet another"),
    "expected": value("yet another"),
    "patch": json_value("yet another"),
    "events": [draft("s", "yet another")],
    "expected_version": 99,
}
"""For each field of a write a value that no other test of this module gives it."""


@every_mutation
def test_an_id_is_for_one_request(stub: Stub, data: Data, name: str) -> None:
    """A request that differs in any field is refused, with the id and the revision, and changes nothing."""
    run_id = target(stub, data)
    request = build(name, run_id, request_id="once")
    call(data, name, request)
    after = everything(stub, data, run_id)
    fields = {field.name for field in request.DESCRIPTOR.fields} - {"request_id"}
    assert fields <= OTHERS.keys()

    others = OTHERS | ({"value": json_value("yet another")} if name == "SetDocument" else {})
    for field in fields:
        refusal = check_refused(
            partial(call, data, name, build(name, run_id, **{"request_id": "once", field: others[field]})),
            Code.INVALID_ARGUMENT,
            "REQUEST_ID_REUSED",
            field="request_id",
            requestId="once",
        )
        assert refusal.revision == after[1]
    assert everything(stub, data, run_id) == after


@pytest.mark.parametrize(
    ("name", "field", "first", "second"),
    [
        ("PutValue", "value", value(""), value(b"")),
        ("PutValue", "value", value(1), value("1")),
        ("PutValue", "value", value({"a": None}), value({})),
        ("PutValue", "expected_version", None, 0),
        ("SetDocument", "pointer", "", "/text"),
        ("CompareAndSetState", "expected", None, value(None)),
        ("AppendEvents", "events", [draft("s", 1), draft("s", 2)], [draft("s", 2), draft("s", 1)]),
        ("AppendEvents", "events", [draft("s", 1)], [draft("s", 1), draft("s", 1)]),
    ],
)
def test_near_requests_are_others(
    stub: Stub, data: Data, name: str, field: str, first: Any, second: Any
) -> None:
    """What differs in the least is another request."""
    run_id = create(stub).run_id
    if name == "SetDocument":
        give(data, run_id)
    call(data, name, build(name, run_id, **{"request_id": "once", field: first}))

    request = build(name, run_id, **{"request_id": "once", field: second})
    check_refused(lambda: call(data, name, request), Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


@every_mutation
def test_an_id_is_for_one_method(stub: Stub, data: Data, name: str) -> None:
    """No other method takes it, neither of RunData nor of RunIndex; nor does RunData take one of RunIndex."""
    run_id = target(stub, data)
    call(data, name, build(name, run_id, request_id="once"))
    close = methods.build("CloseRun", run_id, request_id="twice")
    stub.CloseRun(close)
    after = everything(stub, data, run_id)

    others = [partial(call, data, other, build(other, run_id, request_id="once")) for other in MUTATIONS]
    del others[MUTATIONS.index(name)]
    others += [
        partial(methods.call, stub, other, methods.build(other, run_id, request_id="once"))
        for other in methods.MUTATIONS
    ]
    others.append(partial(call, data, name, build(name, run_id, request_id="twice")))
    for other in others:
        check_refused(other, Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert everything(stub, data, run_id) == after


@every_mutation
def test_every_spelling_of_the_run_makes_the_same_request(stub: Stub, data: Data, name: str) -> None:
    """Requests are compared after canonicalisation."""
    run_id = target(stub, data)
    first = call(data, name, build(name, run_id, request_id="once"))

    for spelling in (run_id.upper(), f"{{{run_id}}}", f"urn:uuid:{run_id}", run_id.replace("-", "")):
        assert call(data, name, build(name, spelling, request_id="once")) == first


def test_the_order_of_members_makes_no_other_request(channel: grpc.Channel, stub: Stub, data: Data) -> None:
    """An object has none, so neither has it on the wire."""
    run_id = create(stub).run_id
    rest = pb.PutValueRequest(run_id=run_id, key="k", request_id="once").SerializeToString()
    members = [pb.PutValueRequest(value=value({f"member {n}": n})).SerializeToString() for n in range(40)]

    # Messages that follow each other on the wire are merged.
    answers = [
        raw(channel, "PutValue")(b"".join(order) + rest)
        for order in (members, members[::-1], members[20:] + members[:20])
    ]

    assert answers[0].version == 1
    assert answers == [answers[0]] * 3
    assert data.GetValue(pb.GetValueRequest(run_id=run_id, key="k")).item.value == value(
        {f"member {n}": n for n in range(40)}
    )


@every_mutation
def test_refusals_are_not_remembered(stub: Stub, data: Data, name: str) -> None:
    """The same request is decided anew, and its id may be used for another."""
    missing = build(name, UNKNOWN_ID, request_id="once")
    for _ in range(2):
        check_refused(lambda: call(data, name, missing), Code.NOT_FOUND, "RUN_NOT_FOUND")

    request = build(name, target(stub, data), request_id="once")
    first = call(data, name, request)
    assert call(data, name, request) == first
    check_refused(lambda: call(data, name, missing), Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


@every_mutation
def test_a_used_id_comes_before_every_check(stub: Stub, data: Data, name: str) -> None:
    """It is refused as such on a missing run, on an archived one, and where nothing is there."""
    stub.CreateRun(index_pb.CreateRunRequest(request_id="once"))
    archived = target(stub, data)
    archive(stub, archived)

    for run_id in (UNKNOWN_ID, archived, create(stub).run_id, DEFAULT):
        request = build(name, run_id, request_id="once")
        check_refused(partial(call, data, name, request), Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


@every_mutation
def test_arguments_come_before_a_replay(stub: Stub, data: Data, name: str) -> None:
    """A request that could never have been accepted is refused for what it is."""
    call(data, name, build(name, target(stub, data), request_id="once"))

    request = build(name, "nonsense", request_id="once")
    check_refused(lambda: call(data, name, request), Code.INVALID_ARGUMENT, "INVALID_RUN_ID")


@every_mutation
def test_an_answer_is_remembered_for_24_hours(
    server: RunningServer, stub: Stub, data: Data, clock: ManualClock, name: str
) -> None:
    """To the last microsecond, whatever is purged in the background."""
    run_id = target(stub, data)
    request = build(name, run_id, request_id="once")
    first = call(data, name, request)
    after = everything(stub, data, run_id)

    for step_us in (DAY_US // 2, DAY_US // 2 - 1, 1):
        clock.advance(step_us)
        server.run_jobs()
        assert call(data, name, request) == first
    assert everything(stub, data, run_id) == after


@every_mutation
def test_without_an_id_nothing_is_remembered(stub: Stub, data: Data, name: str) -> None:
    """The same request again is a new request."""
    request = build(name, target(stub, data))
    first = call(data, name, request)

    if name in {"DeleteValue", "DeleteDocument", "CompareAndSetState"}:
        with pytest.raises(grpc.RpcError) as refused:
            call(data, name, request)
        assert refused.value.code() in {Code.NOT_FOUND, Code.ABORTED}
    else:
        second = call(data, name, request)
        assert second.revision > first.revision
        number = "first_sequence" if name == "AppendEvents" else "version"
        assert getattr(second, number) == getattr(first, number) + 1


@ON_DISK
@every_mutation
def test_an_answer_outlives_a_restart(server: RunningServer, stub: Stub, data: Data, name: str) -> None:
    """It was written with the change itself."""
    run_id = target(stub, data)
    request = build(name, run_id, request_id="once")
    first = call(data, name, request)
    after = everything(stub, data, run_id)

    server.restart()

    assert call(server.data_stub(), name, request) == first
    assert everything(server.stub(), server.data_stub(), run_id) == after
