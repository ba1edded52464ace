"""What is expected of an answer, compared with what came; both are JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

PLACEHOLDER: Final = "$"


class NothingThere:
    """What is not there; not the null of JSON."""


NOTHING: Final = NothingThere()


class MismatchError(Exception):
    """Something is not as expected.

    Attributes:
        path: Where, within the step.
    """

    def __init__(self, path: str, expected: str, got: str) -> None:
        """Take what was expected and what came, as texts."""
        super().__init__(f"{path}: expected {expected}, got {got}")
        self.path = path


def check(expected: Any, got: Any, path: str) -> None:
    """Compare what came with what is expected.

    Args:
        expected: Members of objects that it does not name are free; None: nothing is there, or a null.
        got: JSON, or NOTHING.
        path: Where both are, within the step.

    Raises:
        MismatchError: They differ; at the first place where they do.
    """
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for name, value in expected.items():
            check(value, got.get(name, NOTHING), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for place, (one, other) in enumerate(zip(expected, got, strict=True)):
            check(one, other, f"{path}.{place}")
    elif not _is_same(expected, got):
        raise MismatchError(path, shown(expected), shown(got))


def _is_same(expected: Any, got: Any) -> bool:
    """Tell whether two are the same that are not both objects, nor both arrays of one length."""
    if expected is None:
        return got is None or got is NOTHING
    if _is_number(expected) and _is_number(got):
        return float(expected) == float(got)
    return type(expected) is type(got) and isinstance(expected, str | bool) and bool(expected == got)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return a value as JSON, for people."""
    return "nothing" if value is NOTHING else json.dumps(value, ensure_ascii=False)


def found(answer: Any, path: str) -> Any:
    """Return what a path of member names and array indexes leads to; NOTHING when it leads nowhere."""
    place = answer
    for part in path.split("."):
        if isinstance(place, Mapping):
            place = place.get(part, NOTHING)
        elif isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        else:
            return NOTHING
    return place


def filled(value: Any, kept: Mapping[str, Any], path: str) -> Any:
    """Return a value of a scenario, with what was kept instead of the names that stand for it.

    Raises:
        MismatchError: Nothing was kept under a name.
    """
    if isinstance(value, Mapping):
        return {name: filled(member, kept, f"{path}.{name}") for name, member in value.items()}
    if isinstance(value, list):
        return [filled(item, kept, f"{path}.{place}") for place, item in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(PLACEHOLDER):
        return value
    name = value.removeprefix(PLACEHOLDER)
    if name.startswith(PLACEHOLDER):
        return name
    if name not in kept:
        raise MismatchError(path, f"what an earlier step kept as {name}", shown(NOTHING))
    return kept[name]
