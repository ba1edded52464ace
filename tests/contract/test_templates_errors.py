"""RunTemplates: which fault is told first, bytes that are no request, and faults of the server."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.struct_pb2 import Struct, Value
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1 import templates_pb2
from runindex_server.errors import CommitOutcomeUnknown, Overloaded, StoreClosed, StoreCorrupt, StoreFull
from runindex_server.limits import REQUEST_BYTES_MAX, TAGS_MAX
from tests.support.calls import DEFAULT, UNKNOWN_ID, Stub, check_refused, create, struct
from tests.support.consistency import check_store
from tests.support.data_calls import revision_of
from tests.support.server import LoopThread, RunningServer
from tests.support.template_methods import (
    METHODS,
    MUTATIONS,
    READS,
    SERVICE,
    Templates,
    build,
    call,
    everything,
    put,
    raw,
    target,
)

every_method: Final = pytest.mark.parametrize("name", METHODS)

CODES: Final = {
    "TEMPLATE_NOT_FOUND": Code.NOT_FOUND,
    "RUN_NOT_FOUND": Code.NOT_FOUND,
    "PARENT_RUN_NOT_FOUND": Code.NOT_FOUND,
    "RUN_ALREADY_EXISTS": Code.ALREADY_EXISTS,
    "LIMIT_EXCEEDED": Code.FAILED_PRECONDITION,
    "TEMPLATE_VERSION_MISMATCH": Code.ABORTED,
}
"""Of the reasons below; all others are INVALID_ARGUMENT."""

FULL: Final = "11111111-2222-4333-8444-555555555520"
"""A run with nearly all the metadata that one can have, as the template `full` has, with all its tags."""


@pytest.fixture
def store_kind() -> str:
    """Return one store for all: what is tested here is decided before a store is asked, or for it."""
    return "memory"


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    server.store.error = None
    loop.run(check_store(server.store))


# The order of checks.


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a request.

    Attributes:
        reason: What it is refused for when it is the first.
        fields: The fields that are at fault, and those that take no fault away.
        place: The field that the refusal names, or None when it names none.
    """

    reason: str
    fields: dict[str, Any]
    place: str | None = None


def fault(reason: str, place: str | None = None, **fields: Any) -> Fault:
    """Return a fault."""
    return Fault(reason=reason, fields=fields, place=place)


NO_JSON: Final = Struct(fields={"k": Value(number_value=float("nan")), "_strata_x": Value(bool_value=True)})
NO_NAME: Final = fault("FIELD_REQUIRED", "name", name="")
BAD_NAME: Final = fault("INVALID_FIELD", "name", name="\n")
NO_TAG: Final = fault("INVALID_TAG", "tags[0]", tags=["\n"])
NO_METADATA: Final = fault("INVALID_METADATA", "metadata", metadata=NO_JSON)
RESERVED: Final = fault("RESERVED_METADATA_KEY", "metadata", metadata=struct({"_strata_x": 1}))
NO_POLICY: Final = fault("INVALID_RETENTION_POLICY", "retention", retention=index_pb.RetentionPolicy())
NO_REQUEST_ID: Final = fault("INVALID_FIELD", "request_id", request_id="x" * 65)
REUSED: Final = fault("REQUEST_ID_REUSED", "request_id", request_id="used")
MISSING: Final = fault("TEMPLATE_NOT_FOUND", name="absent")
STALE: Final = fault("TEMPLATE_VERSION_MISMATCH", expected_version=99)
CONTENT: Final = (NO_TAG, NO_METADATA, RESERVED, NO_POLICY, NO_REQUEST_ID, REUSED)
TOO_MUCH: Final = struct({"more": "x" * 30_000})

ORDERS: Final[dict[str, tuple[Fault, ...]]] = {
    "PutTemplate": (NO_NAME, BAD_NAME, *CONTENT, STALE),
    "GetTemplate": (NO_NAME, BAD_NAME, MISSING),
    "ListTemplates": (
        fault("INVALID_FIELD", "prefix", prefix="\n"),
        fault("INVALID_PAGE_SIZE", "page_size", page_size=-1),
        fault("INVALID_PAGE_TOKEN", "page_token", page_token="damaged"),
    ),
    "DeleteTemplate": (
        NO_NAME,
        BAD_NAME,
        NO_REQUEST_ID,
        REUSED,
        fault("TEMPLATE_NOT_FOUND", name="absent", expected_version=99),
        STALE,
    ),
    "CreateRunFromTemplate": (
        NO_NAME,
        BAD_NAME,
        fault("INVALID_RUN_ID", "run_id", run_id="nonsense"),
        fault("INVALID_RUN_ID", "parent_run_id", parent_run_id=""),
        *CONTENT,
        MISSING,
        fault("RUN_ALREADY_EXISTS", run_id=DEFAULT),
        fault("PARENT_RUN_NOT_FOUND", parent_run_id=UNKNOWN_ID),
        fault("LIMIT_EXCEEDED", name="full", tags=["more"]),
        fault("LIMIT_EXCEEDED", name="full", metadata=TOO_MUCH),
    ),
    "CloneRun": (
        fault("INVALID_RUN_ID", "run_id", run_id="nonsense"),
        fault("INVALID_RUN_ID", "new_run_id", new_run_id=""),
        NO_METADATA,
        RESERVED,
        NO_REQUEST_ID,
        REUSED,
        fault("RUN_NOT_FOUND", run_id=UNKNOWN_ID),
        fault("RUN_ALREADY_EXISTS", new_run_id=DEFAULT),
        fault("LIMIT_EXCEEDED", run_id=FULL, metadata=TOO_MUCH),
    ),
}
"""For each method its faults in the order in which they are checked; each can stand beside all before it."""


@pytest.mark.parametrize("name", ORDERS)
def test_the_first_fault_is_told(stub: Stub, templates: Templates, name: str) -> None:
    """With each later one beside it, and alone; nothing is changed."""
    target(stub, templates)
    create(stub, run_id=FULL, metadata={"text": "x" * 60_000})
    put(templates, "full", tags=[f"{n}" for n in range(TAGS_MAX)], metadata={"text": "x" * 60_000})
    stub.CreateRun(index_pb.CreateRunRequest(request_id="used"))
    faults, before = ORDERS[name], everything(stub, templates)

    for place, first in enumerate(faults):
        for later in (first, *faults[place + 1 :]):
            request = build(name, **(later.fields | first.fields))
            refusal = check_refused(
                lambda request=request: call(templates, name, request),
                CODES.get(first.reason, Code.INVALID_ARGUMENT),
                first.reason,
            )
            assert refusal.metadata.get("field") == first.place
    assert everything(stub, templates) == before
    call(templates, name, build(name))


def test_every_method_has_its_order() -> None:
    """None is left out, neither here nor in the table of methods."""
    service = templates_pb2.DESCRIPTOR.services_by_name["RunTemplates"]
    assert service.full_name == SERVICE
    assert sorted(ORDERS) == sorted(METHODS) == sorted(method.name for method in service.methods)


# Bytes.

FAR_FIELD: Final = 5_000
"""The number of a field that no message has."""

NO_TEXT: Final = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x9f\x9a")
"""Bytes that are no UTF-8."""


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


@every_method
def test_bytes_that_do_not_parse_are_refused(
    channel: grpc.Channel, stub: Stub, templates: Templates, name: str
) -> None:
    """Noise, a request that breaks off, and text that is none; nothing is changed."""
    target(stub, templates)
    before = everything(stub, templates)
    request = build(name).SerializeToString()
    texts = [
        field.number for field in build(name).DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_STRING
    ]
    noise = [b"\x00", b"\xff" * 11, b'{"name": "t"}', request + b"\x0a"]
    noise += [request + tag(number, 2) + varint(len(text)) + text for number in texts for text in NO_TEXT]

    for data in noise:
        check_refused(lambda data=data: raw(channel, name)(data), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")
    assert everything(stub, templates) == before


@every_method
def test_fields_that_nobody_knows_are_ignored(
    channel: grpc.Channel, stub: Stub, templates: Templates, name: str
) -> None:
    """A newer client may talk to an older server."""
    target(stub, templates)
    unknown = tag(FAR_FIELD, 0) + b"\x01" + tag(FAR_FIELD + 1, 2) + b"\x03new"

    assert raw(channel, name)(build(name).SerializeToString() + unknown).revision == revision_of(stub)


@every_method
def test_a_larger_request_is_refused(
    channel: grpc.Channel, stub: Stub, templates: Templates, name: str
) -> None:
    """By our bound and with both sizes; at the bound it is taken."""
    target(stub, templates)
    before = everything(stub, templates)
    start = build(name).SerializeToString() + tag(FAR_FIELD, 2)
    padding = bytes(REQUEST_BYTES_MAX - len(start) - 3)
    request = start + varint(len(padding)) + padding
    assert len(request) == REQUEST_BYTES_MAX

    check_refused(
        lambda: raw(channel, name)(request + b"\x00"),
        Code.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
        requestBytes=str(REQUEST_BYTES_MAX + 1),
        requestBytesMax=str(REQUEST_BYTES_MAX),
    )
    assert everything(stub, templates) == before
    raw(channel, name)(request)


# Faults of the server.

SECRET: Final = "secret-of-the-server"


@every_method
def test_a_fault_of_the_server_tells_nothing(
    server: RunningServer, stub: Stub, templates: Templates, name: str
) -> None:
    """INTERNAL, with an id and nothing of the exception; the next call finds a server that works."""
    target(stub, templates)
    server.store.error = RuntimeError(SECRET)

    refusal = check_refused(lambda: call(templates, name, build(name)), Code.INTERNAL, "INTERNAL_ERROR")

    assert refusal.metadata["errorId"] in refusal.message
    assert SECRET not in repr(refusal)
    server.store.error = None
    call(templates, name, build(name))


@every_method
def test_a_damaged_store_is_data_loss(
    log: StringIO, server: RunningServer, stub: Stub, templates: Templates, name: str
) -> None:
    """What was found is in the log only, under the id that the caller has."""
    target(stub, templates)
    server.store.error = StoreCorrupt(SECRET)

    refusal = check_refused(lambda: call(templates, name, build(name)), Code.DATA_LOSS, "STORE_CORRUPT")

    assert SECRET not in repr(refusal)
    assert refusal.metadata["callId"] in log.getvalue()


STORE_FAULTS: Final[tuple[tuple[Any, Code, str], ...]] = (
    (StoreFull(), Code.RESOURCE_EXHAUSTED, "STORE_FULL"),
    (Overloaded("search"), Code.UNAVAILABLE, "OVERLOADED"),
    (StoreClosed(), Code.UNAVAILABLE, "SHUTTING_DOWN"),
    (CommitOutcomeUnknown(), Code.UNAVAILABLE, "COMMIT_OUTCOME_UNKNOWN"),
)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_store_that_cannot_write_says_why(
    server: RunningServer, stub: Stub, templates: Templates, name: str
) -> None:
    """With a delay where a retry helps."""
    target(stub, templates)

    for error, code, reason in STORE_FAULTS:
        server.store.error = error
        refusal = check_refused(lambda: call(templates, name, build(name)), code, reason)
        assert refusal.retry_after_ms is None or 0 < refusal.retry_after_ms <= 60_000


@pytest.mark.parametrize("name", READS)
def test_reads_of_a_closed_store_say_so(server: RunningServer, templates: Templates, name: str) -> None:
    """A read that comes while the server stops is told to come again."""
    server.store.error = StoreClosed()

    check_refused(lambda: call(templates, name, build(name)), Code.UNAVAILABLE, "SHUTTING_DOWN")


@pytest.mark.parametrize("name", ["RunTemplate", "UpdateTemplate", "CreateRun", "putTemplate", ""])
def test_methods_that_are_not_there_are_unimplemented(channel: grpc.Channel, name: str) -> None:
    """There are the 6 and no others."""
    method = channel.unary_unary(f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=bytes)

    with pytest.raises(grpc.RpcError) as refused:
        method(b"")

    assert refused.value.code() is Code.UNIMPLEMENTED
