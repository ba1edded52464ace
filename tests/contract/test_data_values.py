"""Values under keys: JSON or bytes, and the history of a key."""

from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from tests.support.calls import Stub, check_refused, create, micros
from tests.support.clock import SECOND_US, ManualClock
from tests.support.data_calls import (
    Data,
    append,
    count_events,
    delete_value,
    draft,
    get_value,
    history,
    json_value,
    put,
    revision_of,
    set_state,
    value,
    values,
)
from tests.support.data_methods import build, call

BYTES: Final = (b"", b"\x00", b"\xff" * 3, b"null", "é".encode(), bytes(range(256)))


@pytest.mark.parametrize("held", BYTES)
def test_bytes_come_back(stub: Stub, data: Data, held: bytes) -> None:
    """Every byte, and none at all; they stay bytes, under keys, in cells and in events."""
    run_id = create(stub).run_id
    put(data, run_id, "k", held)
    set_state(data, run_id, "c", held)
    append(data, run_id, draft("s", held))

    found = [
        get_value(data, run_id, "k").value,
        values(data, run_id)[0].value,
        data.GetState(pb.GetStateRequest(run_id=run_id, cell="c")).item.value,
        data.ReadEvents(pb.ReadEventsRequest(run_id=run_id)).events[0].value,
    ]

    assert [each.WhichOneof("kind") for each in found] == ["binary"] * 4
    assert [each.binary for each in found] == [held] * 4


def test_a_key_may_change_between_json_and_bytes(stub: Stub, data: Data) -> None:
    """A version has a kind, a key has none."""
    run_id = create(stub).run_id
    held = [b"null", None, {"a": b"".decode()}, b""]
    for each in held:
        put(data, run_id, "k", each)

    assert [item.value for item in history(data, run_id, "k")] == [value(each) for each in reversed(held)]


WRITES: Final = (("PutValue", "value"), ("SetState", "value"), ("CompareAndSetState", "value"))
"""Methods that take one value, and its field."""

WRONG_JSON: Final = {
    "not a number": Value(number_value=float("nan")),
    "infinity": Value(number_value=float("inf")),
    "minus infinity": Value(number_value=float("-inf")),
    "of no kind": Value(),
    "a number that is none, in a list": Value(
        list_value=ListValue(values=[Value(number_value=float("nan"))])
    ),
    "of no kind, in an object": Value(struct_value=Struct(fields={"k": Value()})),
}


@pytest.mark.parametrize("wrong", WRONG_JSON.values(), ids=WRONG_JSON)
def test_what_json_has_not_is_refused(stub: Stub, data: Data, wrong: Value) -> None:
    """By every method that takes a value, and nothing is written."""
    run_id = create(stub).run_id
    before = revision_of(stub)
    requests: list[tuple[str, str, dict[str, Any]]] = [
        *((name, field, {field: pb.DataValue(json=wrong)}) for name, field in WRITES),
        ("CompareAndSetState", "expected", {"expected": pb.DataValue(json=wrong)}),
        ("SetDocument", "value", {"value": wrong}),
        ("MergeDocument", "patch", {"patch": wrong}),
        (
            "AppendEvents",
            "events[1].value",
            {"events": [draft("s", 1), pb.EventDraft(stream="s", value=pb.DataValue(json=wrong))]},
        ),
    ]

    for name, field, fields in requests:
        check_refused(
            lambda name=name, fields=fields: call(data, name, build(name, run_id, **fields)),
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            field=field,
        )
    assert revision_of(stub) == before
    assert values(data, run_id) == []
    assert count_events(data, run_id) == (0, 0)


def test_a_value_is_of_one_kind(stub: Stub, data: Data) -> None:
    """A value that is present but of no kind is refused, wherever it stands."""
    run_id = create(stub).run_id
    none = pb.DataValue()
    requests: list[tuple[str, str, dict[str, Any]]] = [
        *((name, field, {field: none}) for name, field in WRITES),
        ("CompareAndSetState", "expected", {"expected": none}),
        ("AppendEvents", "events[0].value", {"events": [pb.EventDraft(stream="s", value=none)]}),
    ]

    for name, field, fields in requests:
        check_refused(
            lambda name=name, fields=fields: call(data, name, build(name, run_id, **fields)),
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            field=field,
        )


def test_every_double_comes_back_as_json(stub: Stub, data: Data) -> None:
    """Beyond 2^53 integers are what doubles make of them, as the contract warns."""
    run_id = create(stub).run_id

    put(data, run_id, "k", 2**53 + 1)

    assert get_value(data, run_id, "k").value.json.number_value == 2.0**53


# History.


def test_a_history_is_newest_first(stub: Stub, data: Data, clock: ManualClock) -> None:
    """With values, numbers and times, deletions among the versions; the first is what GetValue returns."""
    run_id = create(stub).run_id
    times = []
    for turn in range(5):
        times.append(clock.advance(SECOND_US))
        if turn == 2:
            delete_value(data, run_id, "k")
        else:
            put(data, run_id, "k", turn)

    found = history(data, run_id, "k")

    assert [item.version for item in found] == [5, 4, 3, 2, 1]
    assert [micros(item.write_time) for item in found] == times[::-1]
    assert [item.deleted for item in found] == [False, False, True, False, False]
    assert [item.value for item in found if not item.deleted] == [value(n) for n in (4, 3, 1, 0)]
    assert not found[2].HasField("value")
    assert found[0] == get_value(data, run_id, "k")
    assert found == [get_value(data, run_id, "k", version) for version in (5, 4, 3, 2, 1)]


def test_a_history_may_end_with_a_deletion(stub: Stub, data: Data) -> None:
    """A key that holds nothing any more still tells what it held."""
    run_id = create(stub).run_id
    put(data, run_id, "k", 1)
    delete_value(data, run_id, "k")

    assert [(item.version, item.deleted) for item in history(data, run_id, "k")] == [(2, True), (1, False)]


def test_a_key_that_was_never_written_has_no_history(stub: Stub, data: Data) -> None:
    """That is no refusal; and other keys' histories are not its own."""
    run_id = create(stub).run_id
    for key in ("a", "aa", "b", "a\u0300"):
        for _ in range(2):
            put(data, run_id, key, key)

    assert history(data, run_id, "never") == []
    for key in ("a", "aa", "b", "a\u0300"):
        assert [item.value for item in history(data, run_id, key)] == [value(key)] * 2
    assert history(data, create(stub).run_id, "a") == []


def test_a_history_is_of_keys_alone(stub: Stub, data: Data) -> None:
    """A cell and a document of the name have versions of their own."""
    run_id = create(stub).run_id
    set_state(data, run_id, "n", 1)
    data.SetDocument(pb.SetDocumentRequest(run_id=run_id, document="n", value=json_value(1)))

    assert history(data, run_id, "n") == []
    put(data, run_id, "n", 2)
    assert [item.value for item in history(data, run_id, "n")] == [value(2)]


def test_many_versions(stub: Stub, data: Data) -> None:
    """Two hundred of one key, each there."""
    run_id = create(stub).run_id
    calls = [
        data.PutValue.future(pb.PutValueRequest(run_id=run_id, key="k", value=value(n)))
        for n in range(50)
        for _ in range(4)
    ]
    made = {call.result().version for call in calls}

    assert made == set(range(1, 201))
    found = history(data, run_id, "k")
    assert [item.version for item in found] == list(range(200, 0, -1))
    held = sorted(item.value.json.number_value for item in found)
    assert held == sorted(list(range(50)) * 4)
    assert get_value(data, run_id, "k") == found[0]
