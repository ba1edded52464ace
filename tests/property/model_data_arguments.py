"""Which arguments of RunData the contract refuses, and the canonical form of those it takes.

In the manner of `model_arguments`: one row for each method lists its checks in order, field by field.
"""

import unicodedata
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

from tests.property.model_arguments import (
    Request,
    check_id,
    check_page_size,
    check_request_id,
    has_foreign_value,
    metadata_depth,
    refuse,
)
from tests.property.model_held import json_bytes
from tests.property.model_json import is_pointer

NAME_BYTES_MAX: Final = 128
VALUE_BYTES_MAX: Final = 256 * 1024
VALUE_DEPTH_MAX: Final = 20
POINTER_BYTES_MAX: Final = 1_024
EVENTS_MAX: Final = 1_000

DATA_MUTATIONS: Final = (
    "PutValue",
    "DeleteValue",
    "AppendEvents",
    "SetState",
    "CompareAndSetState",
    "SetDocument",
    "MergeDocument",
    "DeleteDocument",
)

Check = Callable[[Request], None]


def check_name(field: str) -> Check:
    return lambda args: _check_name(args.get(field, ""), field)


def _check_name(text: str, field: str) -> None:
    if not text:
        refuse("FIELD_REQUIRED", field)
    if not begins_a_name(text):
        refuse("INVALID_FIELD", field)


def begins_a_name(text: str) -> bool:
    """Tell whether a text is a name, or empty."""
    is_long = len(text.encode()) > NAME_BYTES_MAX
    return not is_long and not any(unicodedata.category(char) == "Cc" for char in text)


def _stream_if_set(args: Request) -> None:
    if "stream" in args and not args["stream"]:
        refuse("INVALID_FIELD", "stream")
    if "stream" in args:
        _check_name(args["stream"], "stream")


def check_prefix(args: Request) -> None:
    if not begins_a_name(args.get("prefix", "")):
        refuse("INVALID_FIELD", "prefix")


def _version(args: Request) -> None:
    if args.get("version") == 0:
        refuse("INVALID_FIELD", "version")


def _pointer(args: Request) -> None:
    pointer = args.pop("pointer", "")
    if len(pointer.encode()) > POINTER_BYTES_MAX or not is_pointer(pointer):
        refuse("INVALID_FIELD", "pointer")
    if pointer:
        args["pointer"] = pointer


def _check_json(value: Any, field: str) -> None:
    if has_foreign_value(value) or metadata_depth(value) > VALUE_DEPTH_MAX:
        refuse("INVALID_FIELD", field)
    if json_bytes(value) > VALUE_BYTES_MAX:
        refuse("INVALID_FIELD", field)


def _check_content(content: Any, field: str) -> None:
    if not content or len(content.get("binary", b"")) > VALUE_BYTES_MAX:
        refuse("INVALID_FIELD", field)
    if "json" in content:
        _check_json(content["json"], field)


def _value(args: Request) -> None:
    if "value" not in args:
        refuse("FIELD_REQUIRED", "value")
    _check_content(args["value"], "value")


def _expected(args: Request) -> None:
    if "expected" in args:
        _check_content(args["expected"], "expected")


def _json(field: str) -> Check:
    def check(args: Request) -> None:
        if field not in args:
            refuse("FIELD_REQUIRED", field)
        _check_json(args[field], field)

    return check


def _events(args: Request) -> None:
    events = args.get("events", [])
    if not events:
        refuse("FIELD_REQUIRED", "events")
    if len(events) > EVENTS_MAX:
        refuse("INVALID_FIELD", "events")
    for number, draft in enumerate(events):
        _check_name(draft.get("stream", ""), f"events[{number}].stream")
        if "value" not in draft:
            refuse("FIELD_REQUIRED", f"events[{number}].value")
        _check_content(draft["value"], f"events[{number}].value")


_run = check_id("run_id")
_key, _cell, _document = check_name("key"), check_name("cell"), check_name("document")

DATA_CHECKS: Final = {
    "PutValue": (_run, _key, _value, check_request_id),
    "GetValue": (_run, _key, _version),
    "DeleteValue": (_run, _key, check_request_id),
    "ListValues": (_run, check_prefix, check_page_size),
    "GetValueHistory": (_run, _key, check_page_size),
    "AppendEvents": (_run, _events, check_request_id),
    "ReadEvents": (_run, _stream_if_set, check_page_size),
    "CountEvents": (_run, _stream_if_set),
    "SetState": (_run, _cell, _value, check_request_id),
    "GetState": (_run, _cell, _version),
    "CompareAndSetState": (_run, _cell, _expected, _value, check_request_id),
    "ListStates": (_run, check_prefix, check_page_size),
    "SetDocument": (_run, _document, _pointer, _json("value"), check_request_id),
    "GetDocument": (_run, _document, _pointer, _version),
    "MergeDocument": (_run, _document, _json("patch"), check_request_id),
    "DeleteDocument": (_run, _document, _pointer, check_request_id),
    "ListDocuments": (_run, check_prefix, check_page_size),
}
"""The checks of each of the 17 methods, in their order."""


def checked_data(method: str, request: Request) -> Request:
    """Return a request of RunData in canonical form.

    Raises:
        Refused: An argument is at fault.
    """
    args = deepcopy(request)
    for check in DATA_CHECKS[method]:
        check(args)
    return args
