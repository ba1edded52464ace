"""Staging: the rows of what belongs to a run of a bundle, under a generation that no run has yet.

They are out of sight until a record carries that generation.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from runindex_server.bundles.contents import BundledRun, canonical_value
from runindex_server.schema import insight_keys
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.history import Transition, encode_transition
from runindex_server.schema.items import (
    ItemHead,
    ItemVersion,
    StoredEvent,
    encode_event,
    encode_head,
    encode_version,
)
from runindex_server.schema.run import RunState


class StagedRow(NamedTuple):
    """A row, or a counter, to be written.

    Attributes:
        value: Of the row; None for a counter.
        number: What the counter counts to.
    """

    key: bytes
    value: bytes | None
    number: int = 0

    @property
    def size_bytes(self) -> int:
        """What it takes of a write."""
        return len(self.key) + (8 if self.value is None else len(self.value))


class RunRows:
    """The rows of one run, made as its entries come. They have been checked."""

    def __init__(self, bundled: BundledRun, generation: int) -> None:
        """Take the run, and the generation under which it is staged."""
        self._bundled = bundled
        self._run_id = bundled.run.run_id
        self._generation = generation
        self._data = DataKeys(self._run_id, generation)
        self._streams: Counter[str] = Counter()
        # The item whose versions come, the oldest of them, and the version before.
        self._oldest = 0
        self._last: pb.BundleVersion | None = None

    def of(self, entry: pb.BundleEntry) -> Iterator[StagedRow]:
        """Yield the rows that an entry of the run comes to."""
        match entry.WhichOneof("entry"):
            case "transition":
                yield self._transition(entry.transition)
            case "version":
                yield from self._version(entry.version)
            case "event":
                yield from self._event(entry.event)
            case _:  # What is of no run.
                pass

    def rest(self) -> Iterator[StagedRow]:
        """Yield the rows that can be told when all entries of the run have come."""
        yield from self._end_item()
        for stream, count in self._streams.items():
            yield StagedRow(self._data.stream_count(stream), None, count)
            yield StagedRow(self._data.stream_depth(stream, count), b"")
        if self._bundled.events_appended:
            yield StagedRow(self._data.events_appended, None, self._bundled.events_appended)

    def _transition(self, message: pb.BundleTransition) -> StagedRow:
        key = insight_keys.transition(self._run_id, self._generation, message.version)
        transition = Transition(
            from_state=RunState(message.from_state) if message.from_state else None,
            to_state=RunState(message.to_state),
            time_us=message.time_us,
            version=message.version,
            actor=message.actor,
        )
        return StagedRow(key, encode_transition(key, transition))

    def _version(self, message: pb.BundleVersion) -> Iterator[StagedRow]:
        last, kind, name = self._last, ItemKind(message.kind), message.name
        if last is not None and (last.kind, last.name) == (message.kind, name):
            superseded = ItemVersionRef(kind, name, last.version)
            yield StagedRow(self._data.superseded(message.write_time_us, superseded), b"")
        else:
            yield from self._end_item()
            self._oldest = message.version
        version = ItemVersion(
            write_us=message.write_time_us,
            is_deleted=message.deleted,
            value=b"" if message.deleted else canonical_value(kind, message.value),
        )
        key = self._data.item_version(kind, name, message.version)
        yield StagedRow(key, encode_version(key, version))
        self._last = message

    def _end_item(self) -> Iterator[StagedRow]:
        """Yield where the item stands whose versions have come."""
        last, self._last = self._last, None
        if last is None:
            return
        kind, head = ItemKind(last.kind), ItemHead(last.version, self._oldest)
        key = (self._data.deleted_item if last.deleted else self._data.item)(kind, last.name)
        yield StagedRow(key, encode_head(key, head))
        if head.depth:
            yield StagedRow(self._data.item_depth(kind, last.name, head.depth), b"")

    def _event(self, message: pb.BundleEvent) -> Iterator[StagedRow]:
        key = self._data.event(message.sequence)
        event = StoredEvent(
            stream=message.stream,
            append_us=message.append_time_us,
            value=canonical_value(None, message.value),
        )
        yield StagedRow(key, encode_event(key, event))
        yield StagedRow(self._data.stream_event(message.stream, message.sequence), b"")
        self._streams[message.stream] += 1
