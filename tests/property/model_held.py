"""What a run holds, as the model has it: the kept versions of keys, cells and documents, and the kept events.

A content is a dict with `json` or `binary`, as in a `DataValue`; a document's has `json`.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.struct_pb2 import Value

from tests.property.model_arguments import set_value

KEY, CELL, DOCUMENT = "key", "cell", "document"
KINDS: Final = (KEY, CELL, DOCUMENT)
"""What has versions, by the field that names one."""

Content = dict[str, Any]


def json_bytes(value: Any) -> int:
    """Return how many bytes JSON has as a `google.protobuf.Value`."""
    message = Value()
    set_value(message, value)
    return message.ByteSize()


def content_bytes(kind: str, content: Content) -> int:
    """Return how many bytes a content has as it is stored: a document's JSON, else the `DataValue`."""
    bare = json_bytes(content["json"]) if "json" in content else len(content["binary"])
    # The number of the field is one byte, and its length seven bits a byte.
    return bare if kind == DOCUMENT else 1 + max(1, (bare.bit_length() + 6) // 7) + bare


@dataclass(frozen=True)
class Version:
    """A version of a key, a cell or a document.

    Attributes:
        content: What it holds; None for a deletion.
        bytes: The size of that.
    """

    number: int
    write_us: int
    content: Content | None
    bytes: int


@dataclass
class Item:
    """A key, a cell or a document that was ever written: its kept versions, oldest first."""

    versions: list[Version] = field(default_factory=list)

    @property
    def current(self) -> Version | None:
        """What is there; None when nothing is."""
        last = self.versions[-1] if self.versions else None
        return last if last is not None and last.content is not None else None

    @property
    def last_number(self) -> int:
        """The number of its last version, deletions among them; 0 before the first."""
        return self.versions[-1].number if self.versions else 0

    def version(self, number: int | None) -> Version | None:
        """Return a kept version, or what is there when none is asked for."""
        if number is None:
            return self.current
        return next((version for version in self.versions if version.number == number), None)


@dataclass(frozen=True)
class Event:
    """An event."""

    sequence: int
    stream: str
    append_us: int
    content: Content
    bytes: int


@dataclass
class Held:
    """All that a run holds.

    Attributes:
        items: By kind and name.
        events: By ascending sequence.
        next_sequence: Of the next event.
        write_us: When anything of it was last written; 0 for never.
    """

    items: dict[str, dict[str, Item]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    events: list[Event] = field(default_factory=list)
    next_sequence: int = 0
    write_us: int = 0

    def item(self, kind: str, name: str) -> Item:
        """Return an item, written or not. Not to be changed."""
        return self.items[kind].get(name) or Item()

    def all_items(self) -> list[Item]:
        """Return the items of all kinds."""
        return [item for items in self.items.values() for item in items.values()]

    @property
    def bytes(self) -> int:
        """The bytes of all kept values."""
        versions = [version.bytes for item in self.all_items() for version in item.versions]
        return sum(versions) + sum(event.bytes for event in self.events)

    def counts(self) -> dict[str, int]:
        """Return what a receipt tells of it."""
        there = {
            kind: sum(item.current is not None for item in items.values())
            for kind, items in self.items.items()
        }
        return {
            "kv_keys": there[KEY],
            "events": len(self.events),
            "state_cells": there[CELL],
            "documents": there[DOCUMENT],
            "bytes": self.bytes,
        }
