"""Arguments of the calls for what runs hold, checked; beside `validate`, and in its manner."""

from collections.abc import Sequence

from google.protobuf.struct_pb2 import Value
from jsonpointer import JsonPointer, JsonPointerException

from runindex.v1 import run_data_pb2 as pb
from runindex_server import limits
from runindex_server.data import json_value
from runindex_server.data.events import EventDraft, EventQuery
from runindex_server.errors import FieldRequired, InvalidField
from runindex_server.rpc import validate
from runindex_server.schema.metadata import NotJsonError
from runindex_server.schema.run import RunId

Request = (
    pb.PutValueRequest
    | pb.GetValueRequest
    | pb.DeleteValueRequest
    | pb.GetValueHistoryRequest
    | pb.AppendEventsRequest
    | pb.SetStateRequest
    | pb.GetStateRequest
    | pb.CompareAndSetStateRequest
    | pb.SetDocumentRequest
    | pb.GetDocumentRequest
    | pb.MergeDocumentRequest
    | pb.DeleteDocumentRequest
)
"""What must carry more than its run."""


def run_id(request: Request, *required: str) -> RunId:
    """Return the run that a request names, once it is seen that the request lacks nothing.

    What is missing is told before what is wrong, whichever field it is.

    Args:
        request: The request.
        required: What else it must carry, in the order of the contract.

    Raises:
        InvalidRunId: As `validate.run_id`.
        FieldRequired: One of these fields is unset or empty.
    """
    run = validate.run_id(request.run_id)
    _require(request, required)
    return run


def name(text: str, *, field: str) -> str:
    """Return the name of what a run holds, or of a template; or what one is to begin with.

    Raises:
        InvalidField: It is too long, or holds a control character.
    """
    validate.check_size(text, limits.NAME_BYTES_MAX, field=field)
    if validate.has_control_characters(text):
        raise InvalidField("a name holds no control characters", field=field)
    return text


def stream(request: pb.ReadEventsRequest | pb.CountEventsRequest) -> str | None:
    """Return the stream that is asked for; None for all.

    Raises:
        InvalidField: It is present but empty, or as `name`.
    """
    if not request.HasField("stream"):
        return None
    if not request.stream:
        raise InvalidField("is empty; name a stream, or leave it unset for all", field="stream")
    return name(request.stream, field="stream")


def version(request: pb.GetValueRequest | pb.GetStateRequest | pb.GetDocumentRequest) -> int | None:
    """Return the version that is asked for; None for what is there.

    Raises:
        InvalidField: It is 0.
    """
    if not request.HasField("version"):
        return None
    if not request.version:
        raise InvalidField("versions begin at 1; leave it unset for what is there", field="version")
    return request.version


def expected_value(request: pb.CompareAndSetStateRequest) -> bytes | None:
    """Return the encoding of the value that a cell must hold; None for nothing.

    Raises:
        InvalidField: As `data_value`.
    """
    return data_value(request.expected, field="expected") if request.HasField("expected") else None


def data_value(value: pb.DataValue, *, field: str) -> bytes:
    """Return the encoding of a value; equal values have equal ones.

    Raises:
        InvalidField: It is of no kind or too large, or its JSON as `json` says.
    """
    match value.WhichOneof("kind"):
        case "json":
            json(value.json, field=field)
        case "binary":
            _check_value_size(len(value.binary), field=field)
        case _:
            raise InvalidField("is of no kind; set json or binary", field=field)
    return value.SerializeToString(deterministic=True)


def json(value: Value, *, field: str) -> bytes:
    """Return the encoding of JSON.

    Raises:
        InvalidField: It is too large, too deep, or holds or is a value that JSON has not.
    """
    encoded = json_value.encode(value)
    _check_value_size(len(encoded), field=field)
    try:
        depth = json_value.depth_of(value)
    except NotJsonError as error:
        raise InvalidField(str(error), field=field) from None
    if depth > limits.DATA_DEPTH_MAX:
        raise InvalidField(
            f"is nested {depth} levels deep; at most {limits.DATA_DEPTH_MAX} are taken", field=field
        )
    return encoded


def pointer(text: str) -> JsonPointer:
    """Return the place in a document that a pointer names; empty for the whole.

    Raises:
        InvalidField: It is too long, or no JSON pointer.
    """
    validate.check_size(text, limits.POINTER_BYTES_MAX, field="pointer")
    try:
        return JsonPointer(text)
    except JsonPointerException:
        raise InvalidField(
            "is no JSON pointer: it is empty or begins with /, and ~ stands only in ~0 and ~1",
            field="pointer",
        ) from None


def event_drafts(drafts: Sequence[pb.EventDraft]) -> tuple[EventDraft, ...]:
    """Return the events to append.

    Raises:
        FieldRequired: One lacks its stream or value.
        InvalidField: They are too many, or a stream is as `name` says, or a value as `data_value` says.
    """
    # No more than are taken: a request has room for a hundred times as many.
    for place, draft in enumerate(drafts[: limits.EVENTS_MAX]):
        _require(draft, ("stream", "value"), path=f"events[{place}].")
    if len(drafts) > limits.EVENTS_MAX:
        raise InvalidField(f"are {len(drafts)}; at most {limits.EVENTS_MAX} are taken", field="events")
    return tuple(_event_draft(draft, field=f"events[{place}]") for place, draft in enumerate(drafts))


def event_query(request: pb.ReadEventsRequest) -> EventQuery:
    """Return which events to read.

    Raises:
        InvalidField: As `stream`.
    """
    begin = request.from_sequence if request.HasField("from_sequence") else None
    return EventQuery(stream=stream(request), from_sequence=begin, backwards=request.backwards)


def _event_draft(draft: pb.EventDraft, *, field: str) -> EventDraft:
    """Return an event to append.

    Raises:
        InvalidField: As `event_drafts`.
    """
    stream_name = name(draft.stream, field=f"{field}.stream")
    return EventDraft(stream_name, data_value(draft.value, field=f"{field}.value"))


def _require(message: Request | pb.EventDraft, fields: Sequence[str], *, path: str = "") -> None:
    """Refuse a message that lacks something.

    Args:
        message: A request, or a part of it.
        fields: What it must carry.
        path: Where it is in the request, with a dot behind it.

    Raises:
        FieldRequired: A field is unset or empty.
    """
    carried = {field.name for field, _ in message.ListFields()}
    for field in fields:
        if field not in carried:
            raise FieldRequired(path + field)


def _check_value_size(size: int, *, field: str) -> None:
    """Refuse a value that is too large.

    Raises:
        InvalidField: It is.
    """
    if size > limits.DATA_VALUE_BYTES_MAX:
        raise InvalidField(
            f"has {size} bytes encoded; at most {limits.DATA_VALUE_BYTES_MAX} are taken", field=field
        )
