"""Metadata and values to and from protobuf: what JSON has, and nothing that would be changed on the way."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import grpc
from google.protobuf import struct_pb2

from runindex._data_types import Value
from runindex._errors import InvalidArgument, InvalidField, InvalidMetadata
from runindex._types import Json
from runindex.v1 import run_data_pb2 as data_pb

INT_MAX: Final = 2**53
"""The numbers of JSON are doubles: beyond it an integer would lose digits."""

LEVELS_MAX: Final = 100
"""More than the contract takes, and fewer than Python's own limit: what contains itself ends here."""


def struct_of(metadata: Mapping[str, Json] | None, name: str = "metadata") -> struct_pb2.Struct | None:
    """Return metadata as it is sent; None for None.

    Raises:
        InvalidMetadata: It is no mapping, or holds what cannot be sent; the message says where and why.
    """
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        _refuse(InvalidMetadata, name, f"is {_kind(metadata)}; only a mapping can be recorded")
    struct = struct_pb2.Struct()
    _fill_struct(struct, metadata, name, InvalidMetadata, 1)
    return struct


def json_value_of(value: Json, name: str = "value") -> struct_pb2.Value:
    """Return a JSON value as it is sent.

    Raises:
        InvalidField: It holds what cannot be sent; the message says where and why.
    """
    sent = struct_pb2.Value()
    _fill(sent, value, name, InvalidField, 1)
    return sent


def data_value_of(value: Value, name: str = "value") -> data_pb.DataValue:
    """Return a value of data as it is sent; bytes stay bytes.

    Raises:
        InvalidField: It holds what cannot be sent; the message says where and why.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return data_pb.DataValue(binary=bytes(value))
    return data_pb.DataValue(json=json_value_of(value, name))


def dict_of(struct: struct_pb2.Struct) -> dict[str, Json]:
    """Return metadata as it was received. Whole numbers come back as int, as JSON knows no other kind."""
    return {key: json_of(value) for key, value in struct.fields.items()}


def json_of(value: struct_pb2.Value) -> Json:
    """Return a JSON value as it was received."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            is_whole = number.is_integer() and abs(number) <= INT_MAX and str(number) != "-0.0"
            return int(number) if is_whole else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return dict_of(value.struct_value)
        case "list_value":
            return [json_of(item) for item in value.list_value.values]
        case _:
            return None


def value_of(value: data_pb.DataValue) -> Value:
    """Return a value of data as it was received; None when it is unset."""
    return value.binary if value.WhichOneof("kind") == "binary" else json_of(value.json)


Refusal = type[InvalidMetadata] | type[InvalidField]


def _fill(sent: struct_pb2.Value, value: Json, path: str, refusal: Refusal, level: int) -> None:
    """Fill in a value, and all that is in it."""
    if level > LEVELS_MAX:
        _refuse(refusal, path, f"is nested more than {LEVELS_MAX} levels deep")
    if value is None:
        sent.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):  # Before int, which it is too.
        sent.bool_value = value
    elif isinstance(value, str):
        sent.string_value = _text(value, path, refusal)
    elif isinstance(value, int):
        if abs(value) > INT_MAX:
            problem = (
                f"is an int of {value.bit_length()} bits: beyond 2**53 digits are lost; send it as a string"
            )
            _refuse(refusal, path, problem)
        sent.number_value = value
    elif isinstance(value, float):
        if not math.isfinite(value):
            _refuse(refusal, path, f"is {value}, which JSON has not")
        sent.number_value = value
    elif isinstance(value, Mapping):
        sent.struct_value.SetInParent()
        _fill_struct(sent.struct_value, value, path, refusal, level)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        sent.list_value.SetInParent()
        for index, item in enumerate(value):
            _fill(sent.list_value.values.add(), item, f"{path}[{index}]", refusal, level + 1)
    else:
        _refuse(refusal, path, f"is {_kind(value)}, which JSON has not")


def _fill_struct(
    struct: struct_pb2.Struct, value: Mapping[Any, Json], path: str, refusal: Refusal, level: int
) -> None:
    for key, item in value.items():
        if not isinstance(key, str):
            _refuse(refusal, path, f"has the key {key!r:.100}, {_kind(key)}; keys must be strings")
        place = f"{path}[{key!r:.100}]"
        _fill(struct.fields[_text(key, place, refusal)], item, place, refusal, level + 1)


def _text(text: str, path: str, refusal: Refusal) -> str:
    """Return text that can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(refusal, path, "is text with a lone surrogate, which UTF-8 has not")
    return str(text)


def _kind(value: object) -> str:
    """Return what a value is, in words."""
    name = type(value).__qualname__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _refuse(refusal: Refusal, path: str, problem: str) -> NoReturn:
    kind: type[InvalidArgument] = refusal
    reason = "INVALID_METADATA" if refusal is InvalidMetadata else "INVALID_FIELD"
    metadata = {"field": path.partition("[")[0], "path": path}
    raise kind(grpc.StatusCode.INVALID_ARGUMENT, reason, f"{path} {problem}.", metadata)
