"""Which arguments the contract refuses, and the canonical form of those it takes: the model's first check.

One row for each method lists its checks in the contract's order.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final, NoReturn
from uuid import UUID

from google.protobuf.struct_pb2 import Struct

Request = dict[str, Any]
Answer = dict[str, Any]

DEFAULT: Final = "default"
RESERVED_PREFIX: Final = "_strata_"
KEEP_LATEST_MAX: Final = 2**53
DURATION_US_MAX: Final = 315_576_000_000 * 1_000_000

ABSENT_KIND: Final = ...
"""Stands in a request's metadata for a `google.protobuf.Value` of no kind, which JSON has not."""

CODES: Final = {
    "RUN_NOT_FOUND": "NOT_FOUND",
    "PARENT_RUN_NOT_FOUND": "NOT_FOUND",
    "VALUE_NOT_FOUND": "NOT_FOUND",
    "STATE_NOT_FOUND": "NOT_FOUND",
    "DOCUMENT_NOT_FOUND": "NOT_FOUND",
    "POINTER_NOT_FOUND": "NOT_FOUND",
    "TEMPLATE_NOT_FOUND": "NOT_FOUND",
    "RUN_ALREADY_EXISTS": "ALREADY_EXISTS",
    "INVALID_STATE_TRANSITION": "FAILED_PRECONDITION",
    "DEFAULT_RUN_PROTECTED": "FAILED_PRECONDITION",
    "RUN_ARCHIVED": "FAILED_PRECONDITION",
    "LIMIT_EXCEEDED": "FAILED_PRECONDITION",
    "CLOCK_JUMPED": "FAILED_PRECONDITION",
    "VERSION_MISMATCH": "ABORTED",
    "VALUE_MISMATCH": "ABORTED",
    "TEMPLATE_VERSION_MISMATCH": "ABORTED",
}
"""Status codes by reason; any other reason of the model is INVALID_ARGUMENT."""


class Refused(Exception):
    """A call that the contract refuses: a reason of `ErrorReason`, and the metadata of its `ErrorInfo`."""

    def __init__(self, reason: str, metadata: dict[str, str]) -> None:
        """Keep both, with the status code that the reason has."""
        super().__init__(reason, metadata)
        self.code = CODES.get(reason, "INVALID_ARGUMENT")
        self.reason = reason
        self.metadata = metadata


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, bytes as their digits. Unlike the values, it tells 1 from true."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_digits)


def _digits(binary: bytes) -> dict[str, str]:
    return {"bytes": binary.hex()}


def canonical_id(text: str) -> str | None:
    """Return the canonical form of a run id, or None when it is none."""
    if text == DEFAULT:
        return text
    bare = re.fullmatch(r"(?:urn:uuid:(.{32,36})|\{(.{32,36})\}|(.{32,36}))", text.lower())
    digits = next((group for group in bare.groups() if group), "") if bare else ""
    if not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", digits):
        return None
    run_id = UUID(digits)
    return str(run_id) if run_id.int else None


def metadata_struct(metadata: dict[str, Any]) -> Struct:
    """Return an object as a `google.protobuf.Struct`, values of no kind included."""
    struct = Struct()
    for key, value in metadata.items():
        set_value(struct.fields[key], value)
    return struct


def set_value(target: Any, value: Any) -> None:
    """Set a `google.protobuf.Value`."""
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, dict):
        target.struct_value.CopyFrom(metadata_struct(value))
    elif isinstance(value, list):
        target.list_value.SetInParent()
        for one in value:
            set_value(target.list_value.values.add(), one)


def metadata_bytes(metadata: dict[str, Any]) -> int:
    """Return how many bytes an object has as a Struct."""
    return metadata_struct(metadata).ByteSize()


def metadata_nodes(value: Any) -> int:
    """Return how many values an object or array holds, nested ones included."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(1 + metadata_nodes(child) for child in children)


def metadata_depth(value: Any) -> int:
    """Return how many levels an object or array has, itself included; 0 for anything else."""
    if not isinstance(value, dict | list):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(map(metadata_depth, children), default=0)


def has_foreign_value(value: Any) -> bool:
    """Tell whether JSON lacks a value."""
    if isinstance(value, dict | list):
        return any(map(has_foreign_value, value.values() if isinstance(value, dict) else value))
    return value is ABSENT_KIND or (isinstance(value, float) and not math.isfinite(value))


def refuse(reason: str, field: str, **metadata: str) -> NoReturn:
    raise Refused(reason, {"field": field, **metadata})


# The checks: each looks at one field, refuses it or makes it canonical.


def check_id(field: str) -> Callable[[Request], None]:
    def check(args: Request) -> None:
        text = args.get(field, "")
        run_id = canonical_id(text)
        if run_id is None:
            refuse("INVALID_RUN_ID", field, value=text[:128])
        args[field] = run_id

    return check


def check_id_if_set(field: str) -> Callable[[Request], None]:
    def check(args: Request) -> None:
        if field in args:
            check_id(field)(args)

    return check


def check_tags(args: Request) -> None:
    tags = args.get("tags", [])
    at_fault = [index for index, tag in enumerate(tags) if not is_tag(tag)]
    if len(tags) > 64 or at_fault:
        field = "tags" if len(tags) > 64 else f"tags[{at_fault[0]}]"
        refuse("INVALID_TAG", field, tagBytesMax="128", tagsMax="64")


def _tags_required(args: Request) -> None:
    if not args.get("tags"):
        refuse("FIELD_REQUIRED", "tags")
    check_tags(args)


def is_tag(text: str) -> bool:
    """Tell whether a text can be a tag."""
    return 1 <= len(text.encode()) <= 128 and not any(unicodedata.category(char) == "Cc" for char in text)


def _tag(args: Request) -> None:
    if not args.get("tag"):
        refuse("FIELD_REQUIRED", "tag")
    if not is_tag(args["tag"]):
        refuse("INVALID_TAG", "tag", tagBytesMax="128", tagsMax="64")


def check_metadata(args: Request) -> None:
    metadata = args.get("metadata", {})
    too_large = metadata_bytes(metadata) > 64 * 1024 or metadata_nodes(metadata) > 5_000
    if too_large or metadata_depth(metadata) > 20 or has_foreign_value(metadata):
        refuse("INVALID_METADATA", "metadata")
    reserved = sorted(key for key in metadata if key.startswith(RESERVED_PREFIX))
    if reserved:
        refuse("RESERVED_METADATA_KEY", "metadata", key=reserved[0][:128], reservedPrefix=RESERVED_PREFIX)


def _metadata_required(args: Request) -> None:
    if "metadata" not in args:
        refuse("FIELD_REQUIRED", "metadata")
    check_metadata(args)


def _error(args: Request) -> None:
    error = args.get("error", "")
    if not error.strip():
        refuse("FIELD_REQUIRED", "error")
    if len(error.encode()) > 16 * 1024:
        refuse("INVALID_FIELD", "error")


def check_policy(args: Request, field: str) -> None:
    """A policy's durations come as nanoseconds, which the wire can carry, and are kept as microseconds."""
    if not args[field]:
        refuse("INVALID_RETENTION_POLICY", field)
    ((kind, bound),) = args[field].items()
    is_duration = kind in ("keep_duration", "delete_after")
    if is_duration and not is_duration_taken(bound):
        refuse("INVALID_RETENTION_POLICY", f"{field}.{kind}")
    if kind == "keep_latest_n" and not 0 < bound <= KEEP_LATEST_MAX:
        refuse("INVALID_RETENTION_POLICY", f"{field}.{kind}")
    args[field] = {kind: bound // 1_000 if is_duration else bound}


def is_duration_taken(nanos: int) -> bool:
    """Tell whether nanoseconds are a duration that the contract takes: whole microseconds, more than none."""
    return nanos % 1_000 == 0 and 0 < nanos // 1_000 <= DURATION_US_MAX


def _policy_required(args: Request) -> None:
    if "policy" not in args:
        refuse("FIELD_REQUIRED", "policy")
    check_policy(args, "policy")


def check_states(args: Request) -> None:
    for index, state in enumerate(args.get("states", [])):
        if not 1 <= state <= 6:
            refuse("INVALID_STATE", f"states[{index}]", value=str(state))


def _state(args: Request) -> None:
    if not args.get("state"):
        refuse("FIELD_REQUIRED", "state")
    if not 1 <= args["state"] <= 6:
        refuse("INVALID_STATE", "state", value=str(args["state"]))


def _query(args: Request) -> None:
    if not args.get("query"):
        refuse("FIELD_REQUIRED", "query")


def check_page_size(args: Request) -> None:
    if args.get("page_size", 0) < 0:
        refuse("INVALID_PAGE_SIZE", "page_size", value=str(args["page_size"]))


def check_view(args: Request) -> None:
    if not 0 <= args.get("view", 0) <= 3:
        refuse("INVALID_FIELD", "view")


def _skip(args: Request) -> None:
    if not 0 <= args.get("skip", 0) <= 100_000 or (args.get("skip") and args.get("page_token")):
        refuse("INVALID_FIELD", "skip")


def check_request_id(args: Request) -> None:
    if "request_id" in args and not 1 <= len(args["request_id"].encode()) <= 64:
        refuse("INVALID_FIELD", "request_id")


_run = check_id("run_id")
_id_if_set = check_id_if_set("run_id")
_parent = check_id("parent_run_id")

CHECKS: Final = {
    "CreateRun": (_id_if_set, check_tags, check_metadata, check_request_id),
    "GetRun": (_run, check_view),
    "ListRuns": (check_states, check_page_size, check_view, _skip),
    "RunExists": (_run,),
    "UpdateRunMetadata": (_run, _metadata_required, check_request_id),
    "CloseRun": (_run, check_request_id),
    "PauseRun": (_run, check_request_id),
    "ResumeRun": (_run, check_request_id),
    "FailRun": (_run, _error, check_request_id),
    "CancelRun": (_run, check_request_id),
    "ArchiveRun": (_run, check_request_id),
    "DeleteRun": (_run, check_request_id),
    "QueryRunsByState": (_state, check_page_size, check_view),
    "QueryRunsByTag": (_tag, check_page_size, check_view),
    "CountRuns": (check_states,),
    "SearchRuns": (_query, check_page_size, check_view),
    "AddRunTags": (_run, _tags_required, check_request_id),
    "RemoveRunTags": (_run, _tags_required, check_request_id),
    "GetRunTags": (_run,),
    "CreateChildRun": (_parent, _id_if_set, check_tags, check_metadata, check_request_id),
    "GetChildRuns": (_run, check_page_size, check_view),
    "GetParentRun": (_run,),
    "SetRunRetention": (_run, _policy_required, check_request_id),
    "GetRunRetention": (_run,),
}
"""The checks of each of the 24 methods, in their order."""


def checked(method: str, request: Request) -> Request:
    """Return a request in canonical form.

    Raises:
        Refused: An argument is at fault.
    """
    args = deepcopy(request)
    for check in CHECKS[method]:
        check(args)
    return args
