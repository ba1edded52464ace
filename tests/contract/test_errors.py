"""Bytes that are no request, and faults of the server: every call ends with a reason, none with a leak."""

from io import StringIO
from typing import Any, Final

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex_server.errors import CommitOutcomeUnknown, Overloaded, StoreClosed, StoreCorrupt, StoreFull
from runindex_server.limits import REQUEST_BYTES_MAX
from tests.support.calls import DEFAULT, Stub, check_refused, create, get, list_ids, struct
from tests.support.methods import (
    COLLECTIONS,
    METHODS,
    MUTATIONS,
    OF_ONE_RUN,
    READS,
    SERVICE,
    build,
    call,
    raw,
    target,
)
from tests.support.server import RunningServer

FAR_FIELD: Final = 5_000
"""The number of a field that no message has."""


@pytest.fixture
def store_kind() -> str:
    """Return one store for all: what is tested here is decided before a store is asked, or for it."""
    return "memory"


def tag(number: int, wire_type: int) -> bytes:
    """Return the key of a field on the wire."""
    return varint(number << 3 | wire_type)


def varint(number: int) -> bytes:
    """Return a number on the wire."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def padded(data: bytes, size: int) -> bytes:
    """Return a request made as large as is asked for, by a field that nobody knows."""
    for length_bytes in range(1, 6):
        length = size - len(data) - len(tag(FAR_FIELD, 2)) - length_bytes
        if len(varint(length)) == length_bytes:
            return data + tag(FAR_FIELD, 2) + varint(length) + bytes(length)
    msg = f"no padding makes {len(data)} bytes {size}"
    raise AssertionError(msg)


NOISE: Final = (
    b"\x00",  # Field zero.
    b"\xff" * 11,  # A number without end.
    b"\x08",  # A field without a value.
    tag(FAR_FIELD, 2) + b"\x05abc",  # A value that is too short.
    tag(FAR_FIELD, 4),  # The end of no group.
    tag(FAR_FIELD, 7),  # No wire type.
    b'{"run_id": "default"}',
)


@pytest.mark.parametrize("name", METHODS)
def test_bytes_that_do_not_parse_are_refused(channel: grpc.Channel, name: str) -> None:
    """By every method, as the caller's fault."""
    for noise in NOISE:
        check_refused(
            lambda noise=noise: raw(channel, name)(noise), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST"
        )


@pytest.mark.parametrize("name", METHODS)
def test_a_request_that_breaks_off_writes_nothing(channel: grpc.Channel, stub: Stub, name: str) -> None:
    """What came before the damage counts for nothing."""
    run_id = target(stub, name)
    before = get(stub, run_id)
    data = build(name, run_id).SerializeToString() + b"\x08"

    check_refused(lambda: raw(channel, name)(data), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")

    assert get(stub, run_id) == before
    assert list_ids(stub) == [run_id, DEFAULT]


@pytest.mark.parametrize("name", METHODS)
def test_fields_that_nobody_knows_are_ignored(channel: grpc.Channel, stub: Stub, name: str) -> None:
    """A newer client may talk to an older server."""
    request = build(name, target(stub, name))
    unknown = tag(FAR_FIELD, 0) + b"\x01" + tag(FAR_FIELD + 1, 2) + b"\x03new"

    raw(channel, name)(request.SerializeToString() + unknown)


def test_fields_that_nobody_knows_do_not_come_back(channel: grpc.Channel) -> None:
    """They are not kept, neither in a run nor in its metadata."""
    inner = Struct(fields={"k": Value(string_value="v")}).SerializeToString() + tag(FAR_FIELD, 0) + b"\x01"
    data = tag(2, 2) + varint(len(inner)) + inner + tag(FAR_FIELD, 2) + b"\x03new"

    created = raw(channel, "CreateRun")(data).run

    assert created.metadata.SerializeToString() == struct({"k": "v"}).SerializeToString()
    shown = raw(channel, "GetRun")(pb.GetRunRequest(run_id=created.run_id).SerializeToString()).run
    assert shown.SerializeToString(deterministic=True) == created.SerializeToString(deterministic=True)


TEXT_FIELDS: Final = (
    *((name, "run_id") for name in OF_ONE_RUN),
    *((name, "request_id") for name in MUTATIONS),
    *((name, "page_token") for name in COLLECTIONS),
    ("CreateRun", "run_id"),
    ("CreateRun", "tags"),
    ("CreateChildRun", "parent_run_id"),
    ("CreateChildRun", "run_id"),
    ("CreateChildRun", "tags"),
    ("FailRun", "error"),
    ("AddRunTags", "tags"),
    ("RemoveRunTags", "tags"),
    ("QueryRunsByTag", "tag"),
    ("SearchRuns", "query"),
)


def test_the_table_of_texts_is_complete() -> None:
    """Each text of each request is in it."""
    texts = {
        (name, field.name)
        for name in METHODS
        for field in build(name, DEFAULT).DESCRIPTOR.fields
        if field.type == field.TYPE_STRING
    }

    assert set(TEXT_FIELDS) == texts


NO_TEXT: Final = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"a\x80")


@pytest.mark.parametrize(("name", "field"), TEXT_FIELDS)
def test_text_that_is_no_utf8_is_refused(channel: grpc.Channel, stub: Stub, name: str, field: str) -> None:
    """Also surrogates, overlong forms and characters cut in two."""
    number = build(name, DEFAULT).DESCRIPTOR.fields_by_name[field].number
    start = build(name, target(stub, name)).SerializeToString() + tag(number, 2)

    for text in NO_TEXT:
        data = start + varint(len(text)) + text
        check_refused(lambda data=data: raw(channel, name)(data), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")


def test_metadata_nested_past_the_parser_is_refused(channel: grpc.Channel, stub: Stub) -> None:
    """Nesting without end costs the server nothing but the refusal."""
    inner = b""
    for _ in range(5_000):
        inner = tag(6, 2) + varint(len(inner)) + inner  # A list
        inner = tag(1, 2) + varint(len(inner)) + inner  # of one value.
    value = tag(6, 2) + varint(len(inner)) + inner
    entry = b"\x0a\x01k" + tag(2, 2) + varint(len(value)) + value
    metadata = tag(1, 2) + varint(len(entry)) + entry
    data = tag(2, 2) + varint(len(metadata)) + metadata

    check_refused(lambda: raw(channel, "CreateRun")(data), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")

    assert list_ids(stub) == [DEFAULT]


@pytest.mark.parametrize("name", METHODS)
def test_a_request_of_1_mib_is_taken(channel: grpc.Channel, stub: Stub, name: str) -> None:
    """Whatever it is filled with."""
    for size in (REQUEST_BYTES_MAX - 1, REQUEST_BYTES_MAX):
        data = padded(build(name, target(stub, name)).SerializeToString(), size)
        assert len(data) == size
        raw(channel, name)(data)


@pytest.mark.parametrize("name", METHODS)
def test_a_larger_request_is_refused(channel: grpc.Channel, stub: Stub, name: str) -> None:
    """By our bound and with both sizes, before it is parsed."""
    run_id = target(stub, name)
    before = get(stub, run_id)

    for size in (REQUEST_BYTES_MAX + 1, 3 * REQUEST_BYTES_MAX):
        for data in (padded(build(name, run_id).SerializeToString(), size), b"\xff" * size):
            check_refused(
                lambda data=data: raw(channel, name)(data),
                Code.RESOURCE_EXHAUSTED,
                "REQUEST_TOO_LARGE",
                requestBytes=str(size),
                requestBytesMax=str(REQUEST_BYTES_MAX),
            )
    assert get(stub, run_id) == before


def test_a_request_far_too_large_is_refused(channel: grpc.Channel, stub: Stub) -> None:
    """By gRPC itself, with the same code; the connection and the server go on."""
    data = bytes(32 * REQUEST_BYTES_MAX)

    with pytest.raises(grpc.RpcError) as refused:
        raw(channel, "GetRun")(data)

    assert refused.value.code() is Code.RESOURCE_EXHAUSTED
    assert get(stub, DEFAULT).run_id == DEFAULT


@pytest.mark.parametrize(
    ("name", "field", "reason"),
    [
        *((name, "view", "INVALID_FIELD") for name in (*COLLECTIONS, "GetRun")),
        ("QueryRunsByState", "state", "INVALID_STATE"),
        ("ListRuns", "states", "INVALID_STATE"),
        ("CountRuns", "states", "INVALID_STATE"),
    ],
)
def test_numbers_that_no_enum_has_are_refused(stub: Stub, name: str, field: str, reason: str) -> None:
    """Also among states that exist."""
    for number in (7, 99, -1, 2**31 - 1):
        value: Any = [pb.RUN_STATE_ACTIVE, number] if field == "states" else number
        request = build(name, DEFAULT, **{field: value})
        refusal = check_refused(
            lambda request=request: call(stub, name, request), Code.INVALID_ARGUMENT, reason
        )
        assert refusal.metadata["field"].startswith(field)
        assert reason != "INVALID_STATE" or refusal.metadata["value"] == str(number)


@pytest.mark.parametrize("name", ["ListRuns", "CountRuns"])
def test_unspecified_is_no_state_to_ask_for(stub: Stub, name: str) -> None:
    """A list of states names states."""
    request = build(name, DEFAULT, states=[pb.RUN_STATE_UNSPECIFIED])

    check_refused(lambda: call(stub, name, request), Code.INVALID_ARGUMENT, "INVALID_STATE", value="0")


SECRET: Final = "secret-of-the-server"


@pytest.mark.parametrize("name", METHODS)
def test_a_fault_of_the_server_tells_nothing(server: RunningServer, stub: Stub, name: str) -> None:
    """INTERNAL, with an id and nothing of the exception; the next call finds a server that works."""
    request = build(name, target(stub, name))
    server.store.error = RuntimeError(SECRET)

    first = check_refused(lambda: call(stub, name, request), Code.INTERNAL, "INTERNAL_ERROR")
    second = check_refused(lambda: call(stub, name, request), Code.INTERNAL, "INTERNAL_ERROR")

    assert first.metadata["errorId"] != second.metadata["errorId"]
    assert first.metadata["errorId"] in first.message
    for refusal in (first, second):
        assert SECRET not in repr(refusal)
        assert "RuntimeError" not in repr(refusal)
        assert "Traceback" not in repr(refusal)
    server.store.error = None
    call(stub, name, request)


def test_the_log_tells_what_the_caller_is_not_told(log: StringIO, server: RunningServer, stub: Stub) -> None:
    """Under the id that the caller has."""
    server.store.error = RuntimeError(SECRET)
    refusal = check_refused(lambda: get(stub, DEFAULT), Code.INTERNAL, "INTERNAL_ERROR")

    assert refusal.metadata["errorId"] in log.getvalue()
    assert SECRET in log.getvalue()


@pytest.mark.parametrize("name", METHODS)
def test_a_damaged_store_is_data_loss(log: StringIO, server: RunningServer, stub: Stub, name: str) -> None:
    """What was found is in the log only, under the id that the caller has."""
    request = build(name, target(stub, name))
    server.store.error = StoreCorrupt(SECRET)

    refusal = check_refused(lambda: call(stub, name, request), Code.DATA_LOSS, "STORE_CORRUPT")

    assert SECRET not in repr(refusal)
    assert refusal.metadata["callId"] in log.getvalue()
    assert SECRET in log.getvalue()


STORE_FAULTS: Final = (
    (StoreFull(), Code.RESOURCE_EXHAUSTED, "STORE_FULL"),
    (Overloaded("search"), Code.UNAVAILABLE, "OVERLOADED"),
    (StoreClosed(), Code.UNAVAILABLE, "SHUTTING_DOWN"),
    (CommitOutcomeUnknown(), Code.UNAVAILABLE, "COMMIT_OUTCOME_UNKNOWN"),
)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_store_that_cannot_write_says_why(server: RunningServer, stub: Stub, name: str) -> None:
    """With a delay where a retry helps."""
    request = build(name, target(stub, name))

    for error, code, reason in STORE_FAULTS:
        server.store.error = error
        refusal = check_refused(lambda: call(stub, name, request), code, reason)
        assert refusal.retry_after_ms is None or 0 < refusal.retry_after_ms <= 60_000


@pytest.mark.parametrize("name", READS)
def test_reads_of_a_closed_store_say_so(server: RunningServer, stub: Stub, name: str) -> None:
    """A read that comes while the server stops is told to come again."""
    request = build(name, target(stub, name))
    server.store.error = StoreClosed()

    check_refused(lambda: call(stub, name, request), Code.UNAVAILABLE, "SHUTTING_DOWN")


@pytest.mark.parametrize("name", ["RetryRun", "ExecuteRun", "getRun", "", "GetRun/"])
def test_methods_that_are_not_there_are_unimplemented(channel: grpc.Channel, name: str) -> None:
    """There are the 24 and no others."""
    method = channel.unary_unary(f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=bytes)

    with pytest.raises(grpc.RpcError) as refused:
        method(b"")

    assert refused.value.code() is Code.UNIMPLEMENTED


def test_compressed_requests_are_taken(stub: Stub) -> None:
    """What is compressed is held to the same bound when it is unpacked."""
    fine = pb.CreateRunRequest(metadata=struct({"k": "x" * 60_000}))
    assert stub.CreateRun(fine, compression=grpc.Compression.Gzip).run.metadata == fine.metadata

    large = pb.CreateRunRequest(metadata=struct({"k": "x" * (2 * REQUEST_BYTES_MAX)}))
    check_refused(
        lambda: stub.CreateRun(large, compression=grpc.Compression.Gzip),
        Code.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
        requestBytes=str(large.ByteSize()),
    )


def test_a_refusal_leaves_the_connection(stub: Stub) -> None:
    """Calls after a refusal work, on the same channel."""
    for _ in range(20):
        check_refused(lambda: create(stub, run_id=DEFAULT), Code.ALREADY_EXISTS, "RUN_ALREADY_EXISTS")
        assert get(stub, DEFAULT).version == 1
