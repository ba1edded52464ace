"""The service as it is found: its 24 methods and no others, health, and reflection."""

import re
from typing import Final

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import DEFAULT, METADATA_KEYS, Stub
from tests.support.methods import (
    CHANGES,
    COLLECTIONS,
    METHODS,
    MUTATIONS,
    READS,
    SERVICE,
    build,
    call,
    target,
)
from tests.support.server import RunningServer

THE_24: Final = (
    "CreateRun",
    "GetRun",
    "ListRuns",
    "RunExists",
    "UpdateRunMetadata",
    "CloseRun",
    "PauseRun",
    "ResumeRun",
    "FailRun",
    "CancelRun",
    "ArchiveRun",
    "DeleteRun",
    "QueryRunsByState",
    "QueryRunsByTag",
    "CountRuns",
    "SearchRuns",
    "AddRunTags",
    "RemoveRunTags",
    "GetRunTags",
    "CreateChildRun",
    "GetChildRuns",
    "GetParentRun",
    "SetRunRetention",
    "GetRunRetention",
)

NEVER: Final = re.compile(
    "execute|schedule|retry|timeout|callback|inherit|cascade|wait|content|fork|merge|gc|batch", re.IGNORECASE
)
"""What the plan's Never Add list is about."""

DESCRIPTOR: Final = pb.DESCRIPTOR.services_by_name["RunIndex"]


def test_exactly_the_24_methods_in_their_order() -> None:
    """The contract has these and no others."""
    assert DESCRIPTOR.full_name == SERVICE
    assert tuple(method.name for method in DESCRIPTOR.methods) == THE_24
    assert len(THE_24) == 24
    assert sorted(METHODS) == sorted(THE_24)


def test_nothing_of_the_never_add_list() -> None:
    """No method does what belongs to another layer."""
    assert not [method.name for method in DESCRIPTOR.methods if NEVER.search(method.name)]


def test_no_other_service_in_the_file() -> None:
    """What is not of the index stands in a file of its own."""
    assert list(pb.DESCRIPTOR.services_by_name) == ["RunIndex"]


@pytest.mark.parametrize("name", THE_24)
def test_each_method_is_unary_with_messages_of_its_own(name: str) -> None:
    """Nothing streams, and no message is shared between methods."""
    method = DESCRIPTOR.methods_by_name[name]

    assert (method.input_type.name, method.output_type.name) == (f"{name}Request", f"{name}Response")
    assert not method.client_streaming
    assert not method.server_streaming


def test_exactly_the_reads_have_no_side_effects() -> None:
    """Which tells clients that they may be repeated."""
    no_side_effects = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    marked = [
        method.name
        for method in DESCRIPTOR.methods
        if method.GetOptions().idempotency_level == no_side_effects
    ]

    assert sorted(marked) == sorted(READS)


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_can_be_retried(name: str) -> None:
    """And each change of a run can be made conditional: an absence that is not zero."""
    fields = DESCRIPTOR.methods_by_name[name].input_type.fields_by_name

    assert fields["request_id"].number == 15
    assert fields["request_id"].has_presence
    assert ("expected_version" in fields) == (name in CHANGES)
    if name in CHANGES:
        assert fields["expected_version"].number == 14
        assert fields["expected_version"].has_presence


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_collection_is_paged_in_the_same_way(name: str) -> None:
    """The same names, numbers and types; `skip` on ListRuns only."""
    method = DESCRIPTOR.methods_by_name[name]
    request, response = method.input_type.fields_by_name, method.output_type.fields_by_name

    assert (request["page_size"].number, request["page_size"].type) == (10, FieldDescriptor.TYPE_INT32)
    assert (request["page_token"].number, request["page_token"].type) == (11, FieldDescriptor.TYPE_STRING)
    assert request["view"].number == 13
    assert ("skip" in request) == (name == "ListRuns")
    assert (response["runs"].number, response["next_page_token"].number) == (1, 2)


def test_metadata_is_the_last_field_of_a_run() -> None:
    """A record ends with it."""
    assert max(field.number for field in pb.Run.DESCRIPTOR.fields) == pb.Run.METADATA_FIELD_NUMBER == 100


def test_the_numbers_of_states_and_views() -> None:
    """They are stored, and sent."""
    assert pb.RunState.items() == [
        ("RUN_STATE_UNSPECIFIED", 0),
        ("RUN_STATE_ACTIVE", 1),
        ("RUN_STATE_PAUSED", 2),
        ("RUN_STATE_COMPLETED", 3),
        ("RUN_STATE_FAILED", 4),
        ("RUN_STATE_CANCELLED", 5),
        ("RUN_STATE_ARCHIVED", 6),
    ]
    assert pb.RunView.items() == [
        ("RUN_VIEW_UNSPECIFIED", 0),
        ("RUN_VIEW_ID_ONLY", 1),
        ("RUN_VIEW_BASIC", 2),
        ("RUN_VIEW_FULL", 3),
    ]


def test_every_reason_that_these_tests_know_is_in_the_contract() -> None:
    """Callers have constants for them."""
    reasons = {name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.keys()}  # noqa: SIM118 # Not a dict.

    assert METADATA_KEYS.keys() <= reasons


@pytest.mark.parametrize("name", THE_24)
def test_every_method_answers(stub: Stub, name: str) -> None:
    """With its own response, to a request that is right."""
    answer = call(stub, name, build(name, target(stub, name)))

    assert isinstance(answer, getattr(pb, f"{name}Response"))


@pytest.mark.parametrize("service", ["", SERVICE, "grpc.health.v1.Health"])
def test_health_is_serving(channel: grpc.Channel, service: str) -> None:
    """For the whole server and for each service."""
    health = health_pb2_grpc.HealthStub(channel)

    answer = health.Check(health_pb2.HealthCheckRequest(service=service))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_a_service_that_is_not_there(channel: grpc.Channel) -> None:
    """Is not found, as the protocol wants."""
    health = health_pb2_grpc.HealthStub(channel)

    with pytest.raises(grpc.RpcError) as refused:
        health.Check(health_pb2.HealthCheckRequest(service="runindex.v1.Scheduler"))

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_can_be_watched(channel: grpc.Channel) -> None:
    """A watcher gets the state at once."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))

    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    """So that grpcurl works at once."""
    services = ProtoReflectionDescriptorDatabase(channel).get_services()

    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= set(services)


def test_reflection_is_enough_to_call(channel: grpc.Channel) -> None:
    """A caller without generated code finds the contract, and gets an answer by it."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(SERVICE).methods_by_name["GetRun"]
    request_class, response_class = (
        GetMessageClass(kind) for kind in (method.input_type, method.output_type)
    )
    call_by_reflection = channel.unary_unary(
        f"/{SERVICE}/GetRun",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )

    answer = call_by_reflection(request_class(run_id=DEFAULT))  # type: ignore[call-arg] # made at run time

    assert answer.run.run_id == DEFAULT


def test_a_stopped_server_refuses_connections(server: RunningServer, channel: grpc.Channel) -> None:
    """Whoever calls then is told that it is unavailable, and by the server itself while it drains."""
    stub = Stub(channel)
    assert stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT)).exists

    server.stop()

    with pytest.raises(grpc.RpcError) as refused:
        stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
