"""What runs were given and have returned, as JSON of a bounded size; it may be anything, however large."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from runindex._metadata import INT_MAX
from runindex._recording import text
from runindex._types import Json

LEVELS_MAX: Final = 12
"""Fewer than the contract takes; what contains itself ends here."""

OVERHEAD_BYTES: Final = 16
"""What a value costs beside its text: more than the contract's encoding needs."""

CUT: Final = "…"
"""Stands for what is left out."""

WRITTEN: Final = (UUID, date, time, timedelta, Decimal, PurePath)
"""What JSON has not, and is told by its text."""


class Budget:
    """How many bytes are left."""

    def __init__(self, bytes_max: int) -> None:
        """Begin with all of them."""
        self._bytes_max = bytes_max
        self.left_bytes = bytes_max

    @property
    def used_bytes(self) -> int:
        """How many were taken."""
        return self._bytes_max - max(self.left_bytes, 0)

    def take(self, said: str = "") -> str:
        """Take the bytes of a value, whose text is cut to what is left."""
        self.left_bytes -= OVERHEAD_BYTES
        if not said:
            return said
        # Cut before it is encoded: it may be very long.
        fit = text(said[: max(self.left_bytes, 0) + 1], max(self.left_bytes, len(CUT.encode())))
        self.left_bytes -= len(fit.encode())
        return fit


def json_of(value: object, budget: Budget, level: int = 1) -> Json:
    """Return a value as JSON within a budget: what does not fit is left out, and so is what nobody can read.

    Messages, models of pydantic and dataclasses are objects; of anything else that JSON has not, the type is
    told. Nothing of the value is called that could have an effect, take long or fail.
    """
    if level > LEVELS_MAX or budget.left_bytes <= 0:
        return CUT
    if value is None or isinstance(value, bool):
        budget.take()
        return value
    if isinstance(value, Enum):
        return json_of(value.value, budget, level)
    if isinstance(value, str):
        return budget.take(value)
    if isinstance(value, int | float):
        return _number_of(value, budget)
    if isinstance(value, WRITTEN):
        return budget.take(str(value))
    if (fields := _fields_of(value)) is not None:
        return _object_of(fields, budget, level)
    if isinstance(value, list | tuple | AbstractSet):
        return _array_of(value, budget, level)
    return budget.take(f"<{type(value).__qualname__}>")


def _number_of(value: float, budget: Budget) -> Json:
    if isinstance(value, int):
        fits = abs(value) <= INT_MAX
        # An int of very many digits refuses to be written.
        said = str(value) if value.bit_length() <= 1_024 else f"<int of {value.bit_length()} bits>"
    else:
        fits, said = math.isfinite(value), str(value)
    if fits:
        budget.take()
        return value
    return budget.take(said)


def _fields_of(value: object) -> Mapping[Any, object] | None:
    """Return what an object holds by name; None when it is no such object."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseMessage):
        said: dict[str, object] = {"type": value.type, "content": value.content}
        if value.name:
            said["name"] = value.name
        if calls := getattr(value, "tool_calls", None):
            said["tool_calls"] = calls
        return said
    if isinstance(value, BaseModel):
        return {name: getattr(value, name, None) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    return None


def _object_of(fields: Mapping[Any, object], budget: Budget, level: int) -> dict[str, Json]:
    budget.take()
    found: dict[str, Json] = {}
    for key, value in fields.items():
        if budget.left_bytes <= 0:
            found[CUT] = CUT
            break
        name = budget.take(key if isinstance(key, str) else str(json_of(key, budget, level + 1)))
        found[name] = json_of(value, budget, level + 1)
    return found


def _array_of(values: Iterable[object], budget: Budget, level: int) -> Json:
    budget.take()
    found: list[Json] = []
    for value in values:
        if budget.left_bytes <= 0:
            found.append(CUT)
            break
        found.append(json_of(value, budget, level + 1))
    return found
