"""A call with several faults is refused for the one that is checked first, as the contract lists them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from runindex_server.limits import TAGS_MAX
from tests.support.calls import DEFAULT, UNKNOWN_ID, Stub, archive, check_refused, close, create, struct
from tests.support.methods import KEEP_3, LIFECYCLE, build, call, request_type
from tests.support.stores import IN_MEMORY

CODES: Final = {
    "RUN_NOT_FOUND": Code.NOT_FOUND,
    "PARENT_RUN_NOT_FOUND": Code.NOT_FOUND,
    "RUN_ALREADY_EXISTS": Code.ALREADY_EXISTS,
    "DEFAULT_RUN_PROTECTED": Code.FAILED_PRECONDITION,
    "RUN_ARCHIVED": Code.FAILED_PRECONDITION,
    "INVALID_STATE_TRANSITION": Code.FAILED_PRECONDITION,
    "LIMIT_EXCEEDED": Code.FAILED_PRECONDITION,
    "VERSION_MISMATCH": Code.ABORTED,
}
"""Of the reasons below; all others are INVALID_ARGUMENT."""

ARCHIVED: Final = "11111111-2222-4333-8444-555555555501"
"""An archived run, at version 2, with all the tags and nearly all the metadata that a run can have."""

CLOSED: Final = "11111111-2222-4333-8444-555555555502"
"""A completed run, at version 2, and as full."""

NO_STATE: Final = 99
NO_VIEW: Final = 99
NO_TAG: Final = ["\n"]
NO_JSON: Final = Struct(fields={"k": Value(number_value=float("nan")), "_strata_x": Value(bool_value=True)})
RESERVED: Final = struct({"_strata_x": 1})
TOO_MUCH: Final = struct({"more": "x" * 30_000})
DELETE_AFTER: Final = {"delete_after": {"seconds": 1}}


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


BAD_ID: Final = fault("INVALID_RUN_ID", "run_id", run_id="nonsense")
MISSING: Final = fault("RUN_NOT_FOUND", run_id=UNKNOWN_ID)
PAGE: Final = (
    fault("INVALID_PAGE_SIZE", "page_size", page_size=-1),
    fault("INVALID_FIELD", "view", view=NO_VIEW),
    fault("INVALID_PAGE_TOKEN", "page_token", page_token="damaged"),
)
CONDITIONS: Final = (fault("INVALID_FIELD", "request_id", request_id="x" * 65),)
CREATE: Final = (
    fault("INVALID_RUN_ID", "run_id", run_id="nonsense"),
    fault("INVALID_TAG", "tags[0]", tags=NO_TAG),
    fault("INVALID_METADATA", "metadata", metadata=NO_JSON),
    fault("RESERVED_METADATA_KEY", "metadata", metadata=RESERVED),
    *CONDITIONS,
)
TRANSITION: Final = (
    *CONDITIONS,
    MISSING,
    fault("VERSION_MISMATCH", run_id=CLOSED, expected_version=1),
    fault("INVALID_STATE_TRANSITION", run_id=CLOSED),
)
PROTECTED: Final = fault("DEFAULT_RUN_PROTECTED", run_id=DEFAULT, expected_version=99)
FROZEN: Final = fault("RUN_ARCHIVED", run_id=ARCHIVED, expected_version=99)
STALE: Final = fault("VERSION_MISMATCH", run_id=CLOSED, expected_version=99)

ORDERS: Final[dict[str, tuple[Fault, ...]]] = {
    "CreateRun": (*CREATE, fault("RUN_ALREADY_EXISTS", run_id=DEFAULT)),
    "CreateChildRun": (
        fault("INVALID_RUN_ID", "parent_run_id", parent_run_id="nonsense"),
        *CREATE,
        fault("RUN_ALREADY_EXISTS", run_id=DEFAULT, parent_run_id=UNKNOWN_ID),
        fault("PARENT_RUN_NOT_FOUND", parent_run_id=UNKNOWN_ID),
    ),
    "GetRun": (BAD_ID, fault("INVALID_FIELD", "view", view=NO_VIEW), MISSING),
    "ListRuns": (
        fault("INVALID_STATE", "states[1]", states=[pb.RUN_STATE_ACTIVE, NO_STATE]),
        *PAGE[:2],
        fault("INVALID_FIELD", "skip", skip=-1),
        PAGE[2],
    ),
    "QueryRunsByState": (fault("INVALID_STATE", "state", state=NO_STATE), *PAGE),
    "QueryRunsByTag": (fault("INVALID_TAG", "tag", tag="\n"), *PAGE),
    "SearchRuns": (fault("INVALID_QUERY", "query", query="("), *PAGE),
    "GetChildRuns": (BAD_ID, *PAGE),
    "UpdateRunMetadata": (
        BAD_ID,
        fault("INVALID_METADATA", "metadata", metadata=NO_JSON),
        fault("RESERVED_METADATA_KEY", "metadata", metadata=RESERVED),
        *CONDITIONS,
        MISSING,
        FROZEN,
        STALE,
        fault("LIMIT_EXCEEDED", run_id=CLOSED, metadata=TOO_MUCH, merge=True),
    ),
    "AddRunTags": (
        BAD_ID,
        fault("INVALID_TAG", "tags[0]", tags=NO_TAG),
        *CONDITIONS,
        MISSING,
        FROZEN,
        STALE,
        fault("LIMIT_EXCEEDED", run_id=CLOSED, tags=["more"]),
    ),
    "RemoveRunTags": (
        BAD_ID,
        fault("INVALID_TAG", "tags[0]", tags=NO_TAG),
        *CONDITIONS,
        MISSING,
        FROZEN,
        STALE,
    ),
    **{name: (BAD_ID, *TRANSITION) for name in LIFECYCLE if name not in {"FailRun", "ArchiveRun"}},
    "FailRun": (BAD_ID, fault("FIELD_REQUIRED", "error", error=" "), *TRANSITION),
    "ArchiveRun": (
        BAD_ID,
        *CONDITIONS,
        MISSING,
        fault("VERSION_MISMATCH", run_id=ARCHIVED, expected_version=1),
        fault("INVALID_STATE_TRANSITION", run_id=ARCHIVED),
    ),
    "DeleteRun": (BAD_ID, *CONDITIONS, MISSING, STALE),
    "SetRunRetention": (
        BAD_ID,
        fault("INVALID_RETENTION_POLICY", "policy", policy=pb.RetentionPolicy()),
        *CONDITIONS,
        MISSING,
        STALE,
    ),
}
"""For each method its faults in the order in which they are checked; each can stand beside all before it."""


def prepare(stub: Stub) -> None:
    """Create the runs that the faults are about."""
    full = {"tags": [f"t{place}" for place in range(TAGS_MAX)], "metadata": {"k": "x" * 40_000}}
    archive(stub, create(stub, run_id=ARCHIVED, **full).run_id)
    close(stub, create(stub, run_id=CLOSED, **full).run_id)


def check_first(stub: Stub, name: str, first: Fault, request: Any) -> None:
    """Check that a request is refused for its first fault."""
    refusal = check_refused(
        lambda: call(stub, name, request), CODES.get(first.reason, Code.INVALID_ARGUMENT), first.reason
    )
    assert refusal.metadata.get("field") == first.place


@pytest.mark.parametrize("name", ORDERS)
def test_the_first_fault_is_told(stub: Stub, name: str) -> None:
    """With each later one beside it, and alone."""
    prepare(stub)
    faults = ORDERS[name]

    for place, first in enumerate(faults):
        for later in (first, *faults[place + 1 :]):
            check_first(stub, name, first, build(name, CLOSED, **(later.fields | first.fields)))


@pytest.mark.parametrize("name", [*LIFECYCLE, "DeleteRun"])
def test_the_default_runs_protection_stands_between(stub: Stub, name: str) -> None:
    """After the arguments, before the version and the transition."""
    check_first(stub, name, PROTECTED, build(name, DEFAULT, **PROTECTED.fields))

    request = build(name, DEFAULT, **(PROTECTED.fields | CONDITIONS[0].fields))
    check_first(stub, name, CONDITIONS[0], request)


def test_delete_after_on_the_default_run_stands_between(stub: Stub) -> None:
    """Before the version; a policy out of bounds comes first."""
    policy = pb.RetentionPolicy(delete_after={"seconds": 1})  # type: ignore[arg-type] # a message by its fields
    request = build("SetRunRetention", DEFAULT, policy=policy, expected_version=99)
    check_first(stub, "SetRunRetention", PROTECTED, request)

    policy.delete_after.seconds = 0
    request = build("SetRunRetention", DEFAULT, policy=policy, expected_version=99)
    first = fault("INVALID_RETENTION_POLICY", "policy.delete_after")
    check_first(stub, "SetRunRetention", first, request)


REQUIRED: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "UpdateRunMetadata": ("metadata", lambda run_id: pb.UpdateRunMetadataRequest(run_id=run_id)),
    "FailRun": ("error", lambda run_id: pb.FailRunRequest(run_id=run_id)),
    "AddRunTags": ("tags", lambda run_id: pb.AddRunTagsRequest(run_id=run_id)),
    "RemoveRunTags": ("tags", lambda run_id: pb.RemoveRunTagsRequest(run_id=run_id)),
    "SetRunRetention": ("policy", lambda run_id: pb.SetRunRetentionRequest(run_id=run_id)),
}


@IN_MEMORY
@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_required_is_asked_for_after_the_id(stub: Stub, name: str) -> None:
    """And before the run is looked for."""
    field, request = REQUIRED[name]

    check_first(stub, name, BAD_ID, request("nonsense"))
    check_first(stub, name, fault("FIELD_REQUIRED", field), request(UNKNOWN_ID))


@pytest.mark.parametrize(
    ("name", "field"), [("QueryRunsByState", "state"), ("QueryRunsByTag", "tag"), ("SearchRuns", "query")]
)
def test_what_a_query_requires_is_asked_for_first(stub: Stub, name: str, field: str) -> None:
    """Before its page."""
    request = request_type(name)(page_size=-1)

    check_first(stub, name, fault("FIELD_REQUIRED", field), request)


def test_an_error_that_is_too_long_comes_before_the_run(stub: Stub) -> None:
    """It is an argument."""
    request = pb.FailRunRequest(run_id=UNKNOWN_ID, error="x" * 20_000)

    check_first(stub, "FailRun", fault("INVALID_FIELD", "error"), request)


def test_retention_has_no_frozen_state(stub: Stub) -> None:
    """An archived run is asked for its version, and then takes the policy."""
    prepare(stub)

    stale = build("SetRunRetention", ARCHIVED, policy=KEEP_3, expected_version=1)
    check_first(stub, "SetRunRetention", STALE, stale)
    assert stub.SetRunRetention(build("SetRunRetention", ARCHIVED, policy=KEEP_3)).version == 3
