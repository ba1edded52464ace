"""What a run of a block begins with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from runindex._types import Json, RunRef


class Inherit:
    """The type of `INHERIT`."""

    def __repr__(self) -> str:
        return "INHERIT"


INHERIT: Final = Inherit()
"""Says that a run begins under the run of the block around it, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a run of a block begins with.

    Attributes:
        tags: Its tags.
        metadata: Its metadata; None for none.
        parent: The run under which it begins; None for a root.
        run_id: Its id; None for one that the server makes.
        required: Whether a failure to record it is an error.
    """

    tags: Iterable[str]
    metadata: Mapping[str, Json] | None
    parent: RunRef | Inherit | None
    run_id: str | None
    required: bool
