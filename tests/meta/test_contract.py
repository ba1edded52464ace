"""The contract keeps its own conventions, and what stands beside it says the same."""

import re
from typing import Final

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from runindex.v1 import run_index_pb2 as pb
from runindex_server.errors import Reason
from runindex_server.rpc.status import STATUS_CODES
from runindex_server.schema._generated import run_record_pb2 as storage
from runindex_server.schema.run import RunState, RunView
from scripts import contract

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RunIndex"]
METHODS: Final = {method.name: method for method in SERVICE.methods}

READS: Final = {
    "GetRun",
    "ListRuns",
    "RunExists",
    "QueryRunsByState",
    "QueryRunsByTag",
    "CountRuns",
    "SearchRuns",
    "GetRunTags",
    "GetChildRuns",
    "GetParentRun",
    "GetRunRetention",
}
CREATES: Final = {"CreateRun", "CreateChildRun"}
COLLECTIONS: Final = {"ListRuns", "QueryRunsByState", "QueryRunsByTag", "SearchRuns", "GetChildRuns"}

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def numbers(message: Descriptor) -> dict[str, int]:
    """Return the numbers of a message's fields."""
    return {field.name: field.number for field in message.fields}


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    """Return what a field is on the wire and in code, whichever package its message is of."""
    of = field.message_type or field.enum_type
    name = of.full_name.replace("runindex.storage.v1.", "runindex.v1.") if of else None
    return field.name, field.number, field.type, field.is_repeated, field.has_presence, name


def values(enum: EnumDescriptor) -> list[tuple[str, int]]:
    """Return the values of an enum."""
    return [(value.name, value.number) for value in enum.values]


@every_method
def test_reads_and_nothing_else_have_no_side_effects(method: MethodDescriptor) -> None:
    has_none = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS

    assert has_none == (method.name in READS)


@every_method
def test_every_mutation_and_no_read_has_a_request_id(method: MethodDescriptor) -> None:
    field = method.input_type.fields_by_name.get("request_id")

    if method.name in READS:
        assert field is None
    else:
        assert field is not None
        assert (field.number, field.type, field.has_presence) == (15, FieldDescriptor.TYPE_STRING, True)


@every_method
def test_every_mutation_of_a_run_can_expect_a_version(method: MethodDescriptor) -> None:
    field = method.input_type.fields_by_name.get("expected_version")

    if method.name in READS | CREATES:
        assert field is None
    else:
        assert field is not None
        assert (field.number, field.type, field.has_presence) == (14, FieldDescriptor.TYPE_UINT64, True)


@every_method
def test_every_response_has_the_revision(method: MethodDescriptor) -> None:
    field = method.output_type.fields_by_name["revision"]

    assert (field.number, field.type, field.has_presence) == (15, FieldDescriptor.TYPE_UINT64, False)


@every_method
def test_every_collection_is_paged_alike(method: MethodDescriptor) -> None:
    paging = {"page_size": 10, "page_token": 11, "view": 13} if method.name in COLLECTIONS else {}
    if method.name == "ListRuns":
        paging["skip"] = 12
    if method.name == "GetRun":
        paging["view"] = 13

    asked = numbers(method.input_type)
    answered = numbers(method.output_type)

    assert {
        name: asked[name] for name in ("page_size", "page_token", "skip", "view") if name in asked
    } == paging
    assert answered.get("next_page_token") == (2 if method.name in COLLECTIONS else None)


@every_method
def test_a_run_is_always_called_run_id_and_comes_first(method: MethodDescriptor) -> None:
    first = {"CreateRun": "run_id", "CreateChildRun": "parent_run_id"}.get(method.name)
    asked = numbers(method.input_type)

    if first is None and "run_id" in asked:
        first = "run_id"

    assert first is None or asked[first] == 1


def test_metadata_is_the_last_field_of_a_run() -> None:
    assert max(numbers(pb.Run.DESCRIPTOR).values()) == numbers(pb.Run.DESCRIPTOR)["metadata"]
    assert (
        max(numbers(storage.RunRecord.DESCRIPTOR).values())
        == numbers(storage.RunRecord.DESCRIPTOR)["metadata"]
    )


@pytest.mark.parametrize(
    ("stored", "public"),
    [(storage.RunRecord, pb.Run), (storage.DeleteReceipt, pb.DeleteReceipt)],
    ids=["RunRecord", "DeleteReceipt"],
)
def test_stored_messages_are_the_public_ones(
    stored: type[storage.RunRecord | storage.DeleteReceipt], public: type[pb.Run | pb.DeleteReceipt]
) -> None:
    assert list(map(shape, stored.DESCRIPTOR.fields)) == list(map(shape, public.DESCRIPTOR.fields))


def test_stored_states_are_the_public_ones() -> None:
    assert values(storage.RunState.DESCRIPTOR) == values(pb.RunState.DESCRIPTOR)


def test_domain_states_and_views_are_the_public_ones() -> None:
    states = [("RUN_STATE_UNSPECIFIED", 0), *((f"RUN_STATE_{state.name}", state.value) for state in RunState)]
    views = [("RUN_VIEW_UNSPECIFIED", 0), *((f"RUN_VIEW_{view.name}", view.value) for view in RunView)]

    assert states == values(pb.RunState.DESCRIPTOR)
    assert views == values(pb.RunView.DESCRIPTOR)


def test_reasons_are_those_of_the_contract() -> None:
    in_contract = [name.removeprefix("ERROR_REASON_") for name in pb.ErrorReason.keys()[1:]]

    assert [reason.value for reason in Reason] == in_contract
    assert [reason.name for reason in Reason] == in_contract


@pytest.mark.parametrize("reason", Reason)
def test_reasons_can_be_sent(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]", reason)


def test_status_codes_are_those_that_the_contract_tells() -> None:
    told = {reason.name: reason.status_code for reason in contract.error_reasons()}

    assert {reason.value: code.name for reason, code in STATUS_CODES.items()} == told


def test_the_contract_imports_nothing_that_every_language_does_not_have() -> None:
    imported = {name for file in contract.files() for name in file.dependency}

    assert {name for name in imported if not name.startswith(("google/protobuf/", "runindex/v1/"))} == set()
