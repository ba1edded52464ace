"""The parsers of JSON that a run holds: values, places in them, patches, and metadata.

What is accepted is held to a model over Python's own values.
"""

import random
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value

from runindex.v1 import run_data_pb2 as data_pb
from runindex_server.data import json_value
from runindex_server.errors import InvalidField, InvalidMetadata, ReservedMetadataKey
from runindex_server.rpc import data_validate, validate
from runindex_server.schema.metadata import measure
from tests.property import model_json
from tests.trust.wire import seeds
from tests.trust.wire.mutating import TEXTS, Mutator
from tests.trust.wire.parsers import Parser, text_of

SEPARATOR: Final = b"\xff\xfe\xfd"
"""Between the parts of an input that has several. No message and no text of UTF-8 holds it often."""


def values() -> Parser:
    """JSON values, pointers into them and patches of them: as a model of Python's own values has them."""

    def run(data: bytes) -> bool:
        whole, part, pointer = ([*data.split(SEPARATOR, 2), b"", b""])[:3]
        value, other = _value_in(whole), _value_in(part)
        if value is None:
            return False
        plain = json_format.MessageToDict(value)
        if other is not None:
            merged = json_value.merge(value, other)
            assert _same(merged, model_json.merged(plain, json_format.MessageToDict(other)))
        return _check_pointer(value, plain, other, text_of(pointer))

    deep: Any = 1
    for _ in range(19):
        deep = [deep]
    held = ({"a": [1, {"b": None}], "text": "é"}, [1, [2, {}], []], "text", 0, None, True, deep)
    patches: tuple[Any, ...] = ({"a": None, "text": {"b": 1}}, [], 5)
    pointers = ("", "/a/1/b", "/1/1", "/a/-", "/text", "/~0~1", "/0", "/01", "//")
    beginnings = tuple(
        SEPARATOR.join((_encoded(whole), _encoded(patch), pointer.encode()))
        for whole in held
        for patch, pointer in zip(patches * 3, pointers, strict=True)
    )
    return Parser("JSON values and pointers", run, beginnings, _change_values)


def _encoded(held: Any) -> bytes:
    return json_format.ParseDict(held, Value()).SerializeToString(deterministic=True)


def _value_in(data: bytes) -> Value | None:
    """Return the JSON value that a caller would have set by some bytes; None for none."""
    try:
        value = Value.FromString(data)
    except DecodeError:
        return None
    value.DiscardUnknownFields()  # As the boundary does.
    try:
        encoded = data_validate.json(value, field="value")
    except InvalidField:
        return None
    assert Value.FromString(encoded) == value
    assert data_validate.data_value(data_pb.DataValue(json=value), field="value")
    return value


def _check_pointer(value: Value, plain: Any, new: Value | None, text: str) -> bool:
    """Check what a pointer comes to, and tell whether it is one."""
    try:
        pointer = data_validate.pointer(text)
    except InvalidField:
        assert len(text.encode()) > 1_024 or not model_json.is_pointer(text)
        return False
    parts = model_json.parts_of(text)
    assert pointer.parts == parts
    edits: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: json_value.resolve(value, pointer), lambda: model_json.place(plain, parts))
    ]
    if parts and new is not None:
        edits += [
            (
                lambda: _edited(value, lambda copy: json_value.put(copy, pointer, new)),
                lambda: model_json.with_place(plain, parts, json_format.MessageToDict(new)),
            ),
            (
                lambda: _edited(value, lambda copy: json_value.remove(copy, pointer)),
                lambda: model_json.without_place(plain, parts),
            ),
        ]
    for product, model in edits:
        expected, found = (
            _come_to(model, model_json.NoPlaceError),
            _come_to(product, json_value.PlaceNotFoundError),
        )
        assert (expected is None) == (found is None), text
        assert found is None or _same(found[0], expected[0]), text
    return True


def _edited(value: Value, edit: Callable[[Value], None]) -> Value:
    copy = Value()
    copy.CopyFrom(value)
    edit(copy)
    return copy


def _come_to(fn: Callable[[], Any], absent: type[Exception]) -> Any:
    """Return what a function returns, in a list; None when there is no such place."""
    try:
        return [fn()]
    except absent:
        return None


def _same(value: Value, plain: Any) -> bool:
    """Tell whether a value is what the model has. Members of no kind, which JSON has not, are null there."""
    return bool(json_format.MessageToDict(value) == plain)


def _change_values(data: bytes, chance: random.Random) -> bytes:
    """Change one of the messages, or the pointer."""
    parts = ([*data.split(SEPARATOR, 2), b"", b""])[:3]
    place = chance.randrange(3)
    if place == 2:
        text = text_of(parts[2])
        parts[2] = chance.choice(
            (f"{text}/{chance.choice(TEXTS)}", text.rpartition("/")[0], chance.choice(seeds.POINTERS))
        ).encode()
    else:
        parts[place] = _changed(Value, parts[place], chance)
    return SEPARATOR.join(parts)


def _changed(kind: type[Message], data: bytes, chance: random.Random) -> bytes:
    """Return the bytes of a message, its fields changed; of another one when they are none."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        message = kind()
    Mutator(chance).change(message)
    return message.SerializeToString()


def metadata() -> Parser:
    """Metadata of runs: what is accepted is within the bounds, comes back as it is, and has terms."""

    def run(data: bytes) -> bool:
        try:
            struct = Struct.FromString(data)
        except DecodeError:
            return False
        struct.DiscardUnknownFields()
        try:
            encoded = validate.metadata_object(struct)
        except (InvalidMetadata, ReservedMetadataKey):
            return False
        assert Struct.FromString(encoded) == struct
        size = measure(struct)
        assert (size.depth <= 20, size.nodes <= 5_000, len(encoded) <= 65_536) == (True, True, True)
        return True

    held: tuple[dict[str, Any], ...] = ({}, {"a": {"b": [1, None, "x"]}}, {"é": "words to find", "n": 1e300})
    beginnings = tuple(
        json_format.ParseDict(each, Struct()).SerializeToString(deterministic=True) for each in held
    )
    return Parser("metadata", run, beginnings, lambda data, chance: _changed(Struct, data, chance))
