"""Answers as JSON: the fields of what `runindex.Client` returns, under the same names.

Times are RFC 3339 in UTC with six decimals, durations are seconds, states are their names in upper case, and
what is not there is null.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import runindex


def json_of(value: object) -> Any:  # noqa: ANN401  # What JSON has.
    """Return what JSON has for a value that a client has returned."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case runindex.KeepAll():
            return {"kind": "keep_all"}
        case runindex.KeepLatest(count):
            return {"kind": "keep_latest_n", "count": count}
        case runindex.KeepFor(duration):
            return {"kind": "keep_duration", "duration": json_of(duration)}
        case runindex.DeleteAfter(duration):
            return {"kind": "delete_after", "duration": json_of(duration)}
        case Mapping():
            return {str(key): json_of(of_key) for key, of_key in value.items()}
        case list() | tuple():
            return [json_of(item) for item in value]
        case str():  # Members of enums are texts too.
            return str(value)
        case _ if is_dataclass(value):
            return {field.name: json_of(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def line_of(value: object) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(json_of(value), ensure_ascii=False)
