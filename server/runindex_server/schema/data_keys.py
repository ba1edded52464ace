"""The keys of what a run holds, in the run's own namespace; the registry `PARTS` lists them.

    run_id[16] | 0x80 | generation u64 | part u8 | ...

A key, a state cell and a document are items: each has a head, under one key while it is there and under
another while it is deleted, so that a list reads only what it returns; and a row for each version that is
kept. The versions that are kept follow each other without a gap, up to the current one. Its depth is how many
of them are superseded.

The encodings are those of `keys`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from runindex_server.schema.encoding import (
    decode_u64,
    encode_string,
    encode_u8,
    encode_u64,
    escape,
    split_string,
)
from runindex_server.schema.keys import DATA, KeyRange, prefix_range
from runindex_server.schema.run import Run, RunId


class ItemKind(IntEnum):
    """What an item is. Stored by number."""

    VALUE = 1
    CELL = 2
    DOCUMENT = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A disjoint part of what a run holds: one number, one layout.

    Attributes:
        number: The byte after the generation. Never used again for anything else.
        name: What its rows are.
        parts: The layout of the key after the number.
        value: The layout of the value.
    """

    number: int
    name: str
    parts: str
    value: str


ITEM: Final = Part(0x01, "item", "kind u8 | name str", "frame of ItemHead")
DELETED_ITEM: Final = Part(0x02, "deleted item", "kind u8 | name str", "frame of ItemHead")
ITEM_VERSION: Final = Part(
    0x03, "version of an item", "kind u8 | name str | version u64", "frame of ItemVersion"
)
SUPERSEDED: Final = Part(
    0x04, "superseded versions by time", "supersede_us u64 | kind u8 | name str | version u64", "empty"
)
ITEM_DEPTH: Final = Part(
    0x05, "items with superseded versions, by depth", "depth u64 | kind u8 | name str", "empty"
)
EVENT: Final = Part(0x10, "event", "sequence u64", "frame of StoredEvent")
STREAM_EVENT: Final = Part(0x11, "events by stream", "stream str | sequence u64", "empty")
STREAM_COUNT: Final = Part(0x12, "count of a stream's events", "stream str", "counter")
STREAM_DEPTH: Final = Part(0x13, "streams by count of events", "count u64 | stream str", "empty")
EVENTS_APPENDED: Final = Part(0x14, "count of events ever appended", "", "counter")

PARTS: Final = (
    ITEM,
    DELETED_ITEM,
    ITEM_VERSION,
    SUPERSEDED,
    ITEM_DEPTH,
    EVENT,
    STREAM_EVENT,
    STREAM_COUNT,
    STREAM_DEPTH,
    EVENTS_APPENDED,
)
"""Every part, by number."""


class ItemVersionRef(NamedTuple):
    """Which version of which item."""

    kind: ItemKind
    name: str
    version: int


class DataKeys:
    """The keys of what one run holds, in one life of it."""

    __slots__ = ("_prefix",)

    def __init__(self, run_id: RunId, generation: int) -> None:
        """Take the run and its generation."""
        self._prefix = run_id + encode_u8(DATA.tag) + encode_u64(generation)

    @classmethod
    def of(cls, run: Run) -> "DataKeys":
        """Return the keys of what a run holds."""
        return cls(run.run_id, run.generation)

    @property
    def range(self) -> KeyRange:
        """All that the run holds."""
        return prefix_range(self._prefix)

    def item(self, kind: ItemKind, name: str) -> bytes:
        """Return the key of an item's head while it is there."""
        return self._part(ITEM) + encode_u8(kind) + encode_string(name.encode())

    def item_range(self, kind: ItemKind, name_prefix: str) -> KeyRange:
        """Return the heads of the items of a kind that are there and whose names begin so."""
        return prefix_range(self._part(ITEM) + encode_u8(kind) + escape(name_prefix.encode()))

    def name_of(self, item_key: bytes) -> str:
        """Return the name of the item whose head has this key.

        Raises:
            ValueError: It is no key of one.
        """
        name, rest = split_string(self._rest(ITEM, item_key)[1:])
        if rest:
            msg = f"more than a name in {item_key.hex()}"
            raise ValueError(msg)
        return name.decode()

    def deleted_item(self, kind: ItemKind, name: str) -> bytes:
        """Return the key of an item's head while it is deleted."""
        return self._part(DELETED_ITEM) + encode_u8(kind) + encode_string(name.encode())

    def item_version(self, kind: ItemKind, name: str, version: int) -> bytes:
        """Return the key of a version of an item."""
        return self._versions(kind, name) + encode_u64(version)

    def item_version_range(self, kind: ItemKind, name: str, *, below: int | None = None) -> KeyRange:
        """Return the versions of an item, oldest first, or those below a version."""
        start = self._versions(kind, name)
        return KeyRange(start, start + (b"\xff" if below is None else encode_u64(below)))

    @property
    def item_versions_range(self) -> KeyRange:
        """The versions of all items, by kind, name and number."""
        return prefix_range(self._part(ITEM_VERSION))

    def split_item_version(self, key: bytes) -> ItemVersionRef:
        """Return which version of which item this is the key of.

        Raises:
            ValueError: It is no key of one.
        """
        rest = self._rest(ITEM_VERSION, key)
        name, version = split_string(rest[1:])
        return ItemVersionRef(ItemKind(rest[0]), name.decode(), decode_u64(version))

    def version_of(self, item_version_key: bytes) -> int:
        """Return the version whose key this is."""
        return decode_u64(item_version_key[-8:])

    def superseded(self, supersede_us: int, ref: ItemVersionRef) -> bytes:
        """Return the key by which a version is found by the time at which the next one superseded it."""
        name = encode_u8(ref.kind) + encode_string(ref.name.encode())
        return self._part(SUPERSEDED) + encode_u64(supersede_us) + name + encode_u64(ref.version)

    def superseded_through_range(self, supersede_us: int) -> KeyRange:
        """Return the versions that were superseded at a time or before, oldest first."""
        start = self._part(SUPERSEDED)
        return KeyRange(start, start + encode_u64(max(-1, supersede_us) + 1))

    @property
    def superseded_range(self) -> KeyRange:
        """All superseded versions, oldest first."""
        return prefix_range(self._part(SUPERSEDED))

    def split_superseded(self, key: bytes) -> tuple[int, ItemVersionRef]:
        """Return when which version was superseded.

        Raises:
            ValueError: It is no key of one.
        """
        rest = self._rest(SUPERSEDED, key)
        name, version = split_string(rest[9:])
        return decode_u64(rest[:8]), ItemVersionRef(ItemKind(rest[8]), name.decode(), decode_u64(version))

    def item_depth(self, kind: ItemKind, name: str, depth: int) -> bytes:
        """Return the key by which an item is found by how many superseded versions it has."""
        return self._part(ITEM_DEPTH) + encode_u64(depth) + encode_u8(kind) + encode_string(name.encode())

    def item_depth_range(self, depth: int) -> KeyRange:
        """Return the items with at least so many superseded versions."""
        part = prefix_range(self._part(ITEM_DEPTH))
        return KeyRange(part.start + encode_u64(depth), part.end)

    def split_item_depth(self, key: bytes) -> tuple[int, ItemKind, str]:
        """Return depth, kind and name of an item.

        Raises:
            ValueError: It is no key of one.
        """
        rest = self._rest(ITEM_DEPTH, key)
        name, _ = split_string(rest[9:])
        return decode_u64(rest[:8]), ItemKind(rest[8]), name.decode()

    def event(self, sequence: int) -> bytes:
        """Return the key of an event."""
        return self._part(EVENT) + encode_u64(sequence)

    def event_range(self, *, start: int = 0, end: int | None = None) -> KeyRange:
        """Return the events of all streams with sequences in `[start, end)`."""
        part = prefix_range(self._part(EVENT))
        return KeyRange(
            part.start + encode_u64(start), part.end if end is None else part.start + encode_u64(end)
        )

    def stream_event(self, stream: str, sequence: int) -> bytes:
        """Return the key by which an event is found in its stream."""
        return self._stream(stream) + encode_u64(sequence)

    def stream_event_range(self, stream: str, *, start: int = 0, end: int | None = None) -> KeyRange:
        """Return the events of a stream with sequences in `[start, end)`."""
        prefix = self._stream(stream)
        return KeyRange(prefix + encode_u64(start), prefix + (b"\xff" if end is None else encode_u64(end)))

    def sequence_of(self, event_key: bytes) -> int:
        """Return the sequence with which the key of an event ends, in its stream or over all."""
        return decode_u64(event_key[-8:])

    def stream_count(self, stream: str) -> bytes:
        """Return the counter of a stream's events."""
        return self._part(STREAM_COUNT) + encode_string(stream.encode())

    def stream_depth(self, stream: str, count: int) -> bytes:
        """Return the key by which a stream is found by how many events it has."""
        return self._part(STREAM_DEPTH) + encode_u64(count) + encode_string(stream.encode())

    def stream_depth_range(self, count: int) -> KeyRange:
        """Return the streams with at least so many events."""
        part = prefix_range(self._part(STREAM_DEPTH))
        return KeyRange(part.start + encode_u64(count), part.end)

    def split_stream_depth(self, key: bytes) -> tuple[int, str]:
        """Return how many events which stream has.

        Raises:
            ValueError: It is no key of one.
        """
        rest = self._rest(STREAM_DEPTH, key)
        stream, _ = split_string(rest[8:])
        return decode_u64(rest[:8]), stream.decode()

    @property
    def events_appended(self) -> bytes:
        """The counter of the events that were ever appended: the sequence of the next one."""
        return self._part(EVENTS_APPENDED)

    def _part(self, part: Part) -> bytes:
        return self._prefix + encode_u8(part.number)

    def _versions(self, kind: ItemKind, name: str) -> bytes:
        return self._part(ITEM_VERSION) + encode_u8(kind) + encode_string(name.encode())

    def _stream(self, stream: str) -> bytes:
        return self._part(STREAM_EVENT) + encode_string(stream.encode())

    def _rest(self, part: Part, key: bytes) -> bytes:
        prefix = self._part(part)
        if not key.startswith(prefix):
            msg = f"not the key of an {part.name}: {key.hex()}"
            raise ValueError(msg)
        return key[len(prefix) :]
