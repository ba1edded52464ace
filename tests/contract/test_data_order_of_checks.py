"""A call of RunData with several faults is refused for the one that is checked first."""

from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Value
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex_server.limits import DATA_VALUE_BYTES_MAX
from tests.support.calls import UNKNOWN_ID, Stub, archive, check_refused, create
from tests.support.data_calls import Data, draft, json_value, set_document, value
from tests.support.data_methods import METHODS, build, call, give

CODES: Final = {
    "RUN_NOT_FOUND": Code.NOT_FOUND,
    "VALUE_NOT_FOUND": Code.NOT_FOUND,
    "STATE_NOT_FOUND": Code.NOT_FOUND,
    "DOCUMENT_NOT_FOUND": Code.NOT_FOUND,
    "POINTER_NOT_FOUND": Code.NOT_FOUND,
    "RUN_ARCHIVED": Code.FAILED_PRECONDITION,
    "LIMIT_EXCEEDED": Code.FAILED_PRECONDITION,
    "VERSION_MISMATCH": Code.ABORTED,
    "VALUE_MISMATCH": Code.ABORTED,
}
"""Of the reasons below; all others are INVALID_ARGUMENT."""

HOLDER: Final = "11111111-2222-4333-8444-555555555501"
"""A run that holds one of each, and a document that is nearly as large as can be."""

ARCHIVED: Final = "11111111-2222-4333-8444-555555555502"
"""An archived run that holds nothing."""


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


def required(field: str, empty: Any = None) -> Fault:
    """Return the fault of leaving a field out."""
    return fault("FIELD_REQUIRED", field, **{field: empty})


NO_NUMBER: Final = Value(number_value=float("nan"))
NO_VALUE: Final = pb.DataValue(json=NO_NUMBER)
LARGE: Final = "x" * (DATA_VALUE_BYTES_MAX - 200)

BAD_ID: Final = fault("INVALID_RUN_ID", "run_id", run_id="nonsense")
MISSING: Final = fault("RUN_NOT_FOUND", run_id=UNKNOWN_ID)
FROZEN: Final = fault("RUN_ARCHIVED", run_id=ARCHIVED)
STALE: Final = fault("VERSION_MISMATCH", expected_version=99)
NO_REQUEST_ID: Final = fault("INVALID_FIELD", "request_id", request_id="x" * 65)
NO_VERSION: Final = fault("INVALID_FIELD", "version", version=0)
NO_POINTER: Final = fault("INVALID_FIELD", "pointer", pointer="~")
NO_PLACE: Final = fault("POINTER_NOT_FOUND", pointer="/none/none")
PAGE_SIZE: Final = fault("INVALID_PAGE_SIZE", "page_size", page_size=-1)
PAGE_TOKEN: Final = fault("INVALID_PAGE_TOKEN", "page_token", page_token="damaged")
PAGE: Final = (PAGE_SIZE, PAGE_TOKEN, MISSING)
"""A token of another life of the run is told from others with the run itself; see `test_data_paging`."""


def bad_name(field: str) -> Fault:
    """Return the fault of a name with a control character."""
    return fault("INVALID_FIELD", field, **{field: "\n"})


def absent(reason: str, field: str, **fields: Any) -> Fault:
    """Return the fault of a name under which nothing is."""
    return fault(reason, **{field: "absent", **fields})


def write(*faults: Fault) -> tuple[Fault, ...]:
    """Return the faults of a write: of its arguments, of its run, of what is there."""
    arguments = [each for each in faults if each.reason in {"FIELD_REQUIRED", "INVALID_FIELD"}]
    rest = faults[len(arguments) :]
    return (BAD_ID, *arguments, NO_REQUEST_ID, MISSING, FROZEN, *rest)


ORDERS: Final[dict[str, tuple[Fault, ...]]] = {
    "PutValue": write(
        required("key", ""),
        required("value"),
        bad_name("key"),
        fault("INVALID_FIELD", "value", value=NO_VALUE),
        STALE,
    ),
    "GetValue": (
        BAD_ID,
        required("key", ""),
        bad_name("key"),
        NO_VERSION,
        MISSING,
        absent("VALUE_NOT_FOUND", "key"),
    ),
    "DeleteValue": write(
        required("key", ""), bad_name("key"), absent("VALUE_NOT_FOUND", "key", expected_version=99), STALE
    ),
    "ListValues": (BAD_ID, bad_name("prefix"), *PAGE),
    "GetValueHistory": (BAD_ID, required("key", ""), bad_name("key"), *PAGE),
    "AppendEvents": write(
        required("events", []),
        fault("FIELD_REQUIRED", "events[0].stream", events=[draft("", 1)]),
        fault("FIELD_REQUIRED", "events[0].value", events=[pb.EventDraft(stream="\n")]),
        fault("INVALID_FIELD", "events[0].stream", events=[pb.EventDraft(stream="\n", value=NO_VALUE)]),
        fault("INVALID_FIELD", "events[0].value", events=[pb.EventDraft(stream="s", value=NO_VALUE)]),
    ),
    "ReadEvents": (BAD_ID, bad_name("stream"), *PAGE),
    "CountEvents": (BAD_ID, bad_name("stream"), MISSING),
    "SetState": write(
        required("cell", ""),
        required("value"),
        bad_name("cell"),
        fault("INVALID_FIELD", "value", value=NO_VALUE),
        STALE,
    ),
    "GetState": (
        BAD_ID,
        required("cell", ""),
        bad_name("cell"),
        NO_VERSION,
        MISSING,
        absent("STATE_NOT_FOUND", "cell"),
    ),
    "CompareAndSetState": write(
        required("cell", ""),
        required("value"),
        bad_name("cell"),
        fault("INVALID_FIELD", "expected", expected=NO_VALUE),
        fault("INVALID_FIELD", "value", value=NO_VALUE),
        fault("VALUE_MISMATCH", expected=value("another")),
    ),
    "ListStates": (BAD_ID, bad_name("prefix"), *PAGE),
    "SetDocument": write(
        required("document", ""),
        required("value"),
        bad_name("document"),
        NO_POINTER,
        fault("INVALID_FIELD", "value", value=NO_NUMBER),
        absent("DOCUMENT_NOT_FOUND", "document", pointer="/none/none", expected_version=99),
        STALE,
        NO_PLACE,
        fault("LIMIT_EXCEEDED", pointer="/more", value=json_value("x" * 1_000)),
    ),
    "GetDocument": (
        BAD_ID,
        required("document", ""),
        bad_name("document"),
        NO_POINTER,
        NO_VERSION,
        MISSING,
        absent("DOCUMENT_NOT_FOUND", "document"),
        NO_PLACE,
    ),
    "MergeDocument": write(
        required("document", ""),
        required("patch"),
        bad_name("document"),
        fault("INVALID_FIELD", "patch", patch=NO_NUMBER),
        STALE,
        fault("LIMIT_EXCEEDED", patch=json_value({"more": "x" * 1_000})),
    ),
    "DeleteDocument": write(
        required("document", ""),
        bad_name("document"),
        NO_POINTER,
        absent("DOCUMENT_NOT_FOUND", "document", expected_version=99),
        STALE,
        NO_PLACE,
    ),
    "ListDocuments": (BAD_ID, bad_name("prefix"), *PAGE),
}
"""For each method its faults in the order in which they are checked; each can stand beside all before it."""


def prepare(stub: Stub, data: Data) -> None:
    """Create the runs that the faults are about."""
    give(data, create(stub, run_id=HOLDER).run_id)
    set_document(data, HOLDER, "d", {"text": LARGE})
    archive(stub, create(stub, run_id=ARCHIVED).run_id)


def check_first(data: Data, name: str, first: Fault, request: Any) -> None:
    """Check that a request is refused for its first fault."""
    refusal = check_refused(
        lambda: call(data, name, request), CODES.get(first.reason, Code.INVALID_ARGUMENT), first.reason
    )
    assert refusal.metadata.get("field") == first.place


@pytest.mark.parametrize("name", ORDERS)
def test_the_first_fault_is_told(stub: Stub, data: Data, name: str) -> None:
    """With each later one beside it, and alone."""
    prepare(stub, data)
    faults = ORDERS[name]

    for place, first in enumerate(faults):
        for later in (first, *faults[place + 1 :]):
            check_first(data, name, first, build(name, HOLDER, **(later.fields | first.fields)))


def test_every_method_has_its_order() -> None:
    """None is left out."""
    assert sorted(ORDERS) == sorted(METHODS)


@pytest.mark.parametrize("name", ["PutValue", "SetState", "SetDocument"])
def test_without_a_fault_it_is_done(stub: Stub, data: Data, name: str) -> None:
    """The request to which the faults are added has none of its own."""
    prepare(stub, data)

    assert call(data, name, build(name, HOLDER)).version in {2, 3}


def test_faults_of_events_are_told_in_their_order(stub: Stub, data: Data) -> None:
    """What is missing anywhere comes before what is wrong anywhere; of each kind, the first event's."""
    run_id = create(stub).run_id
    wrong, missing = pb.EventDraft(stream="\n", value=value(1)), pb.EventDraft(stream="s")
    for events, reason, place in (
        ([draft("s", 1), wrong, wrong], "INVALID_FIELD", "events[1].stream"),
        ([draft("s", 1), missing, missing], "FIELD_REQUIRED", "events[1].value"),
        ([wrong, missing], "FIELD_REQUIRED", "events[1].value"),
        ([wrong, draft("", 1)], "FIELD_REQUIRED", "events[1].stream"),
    ):
        check_first(data, "AppendEvents", fault(reason, place), build("AppendEvents", run_id, events=events))
