"""What calls about the data of runs return."""

from dataclasses import dataclass
from datetime import datetime

from runindex._types import Json

Value = Json | bytes
"""What a run can hold: what JSON has, or bytes."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write of data has made.

    Attributes:
        version: The version that it made, from 1.
        write_time: When.
        revision: The store's revision that it made.
    """

    version: int
    write_time: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class Appended:
    """Where events were appended.

    Attributes:
        first_sequence: The sequence of the first one; the others follow it.
        append_time: When.
        revision: The store's revision that it made.
    """

    first_sequence: int
    append_time: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class Item:
    """A version of a value, a state cell or a JSON document.

    Attributes:
        name: The key, or the name of the cell or document.
        value: What it holds; None for a deletion, and where values were not asked for.
        version: Its number, from 1.
        write_time: When it was written.
        deleted: Whether it is a deletion.
    """

    name: str
    value: Value
    version: int
    write_time: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a run.

    Attributes:
        sequence: Its place among the events of the run, from 0.
        stream: Its stream.
        value: What it holds.
        append_time: When it was appended.
    """

    sequence: int
    stream: str
    value: Value
    append_time: datetime


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events there are.

    Attributes:
        count: Those that are kept.
        next_sequence: The sequence that the run's next event will get.
        revision: The store's revision that was seen.
    """

    count: int
    next_sequence: int
    revision: int
