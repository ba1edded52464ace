"""The contract keeps its own conventions, and what stands beside it says the same."""

import re
from typing import Final

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from runindex.v1 import insights_pb2, maintenance_pb2, run_data_pb2, templates_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex_server.errors import Reason
from runindex_server.rpc.status import STATUS_CODES
from runindex_server.schema._generated import run_record_pb2 as storage
from runindex_server.schema.run import RunState, RunView
from scripts import contract

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RunIndex"]
RUN_DATA: Final = run_data_pb2.DESCRIPTOR.services_by_name["RunData"]
INSIGHTS: Final = insights_pb2.DESCRIPTOR.services_by_name["RunInsights"]
TEMPLATES: Final = templates_pb2.DESCRIPTOR.services_by_name["RunTemplates"]
MAINTENANCE: Final = maintenance_pb2.DESCRIPTOR.services_by_name["Maintenance"]
METHODS: Final = {method.name: method for method in SERVICE.methods}
DATA_METHODS: Final = {method.name: method for method in RUN_DATA.methods}
INSIGHTS_METHODS: Final = {method.name: method for method in INSIGHTS.methods}
TEMPLATES_METHODS: Final = {method.name: method for method in TEMPLATES.methods}
MAINTENANCE_METHODS: Final = {method.name: method for method in MAINTENANCE.methods}
BY_SERVICE: Final = (METHODS, DATA_METHODS, INSIGHTS_METHODS, TEMPLATES_METHODS, MAINTENANCE_METHODS)
ALL_METHODS: Final = {name: method for methods in BY_SERVICE for name, method in methods.items()}

RUN_INDEX_READS: Final = {
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
DATA_READS: Final = {
    "GetValue",
    "ListValues",
    "GetValueHistory",
    "ReadEvents",
    "CountEvents",
    "GetState",
    "ListStates",
    "GetDocument",
    "ListDocuments",
}
TEMPLATES_READS: Final = {"GetTemplate", "ListTemplates"}
MAINTENANCE_READS: Final = {"GetStatus", "Verify", "Backup"}
READS: Final = RUN_INDEX_READS | DATA_READS | INSIGHTS_METHODS.keys() | TEMPLATES_READS | MAINTENANCE_READS

UNCONDITIONAL: Final = {"Compact"}
"""What writes, and is safe to repeat without a request id."""

CREATES: Final = {"CreateRun", "CreateChildRun", "CreateRunFromTemplate", "CloneRun"}
WITHOUT_A_VERSION: Final = CREATES | UNCONDITIONAL | {"AppendEvents", "CompareAndSetState"}
"""What makes something new, compares something else, or concerns no run of its own."""

COLLECTIONS: Final = {"ListRuns", "QueryRunsByState", "QueryRunsByTag", "SearchRuns", "GetChildRuns"}
DATA_COLLECTIONS: Final = {"ListValues", "GetValueHistory", "ReadEvents", "ListStates", "ListDocuments"}
INSIGHTS_COLLECTIONS: Final = {"GetRunHistory", "ListTags", "ListStaleRuns", "ListErrors"}
TEMPLATES_COLLECTIONS: Final = {"ListTemplates"}
STREAMS: Final = {"Compact", "Verify", "Backup"}

every_method = pytest.mark.parametrize("method", ALL_METHODS.values(), ids=ALL_METHODS)
every_run_index_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
every_later_method = pytest.mark.parametrize(
    "method", (INSIGHTS_METHODS | TEMPLATES_METHODS).values(), ids=INSIGHTS_METHODS | TEMPLATES_METHODS
)
every_data_method = pytest.mark.parametrize("method", DATA_METHODS.values(), ids=DATA_METHODS)


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

    if method.name in READS | UNCONDITIONAL:
        assert field is None
    else:
        assert field is not None
        assert (field.number, field.type, field.has_presence) == (15, FieldDescriptor.TYPE_STRING, True)


@every_method
def test_every_mutation_of_what_has_versions_can_expect_one(method: MethodDescriptor) -> None:
    field = method.input_type.fields_by_name.get("expected_version")

    if method.name in READS | WITHOUT_A_VERSION:
        assert field is None
    else:
        assert field is not None
        assert (field.number, field.type, field.has_presence) == (14, FieldDescriptor.TYPE_UINT64, True)


@every_method
def test_every_response_has_the_revision(method: MethodDescriptor) -> None:
    field = method.output_type.fields_by_name["revision"]

    assert (field.number, field.type, field.has_presence) == (15, FieldDescriptor.TYPE_UINT64, False)


@every_run_index_method
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


@every_data_method
def test_every_collection_of_data_is_paged_alike(method: MethodDescriptor) -> None:
    is_collection = method.name in DATA_COLLECTIONS
    asked, answered = numbers(method.input_type), numbers(method.output_type)

    assert (asked.get("page_size"), asked.get("page_token")) == ((10, 11) if is_collection else (None, None))
    assert answered.get("next_page_token") == (2 if is_collection else None)
    assert not {"skip", "view", "limit", "offset"} & asked.keys()
    if is_collection:
        size, token = (method.input_type.fields_by_name[name] for name in ("page_size", "page_token"))
        assert (size.type, token.type) == (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_STRING)
        assert method.output_type.fields[0].is_repeated


@every_later_method
def test_every_collection_of_the_later_services_is_paged_alike(method: MethodDescriptor) -> None:
    is_collection = method.name in INSIGHTS_COLLECTIONS | TEMPLATES_COLLECTIONS
    asked, answered = numbers(method.input_type), numbers(method.output_type)

    assert (asked.get("page_size"), asked.get("page_token")) == ((10, 11) if is_collection else (None, None))
    assert answered.get("next_page_token") == (2 if is_collection else None)
    assert asked.get("view", 13) == 13
    assert not {"skip", "limit", "offset"} & asked.keys()
    if is_collection:
        assert method.output_type.fields[0].is_repeated


@every_data_method
def test_every_call_of_data_names_its_run_first(method: MethodDescriptor) -> None:
    first = method.input_type.fields[0]

    assert (first.name, first.number, first.type) == ("run_id", 1, FieldDescriptor.TYPE_STRING)
    assert not first.has_presence


@every_data_method
def test_every_write_of_data_tells_when(method: MethodDescriptor) -> None:
    time = "append_time" if method.name == "AppendEvents" else "write_time"
    field = method.output_type.fields_by_name.get(time)

    assert (field is None) == (method.name in DATA_READS)
    if field is not None:
        assert (field.number, field.message_type.full_name) == (2, "google.protobuf.Timestamp")


@every_method
def test_long_work_and_nothing_else_answers_piece_by_piece(method: MethodDescriptor) -> None:
    assert method.server_streaming == (method.name in STREAMS)
    assert not method.client_streaming


@every_method
def test_every_method_has_messages_of_its_own(method: MethodDescriptor) -> None:
    assert (method.input_type.name, method.output_type.name) == (
        f"{method.name}Request",
        f"{method.name}Response",
    )


def test_no_two_services_share_the_name_of_a_method() -> None:
    assert len(ALL_METHODS) == sum(map(len, BY_SERVICE))
    assert [len(methods) for methods in BY_SERVICE] == [24, 17, 6, 6, 4]


def test_a_read_returns_what_a_list_holds() -> None:
    for item, reader, lister in (
        ("KeyValue", "GetValue", "ListValues"),
        ("KeyValue", "GetValue", "GetValueHistory"),
        ("StateCell", "GetState", "ListStates"),
        ("Document", "GetDocument", "ListDocuments"),
    ):
        read = DATA_METHODS[reader].output_type.fields_by_name["item"]
        listed = DATA_METHODS[lister].output_type.fields_by_name["items"]
        assert read.message_type.name == listed.message_type.name == item


@every_run_index_method
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
