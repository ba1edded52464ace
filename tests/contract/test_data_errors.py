"""Bytes that are no request of RunData, and faults of the server: every call ends with a reason."""

from io import StringIO
from typing import Any, Final

import grpc
import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex_server.errors import CommitOutcomeUnknown, Overloaded, StoreClosed, StoreCorrupt, StoreFull
from runindex_server.limits import REQUEST_BYTES_MAX
from tests.support.calls import Stub, check_refused, create
from tests.support.data_calls import Data, held_by, revision_of
from tests.support.data_methods import METHODS, MUTATIONS, READS, SERVICE, build, call, raw, target
from tests.support.server import RunningServer

every_method: Final = pytest.mark.parametrize("name", METHODS)

FAR_FIELD: Final = 5_000
"""The number of a field that no message has."""


@pytest.fixture
def store_kind() -> str:
    """Return one store for all: what is tested here is decided before a store is asked, or for it."""
    return "memory"


def varint(number: int) -> bytes:
    """Return a number on the wire."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def tag(number: int, wire_type: int) -> bytes:
    """Return the key of a field on the wire."""
    return varint(number << 3 | wire_type)


def nested(depth: int) -> bytes:
    """Return a `google.protobuf.Value` of lists in lists."""
    inner = b""
    for _ in range(depth):
        inner = tag(6, 2) + varint(len(inner)) + inner  # A list
        inner = tag(1, 2) + varint(len(inner)) + inner  # of one value.
    return tag(6, 2) + varint(len(inner)) + inner


NOISE: Final = (
    b"\x00",  # Field zero.
    b"\xff" * 11,  # A number without end.
    b"\x0a",  # A field without a value.
    tag(FAR_FIELD, 2) + b"\x05abc",  # A value that is too short.
    tag(FAR_FIELD, 4),  # The end of no group.
    tag(FAR_FIELD, 7),  # No wire type.
    b'{"run_id": "default"}',
)


@every_method
def test_bytes_that_do_not_parse_are_refused(channel: grpc.Channel, name: str) -> None:
    """By every method, as the caller's fault."""
    for noise in NOISE:
        check_refused(
            lambda noise=noise: raw(channel, name)(noise), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST"
        )


@every_method
def test_a_request_that_breaks_off_writes_nothing(
    channel: grpc.Channel, stub: Stub, data: Data, name: str
) -> None:
    """What came before the damage counts for nothing."""
    run_id = target(stub, data)
    before = [revision_of(stub), held_by(data, run_id)]
    request = build(name, run_id).SerializeToString() + b"\x0a"

    check_refused(lambda: raw(channel, name)(request), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")

    assert [revision_of(stub), held_by(data, run_id)] == before


@every_method
def test_fields_that_nobody_knows_are_ignored(
    channel: grpc.Channel, stub: Stub, data: Data, name: str
) -> None:
    """A newer client may talk to an older server."""
    request = build(name, target(stub, data))
    unknown = tag(FAR_FIELD, 0) + b"\x01" + tag(FAR_FIELD + 1, 2) + b"\x03new"

    assert raw(channel, name)(request.SerializeToString() + unknown).revision == revision_of(stub)


def test_fields_that_nobody_knows_do_not_come_back(channel: grpc.Channel, stub: Stub, data: Data) -> None:
    """Not even from within a value."""
    run_id = create(stub).run_id
    unknown = tag(FAR_FIELD, 2) + b"\x03new"
    inner = pb.DataValue(binary=b"held").SerializeToString() + unknown
    request = pb.PutValueRequest(run_id=run_id, key="k").SerializeToString()

    raw(channel, "PutValue")(request + tag(3, 2) + varint(len(inner)) + inner + unknown)

    answer = data.GetValue(pb.GetValueRequest(run_id=run_id, key="k"))
    assert answer.item.value.SerializeToString() == pb.DataValue(binary=b"held").SerializeToString()


TEXT_FIELDS: Final = tuple(
    (name, field.name)
    for name in METHODS
    for field in build(name, "default").DESCRIPTOR.fields
    if field.type == field.TYPE_STRING
)
NO_TEXT: Final = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"a\x80")


def test_each_method_has_texts() -> None:
    """At least the run's id."""
    assert {name for name, field in TEXT_FIELDS if field == "run_id"} == set(METHODS)


@pytest.mark.parametrize(("name", "field"), TEXT_FIELDS)
def test_text_that_is_no_utf8_is_refused(
    channel: grpc.Channel, stub: Stub, data: Data, name: str, field: str
) -> None:
    """Also surrogates, overlong forms and characters cut in two."""
    number = build(name, "default").DESCRIPTOR.fields_by_name[field].number
    start = build(name, target(stub, data)).SerializeToString() + tag(number, 2)

    for text in NO_TEXT:
        request = start + varint(len(text)) + text
        check_refused(
            lambda request=request: raw(channel, name)(request), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST"
        )


@pytest.mark.parametrize(("name", "number"), [("SetDocument", 4), ("MergeDocument", 3)])
@pytest.mark.parametrize(("depth", "reason"), [(40, "INVALID_FIELD"), (5_000, "UNPARSABLE_REQUEST")])
def test_json_nested_without_end_is_refused(
    channel: grpc.Channel, stub: Stub, name: str, number: int, depth: int, reason: str
) -> None:
    """Past what the parser takes as past our bound."""
    request = build(name, create(stub).run_id)
    request.ClearField("value" if name == "SetDocument" else "patch")
    inner = nested(depth)
    data = request.SerializeToString() + tag(number, 2) + varint(len(inner)) + inner

    check_refused(lambda: raw(channel, name)(data), Code.INVALID_ARGUMENT, reason)


@every_method
def test_a_larger_request_is_refused(channel: grpc.Channel, stub: Stub, data: Data, name: str) -> None:
    """By our bound and with both sizes; at the bound it is taken."""
    run_id = target(stub, data)
    before = held_by(data, run_id)
    start = build(name, run_id).SerializeToString()
    padding_bytes = REQUEST_BYTES_MAX - len(start) - len(tag(FAR_FIELD, 2)) - 3
    for over in (1, 0):
        padding = bytes(padding_bytes + over)
        request = start + tag(FAR_FIELD, 2) + varint(len(padding)) + padding
        assert len(request) == REQUEST_BYTES_MAX + over
        if over:
            check_refused(
                lambda request=request: raw(channel, name)(request),
                Code.RESOURCE_EXHAUSTED,
                "REQUEST_TOO_LARGE",
                requestBytes=str(len(request)),
                requestBytesMax=str(REQUEST_BYTES_MAX),
            )
            assert held_by(data, run_id) == before
        else:
            raw(channel, name)(request)


SECRET: Final = "secret-of-the-server"


@every_method
def test_a_fault_of_the_server_tells_nothing(
    server: RunningServer, stub: Stub, data: Data, name: str
) -> None:
    """INTERNAL, with an id and nothing of the exception; the next call finds a server that works."""
    request = build(name, target(stub, data))
    server.store.error = RuntimeError(SECRET)

    refusal = check_refused(lambda: call(data, name, request), Code.INTERNAL, "INTERNAL_ERROR")

    assert refusal.metadata["errorId"] in refusal.message
    assert SECRET not in repr(refusal)
    server.store.error = None
    call(data, name, request)


@every_method
def test_a_damaged_store_is_data_loss(
    log: StringIO, server: RunningServer, stub: Stub, data: Data, name: str
) -> None:
    """What was found is in the log only, under the id that the caller has."""
    request = build(name, target(stub, data))
    server.store.error = StoreCorrupt(SECRET)

    refusal = check_refused(lambda: call(data, name, request), Code.DATA_LOSS, "STORE_CORRUPT")

    assert SECRET not in repr(refusal)
    assert refusal.metadata["callId"] in log.getvalue()


STORE_FAULTS: Final[tuple[tuple[Any, Code, str], ...]] = (
    (StoreFull(), Code.RESOURCE_EXHAUSTED, "STORE_FULL"),
    (Overloaded("search"), Code.UNAVAILABLE, "OVERLOADED"),
    (StoreClosed(), Code.UNAVAILABLE, "SHUTTING_DOWN"),
    (CommitOutcomeUnknown(), Code.UNAVAILABLE, "COMMIT_OUTCOME_UNKNOWN"),
)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_store_that_cannot_write_says_why(server: RunningServer, stub: Stub, data: Data, name: str) -> None:
    """With a delay where a retry helps."""
    request = build(name, target(stub, data))

    for error, code, reason in STORE_FAULTS:
        server.store.error = error
        refusal = check_refused(lambda: call(data, name, request), code, reason)
        assert refusal.retry_after_ms is None or 0 < refusal.retry_after_ms <= 60_000


@pytest.mark.parametrize("name", READS)
def test_reads_of_a_closed_store_say_so(server: RunningServer, stub: Stub, data: Data, name: str) -> None:
    """A read that comes while the server stops is told to come again."""
    request = build(name, target(stub, data))
    server.store.error = StoreClosed()

    check_refused(lambda: call(data, name, request), Code.UNAVAILABLE, "SHUTTING_DOWN")


@pytest.mark.parametrize("name", ["SearchValues", "WatchEvents", "DeleteState", "putValue", ""])
def test_methods_that_are_not_there_are_unimplemented(channel: grpc.Channel, name: str) -> None:
    """There are the 17 and no others."""
    method = channel.unary_unary(f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=bytes)

    with pytest.raises(grpc.RpcError) as refused:
        method(b"")

    assert refused.value.code() is Code.UNIMPLEMENTED
