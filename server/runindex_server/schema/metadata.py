"""Metadata as the store keeps it: the deterministic encoding of a `google.protobuf.Struct`, empty for none.

Two objects are equal exactly when their encodings are.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.struct_pb2 import Struct, Value


@dataclass(frozen=True, slots=True)
class Measure:
    """How large an object is.

    Attributes:
        depth: Levels, the object itself being the first.
        nodes: Values, containers included, the object itself not.
    """

    depth: int
    nodes: int


class NotJsonError(ValueError):
    """A value that JSON has not: NaN, infinity, or none of the kinds."""


def encode(struct: Struct) -> bytes:
    """Return the encoding of an object; an empty one is the same as none."""
    return struct.SerializeToString(deterministic=True)


def measure(struct: Struct) -> Measure:
    """Return how large an object is.

    Raises:
        NotJsonError: It holds a value that JSON has not.
    """
    depth, nodes = 1, 0
    containers: list[tuple[int, Struct | Value]] = [(1, struct)]
    while containers:
        parent_depth, container = containers.pop()
        depth = max(depth, parent_depth)
        for child in _members(container):
            nodes += 1
            kind = child.WhichOneof("kind")
            if kind == "number_value":
                if not math.isfinite(child.number_value):
                    msg = "holds a number that is not finite, which JSON has not"
                    raise NotJsonError(msg)
            elif kind == "struct_value":
                containers.append((parent_depth + 1, child.struct_value))
            elif kind == "list_value":
                containers.append((parent_depth + 1, child))
            elif kind is None:
                msg = "holds a value of no kind"
                raise NotJsonError(msg)
    return Measure(depth, nodes)


def _members(container: Struct | Value) -> Iterable[Value]:
    """Return the values in an object, or in a value that is a list."""
    if isinstance(container, Value):
        return container.list_value.values
    # Looked up one by one, which takes two thirds of the time of `values`.
    members = container.fields
    return [members[key] for key in members]


def merge(metadata: bytes, patch: bytes) -> Struct:
    """Return metadata with a patch merged into it, by RFC 7396.

    Args:
        metadata: An encoding.
        patch: Another: a null removes its key, an object is merged into what is there, anything else
            replaces.
    """
    target = Struct.FromString(metadata)
    _merge(target, Struct.FromString(patch))
    return target


def _merge(target: Struct, patch: Struct) -> None:
    """Merge `patch` into `target`. As deep as metadata may be, which bounds the recursion."""
    for key, value in patch.fields.items():
        kind = value.WhichOneof("kind")
        if kind == "null_value":
            if key in target.fields:
                del target.fields[key]
        elif kind == "struct_value":
            # Naming the member makes it an object, whatever it was.
            target.fields[key].struct_value.SetInParent()
            _merge(target.fields[key].struct_value, value.struct_value)
        else:
            target.fields[key].CopyFrom(value)
