"""Calls a server through the generated stub, with requests and answers as the model's plain dicts."""

from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from runindex.v1 import insights_pb2, maintenance_pb2, run_data_pb2, templates_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.insights_pb2_grpc import RunInsightsStub
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex.v1.templates_pb2_grpc import RunTemplatesStub
from runindex_server.schema import run as stored
from tests.property.model_arguments import (
    Answer,
    Refused,
    Request,
    canonical_json,
    metadata_struct,
    set_value,
)
from tests.property.model_data_arguments import DATA_CHECKS
from tests.property.model_insights_arguments import INSIGHT_CHECKS
from tests.property.model_templates_arguments import TEMPLATE_CHECKS

NANOS: Final = 1_000_000_000
WAIT_S: Final = 30.0


class Stubs:
    """The stubs of the services, on one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Make them."""
        self.index = RunIndexStub(channel)
        self.data = RunDataStub(channel)
        self.insights = RunInsightsStub(channel)
        self.templates = RunTemplatesStub(channel)
        self.maintenance = MaintenanceStub(channel)


def ask(stubs: Stubs, method: str, request: Request) -> Answer:
    """Make a call of RunIndex, RunData, RunInsights or RunTemplates.

    Raises:
        Refused: The server refused it, in the form that the contract promises.
    """
    try:
        answer = getattr(_stub(stubs, method), method)(message_of(method, request), timeout=WAIT_S)
    except grpc.RpcError as error:
        raise _refusal(error) from error
    return plain(answer)


def compact(stubs: Stubs, **request: bool) -> list[Answer]:
    """Ask for a compaction, and return its pieces.

    Raises:
        Refused: As `ask`.
    """
    try:
        pieces = stubs.maintenance.Compact(maintenance_pb2.CompactRequest(**request), timeout=WAIT_S)
        return [plain(piece) for piece in pieces]
    except grpc.RpcError as error:
        raise _refusal(error) from error


def status(stubs: Stubs) -> Answer:
    """Return what the store is like."""
    return plain(stubs.maintenance.GetStatus(maintenance_pb2.GetStatusRequest(), timeout=WAIT_S))


def drifts(stubs: Stubs) -> list[Answer]:
    """Verify the store, and return what does not follow from the records."""
    pieces = stubs.maintenance.Verify(maintenance_pb2.VerifyRequest(), timeout=WAIT_S)
    return [piece for piece in map(plain, pieces) if "drift" in piece]


def message_of(method: str, request: Request) -> Any:
    """Return a request as its message."""
    fields = dict(request)
    if method in DATA_CHECKS:
        for field in fields.keys() & {"value", "expected", "patch", "events"}:
            fields[field] = _data_field(method, field, fields[field])
    for field in fields.keys() & MESSAGES.keys():
        fields[field] = MESSAGES[field](fields[field])
    return _request_type(method)(**fields)


def field_names(method: str) -> list[str]:
    """Return the names of a request's fields."""
    return list(_request_type(method).DESCRIPTOR.fields_by_name)


def _stub(stubs: Stubs, method: str) -> Any:
    """Return the stub of the service that has a method."""
    for checks, stub in (
        (DATA_CHECKS, stubs.data),
        (INSIGHT_CHECKS, stubs.insights),
        (TEMPLATE_CHECKS, stubs.templates),
    ):
        if method in checks:
            return stub
    return stubs.index


def _request_type(method: str) -> Any:
    """Return the class of a method's requests."""
    name = f"{method}Request"
    modules = (pb, run_data_pb2, insights_pb2, templates_pb2)
    return next(getattr(module, name) for module in modules if hasattr(module, name))


def stored_policy(policy: dict[str, Any]) -> stored.RetentionPolicy:
    """Return a retention policy, its durations given in microseconds, as the server is started with it."""
    return stored.RetentionPolicy(
        keep_latest_n=policy.get("keep_latest_n"),
        keep_duration_us=policy.get("keep_duration"),
        delete_after_us=policy.get("delete_after"),
    )


def _data_field(method: str, field: str, value: Any) -> Any:
    """Return a field of a request of RunData: JSON for documents, else values or events."""
    if field == "events":
        return [_event_draft(draft) for draft in value]
    if method in ("SetDocument", "MergeDocument"):
        return _json_value(value)
    return _data_value(value)


def _event_draft(draft: dict[str, Any]) -> run_data_pb2.EventDraft:
    """Return an event to append, also one that lacks something."""
    value = {"value": _data_value(draft["value"])} if "value" in draft else {}
    return run_data_pb2.EventDraft(stream=draft.get("stream", ""), **value)


def _data_value(content: dict[str, Any]) -> run_data_pb2.DataValue:
    """Return a value, also one of no kind."""
    if "json" in content:
        return run_data_pb2.DataValue(json=_json_value(content["json"]))
    return run_data_pb2.DataValue(**content)


def _json_value(value: Any) -> Value:
    """Return JSON as its message."""
    message = Value()
    set_value(message, value)
    return message


def _policy(policy: dict[str, Any]) -> pb.RetentionPolicy:
    """Return a retention policy, its durations given in nanoseconds."""
    fields = dict(policy)
    for kind in ("keep_duration", "delete_after"):
        if kind in fields:
            fields[kind] = _duration(fields[kind])
    if "keep_all" in fields:
        fields["keep_all"] = pb.KeepAll()
    return pb.RetentionPolicy(**fields)


def _duration(nanos: int) -> Duration:
    """Return a duration."""
    # The sign is common to both parts, as protobuf wants it.
    sign = -1 if nanos < 0 else 1
    seconds, rest = divmod(abs(nanos), NANOS)
    return Duration(seconds=sign * seconds, nanos=sign * rest)


def _timestamp(us: int) -> Timestamp:
    """Return a time."""
    seconds, rest = divmod(us * 1_000, NANOS)
    return Timestamp(seconds=seconds, nanos=rest)


MESSAGES: Final[dict[str, Callable[[Any], Any]]] = {
    "metadata": metadata_struct,
    "policy": _policy,
    "retention": _policy,
    "idle_for": _duration,
    "start_time": _timestamp,
    "end_time": _timestamp,
}
"""What makes messages of fields, durations given in nanoseconds and times in microseconds."""


def plain(message: Message) -> Answer:
    """Return the fields of a message that are set."""
    return {field.name: _plain_field(value) for field, value in message.ListFields()}


def _plain_field(value: Any) -> Any:
    """Return a field's value: times in microseconds, metadata as canonical JSON."""
    if isinstance(value, Timestamp | Duration):
        micros, rest = divmod(value.seconds * NANOS + value.nanos, 1_000)
        assert rest == 0, f"finer than a microsecond: {value}"
        return micros
    if isinstance(value, Struct):
        return canonical_json(_json_object(value))
    if isinstance(value, Value):
        return canonical_json(_json(value))
    if isinstance(value, Message):
        return plain(value)
    return value if isinstance(value, str | bytes | int | float) else [_plain_field(one) for one in value]


def _json_object(struct: Struct) -> dict[str, Any]:
    """Return a Struct as the JSON object that it carries, numbers as doubles."""
    return {key: _json(value) for key, value in struct.fields.items()}


def _json(value: Value) -> Any:
    """Return the JSON of a value."""
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "struct_value":
            return _json_object(value.struct_value)
        case "list_value":
            return [_json(one) for one in value.list_value.values]
        case None:
            msg = "the server returned a value of no kind"
            raise AssertionError(msg)
        case kind:
            return getattr(value, kind)


def _refusal(error: grpc.RpcError) -> Refused:
    """Return what the server refused, having checked the form that every refusal has."""
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status: {error}"
    infos, bad_requests = [], []
    for detail in status.details:
        info, bad_request = ErrorInfo(), BadRequest()
        if detail.Unpack(info):
            infos.append(info)
        if detail.Unpack(bad_request):
            bad_requests.append(bad_request)
    assert len(infos) == 1, f"not one ErrorInfo: {status}"
    refused = Refused(infos[0].reason, dict(infos[0].metadata))
    refused.code = error.code().name
    assert infos[0].domain == "runindex"
    if "field" in refused.metadata:
        fields = [violation.field for one in bad_requests for violation in one.field_violations]
        assert fields == [refused.metadata["field"]], f"BadRequest: {status}"
    return refused
