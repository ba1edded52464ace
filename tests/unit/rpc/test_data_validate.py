"""Arguments of calls for data: each bound at one below, at and one above, and the field at fault."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from runindex.v1 import run_data_pb2 as pb
from runindex_server import limits
from runindex_server.data.events import EventDraft, EventQuery
from runindex_server.errors import FieldRequired, InvalidArgument, InvalidField, InvalidRunId
from runindex_server.rpc import data_validate as validate
from runindex_server.schema.run import DEFAULT_RUN_ID

NAN = float("nan")
ONE = Value(number_value=1)


def refused(call: Callable[[], Any], kind: type[InvalidArgument], field: str) -> None:
    with pytest.raises(kind) as refusal:
        call()
    assert refusal.value.field == field


def nested(levels: int, *, lists: bool = False) -> Value:
    value = ONE
    for _ in range(levels):
        value = (
            Value(list_value=ListValue(values=[value]))
            if lists
            else Value(struct_value=Struct(fields={"k": value}))
        )
    return value


def json_of(size: int) -> Value:
    """Return JSON of so many bytes, encoded: a string, after a tag and a length of 3 bytes."""
    value = Value(string_value="x" * (size - 4))
    assert value.ByteSize() == size
    return value


@pytest.mark.parametrize("text", ["a", "a/b c", "x" * limits.NAME_BYTES_MAX, "é" * 64, "\u2028", "default"])
def test_names(text: str) -> None:
    assert validate.name(text, field="key") == text


@pytest.mark.parametrize(
    "text", ["x" * (limits.NAME_BYTES_MAX + 1), "é" * 64 + "x", "\x00", "a\n", "\x7f", "\x9f"]
)
def test_what_is_no_name(text: str) -> None:
    refused(lambda: validate.name(text, field="cell"), InvalidField, "cell")


@pytest.mark.parametrize(
    ("message", "required", "missing"),
    [
        (pb.PutValueRequest(), ("key", "value"), "key"),
        (pb.PutValueRequest(key="", value=pb.DataValue()), ("key", "value"), "key"),
        (pb.PutValueRequest(key="k"), ("key", "value"), "value"),
        (pb.SetDocumentRequest(document="\n"), ("document", "value"), "value"),
        (pb.MergeDocumentRequest(document="d"), ("document", "patch"), "patch"),
        (pb.AppendEventsRequest(events=[]), ("events",), "events"),
    ],
)
def test_what_is_missing(message: Any, required: tuple[str, ...], missing: str) -> None:
    refused(lambda: validate.run_id(message, *required), InvalidRunId, "run_id")
    message.run_id = "default"
    refused(lambda: validate.run_id(message, *required), FieldRequired, missing)


@pytest.mark.parametrize(
    ("message", "required"),
    [
        (pb.PutValueRequest(key="\n", value=pb.DataValue()), ("key", "value")),
        (pb.SetDocumentRequest(document="d", value=Value()), ("document", "value")),
        (pb.AppendEventsRequest(events=[pb.EventDraft()]), ("events",)),
    ],
)
def test_what_is_wrong_is_not_missing(message: Any, required: tuple[str, ...]) -> None:
    message.run_id = "default"
    assert validate.run_id(message, *required) == DEFAULT_RUN_ID


@pytest.mark.parametrize("request_class", [pb.ReadEventsRequest, pb.CountEventsRequest])
def test_a_stream_may_be_unset_but_not_empty(request_class: Any) -> None:
    assert validate.stream(request_class()) is None
    assert validate.stream(request_class(stream="s")) == "s"
    refused(lambda: validate.stream(request_class(stream="")), InvalidField, "stream")
    refused(lambda: validate.stream(request_class(stream="\t")), InvalidField, "stream")


@pytest.mark.parametrize("request_class", [pb.GetValueRequest, pb.GetStateRequest, pb.GetDocumentRequest])
def test_a_version_is_at_least_1(request_class: Any) -> None:
    assert validate.version(request_class()) is None
    for number in (1, 2**64 - 1):
        assert validate.version(request_class(version=number)) == number
    refused(lambda: validate.version(request_class(version=0)), InvalidField, "version")


@pytest.mark.parametrize("size", [limits.DATA_VALUE_BYTES_MAX - 1, limits.DATA_VALUE_BYTES_MAX])
def test_the_largest_values(size: int) -> None:
    for value in (pb.DataValue(json=json_of(size)), pb.DataValue(binary=b"x" * size)):
        assert pb.DataValue.FromString(validate.data_value(value, field="value")) == value
    assert validate.json(json_of(size), field="value") == json_of(size).SerializeToString()


@pytest.mark.parametrize(
    "value",
    [
        pb.DataValue(),
        pb.DataValue(binary=b"x" * (limits.DATA_VALUE_BYTES_MAX + 1)),
        pb.DataValue(json=json_of(limits.DATA_VALUE_BYTES_MAX + 1)),
        pb.DataValue(json=Value()),
        pb.DataValue(json=Value(number_value=NAN)),
        pb.DataValue(json=Value(number_value=-float("inf"))),
        pb.DataValue(json=Value(list_value=ListValue(values=[Value()]))),
        pb.DataValue(json=nested(limits.DATA_DEPTH_MAX + 1)),
        pb.DataValue(json=nested(limits.DATA_DEPTH_MAX + 1, lists=True)),
    ],
)
def test_what_is_no_value(value: pb.DataValue) -> None:
    swap = pb.CompareAndSetStateRequest(expected=value)
    events = [pb.EventDraft(stream="s", value=pb.DataValue(json=ONE)), pb.EventDraft(stream="s", value=value)]
    refused(lambda: validate.data_value(value, field="value"), InvalidField, "value")
    refused(lambda: validate.expected_value(swap), InvalidField, "expected")
    refused(lambda: validate.event_drafts(events), InvalidField, "events[1].value")
    if value.HasField("json"):
        refused(lambda: validate.json(value.json, field="patch"), InvalidField, "patch")


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("levels", [0, limits.DATA_DEPTH_MAX - 1, limits.DATA_DEPTH_MAX])
def test_the_deepest_values(levels: int, lists: bool) -> None:  # noqa: FBT001  # A parameter.
    assert validate.json(nested(levels, lists=lists), field="value")


def test_nothing_may_be_expected() -> None:
    assert validate.expected_value(pb.CompareAndSetStateRequest()) is None


@pytest.mark.parametrize("value", [pb.DataValue(binary=b""), pb.DataValue(json=Value(null_value=0))])
def test_empty_bytes_and_null_are_values(value: pb.DataValue) -> None:
    assert validate.data_value(value, field="value") == value.SerializeToString() != b""


def test_equal_values_have_equal_encodings() -> None:
    def encoded(names: str) -> bytes:
        value = pb.DataValue()
        for name in names:
            value.json.struct_value.fields[name].number_value = 1.0
        return validate.data_value(value, field="value")

    assert encoded("abcdefghijklm") == encoded("mlkjihgfedcba")


@pytest.mark.parametrize("text", ["", "/", "/a/0/-/~0~1", "/" + "x" * (limits.POINTER_BYTES_MAX - 1)])
def test_pointers(text: str) -> None:
    assert validate.pointer(text).path == text


@pytest.mark.parametrize(
    "text", ["a", "#/a", "/~", "/~2", "/" + "x" * limits.POINTER_BYTES_MAX, "/" + "é" * 512]
)
def test_what_is_no_pointer(text: str) -> None:
    refused(lambda: validate.pointer(text), InvalidField, "pointer")


def test_events() -> None:
    event = pb.EventDraft(stream="s", value=pb.DataValue(binary=b"v"))
    draft = EventDraft("s", event.value.SerializeToString())
    for count in (1, limits.EVENTS_MAX - 1, limits.EVENTS_MAX):
        assert validate.event_drafts([event] * count) == (draft,) * count
    refused(lambda: validate.event_drafts([event] * (limits.EVENTS_MAX + 1)), InvalidField, "events")


@pytest.mark.parametrize(
    ("event", "kind", "field"),
    [
        (pb.EventDraft(value=pb.DataValue(binary=b"v")), FieldRequired, "events[2].stream"),
        (pb.EventDraft(stream="\n", value=pb.DataValue(binary=b"v")), InvalidField, "events[2].stream"),
        (pb.EventDraft(stream="s"), FieldRequired, "events[2].value"),
    ],
)
def test_an_event_at_fault_is_named(event: pb.EventDraft, kind: type[InvalidArgument], field: str) -> None:
    good = pb.EventDraft(stream="s", value=pb.DataValue(binary=b"v"))
    refused(lambda: validate.event_drafts([good, good, event, event]), kind, field)


def test_what_an_event_lacks_is_told_before_what_is_wrong() -> None:
    wrong, missing = pb.EventDraft(stream="\n", value=pb.DataValue()), pb.EventDraft(stream="s")
    refused(lambda: validate.event_drafts([wrong, missing]), FieldRequired, "events[1].value")
    many = [wrong] * limits.EVENTS_MAX
    refused(lambda: validate.event_drafts([*many[1:], missing, wrong]), FieldRequired, "events[999].value")
    # What no call could take is not looked at.
    for last in (wrong, missing):
        refused(lambda last=last: validate.event_drafts([*many, last]), InvalidField, "events")


def test_which_events() -> None:
    assert validate.event_query(pb.ReadEventsRequest()) == EventQuery()
    asked = pb.ReadEventsRequest(stream="s", from_sequence=0, backwards=True)
    assert validate.event_query(asked) == EventQuery(stream="s", from_sequence=0, backwards=True)
