"""JSON as the model has it: Python's values, with numbers as floats; its places and patches."""

import re
from copy import deepcopy
from typing import Any


class NoPlaceError(Exception):
    """A document has no such place."""


def is_pointer(text: str) -> bool:
    """Tell whether a text is a JSON pointer (RFC 6901)."""
    return re.fullmatch(r"(/([^~/]|~[01])*)*", text, re.DOTALL) is not None


def parts_of(pointer: str) -> list[str]:
    """Return the unescaped parts of a JSON pointer; none for the whole."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def place(whole: Any, parts: list[str]) -> Any:
    """Return what is at a place.

    Raises:
        NoPlaceError: There is none.
    """
    for part in parts:
        whole = whole[_step(whole, part)]
    return whole


def with_place(whole: Any, parts: list[str], value: Any) -> Any:
    """Return a copy with a value at a place: a member, an element that is there, or by `-` the next one.

    Raises:
        NoPlaceError: It has no such parent, or no such element.
    """
    result = deepcopy(whole)
    parent, last = place(result, parts[:-1]), parts[-1]
    if isinstance(parent, dict):
        parent[last] = deepcopy(value)
    elif isinstance(parent, list) and last == "-":
        parent.append(deepcopy(value))
    else:
        parent[_step(parent, last)] = deepcopy(value)
    return result


def without_place(whole: Any, parts: list[str]) -> Any:
    """Return a copy without a member or an element.

    Raises:
        NoPlaceError: There is none.
    """
    result = deepcopy(whole)
    parent = place(result, parts[:-1])
    del parent[_step(parent, parts[-1])]
    return result


def _step(container: Any, part: str) -> Any:
    """Return the key or the index that a part of a pointer means.

    Raises:
        NoPlaceError: The container has none such.
    """
    if isinstance(container, dict) and part in container:
        return part
    is_index = isinstance(container, list) and re.fullmatch(r"0|[1-9][0-9]*", part)
    if is_index and int(part) < len(container):
        return int(part)
    raise NoPlaceError


def merged(target: Any, patch: Any) -> Any:
    """Return what RFC 7396 makes of a target and a patch."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
