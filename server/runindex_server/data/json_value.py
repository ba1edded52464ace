"""JSON as the store keeps it: the deterministic encoding of a `google.protobuf.Value`, and its places.

Two values are equal exactly when their encodings are. A place is named by a JSON pointer (RFC 6901). An edit
works on the message itself, so that it leaves all that is not named as it was.
"""

from google.protobuf.struct_pb2 import Struct, Value
from jsonpointer import JsonPointer, JsonPointerException

from runindex_server.schema import metadata


class PlaceNotFoundError(LookupError):
    """A value has no such place."""


def encode(value: Value) -> bytes:
    """Return the encoding of a value."""
    return value.SerializeToString(deterministic=True)


def depth_of(value: Value) -> int:
    """Return how many objects and arrays lie within each other in a value, itself included.

    Raises:
        NotJsonError: It holds a value that JSON has not, or is one.
    """
    return metadata.measure(Struct(fields={"": value})).depth - 1


def resolve(value: Value, pointer: JsonPointer) -> Value:
    """Return what is at a place: a part of the value, not a copy.

    Raises:
        PlaceNotFoundError: There is no such place.
    """
    for part in pointer.parts:
        value = _step(value, part)
    return value


def put(value: Value, pointer: JsonPointer, new: Value) -> None:
    """Set what is at a place: a member, whether it is there or not, an element, or by `-` the next one.

    Args:
        value: Edited in place.
        pointer: Not empty.
        new: What shall be there.

    Raises:
        PlaceNotFoundError: There is no such place; the value is as it was.
    """
    parent, part = _parent(value, pointer)
    if parent.HasField("struct_value"):
        parent.struct_value.fields[part].CopyFrom(new)
    elif parent.HasField("list_value") and part == "-":
        parent.list_value.values.append(new)
    else:
        _step(parent, part).CopyFrom(new)


def remove(value: Value, pointer: JsonPointer) -> None:
    """Remove the member or the element at a place.

    Args:
        value: Edited in place.
        pointer: Not empty.

    Raises:
        PlaceNotFoundError: There is no such place; the value is as it was.
    """
    parent, part = _parent(value, pointer)
    _step(parent, part)
    if parent.HasField("struct_value"):
        del parent.struct_value.fields[part]
    else:
        del parent.list_value.values[int(part)]


def merge(value: Value, patch: Value) -> Value:
    """Return a value with a patch merged into it, by RFC 7396. Neither is changed."""
    if not patch.HasField("struct_value"):
        return patch
    # What is no object, `metadata.merge` begins as an empty one.
    target = value.struct_value.SerializeToString()
    return Value(struct_value=metadata.merge(target, patch.struct_value.SerializeToString()))


def _parent(value: Value, pointer: JsonPointer) -> tuple[Value, str]:
    """Return the container of a place, and the last part of its pointer.

    Raises:
        PlaceNotFoundError: There is no such container.
    """
    *leading, last = pointer.parts
    for part in leading:
        value = _step(value, part)
    return value, last


def _step(value: Value, part: str) -> Value:
    """Return the member or the element that a part of a pointer names.

    Raises:
        PlaceNotFoundError: There is none.
    """
    if value.HasField("struct_value") and part in value.struct_value.fields:
        return value.struct_value.fields[part]
    if value.HasField("list_value"):
        elements = value.list_value.values
        try:
            index = JsonPointer.get_part(elements, part)
        except JsonPointerException:  # Digits with a leading zero, or no digits.
            raise PlaceNotFoundError from None
        if isinstance(index, int) and index < len(elements):
            return elements[index]
    raise PlaceNotFoundError
