"""Which superseded versions and which events of a run its policy lets go, in the order in which they go.

`keep_latest_n` keeps the newest n versions of each item and the newest n events of each stream.
`keep_duration` lets go what was superseded, or appended, that long ago or longer. The current version of an
item is never let go. What was superseded or appended after the moment of the pass stays for the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.items import ItemHead, decode_event, decode_version, find_head
from runindex_server.schema.run import RetentionPolicy


class EventRef(NamedTuple):
    """Which event."""

    stream: str
    sequence: int


class Place(NamedTuple):
    """Where a victim stands, so that a dry run can go on behind it.

    Attributes:
        row: The key of the row that led to it.
        number: Its version, or its sequence.
        taken: How many victims that row has led to, it included.
    """

    row: bytes
    number: int
    taken: int


@dataclass(frozen=True, slots=True)
class Moment:
    """On what a pass acts, in microseconds since 1970.

    Attributes:
        now_us: The wall clock, by which things are old.
        written_us: The store's time, which can be ahead: what was written later is left to the next pass, so
            that a pass ends however much is written meanwhile. None for a pass that takes what there is.
    """

    now_us: int
    written_us: int | None = None

    def is_before(self, us: int) -> bool:
        """Tell whether what was written at a time is left to the next pass."""
        return self.written_us is not None and us > self.written_us


@dataclass(frozen=True, slots=True)
class Victim:
    """What a policy lets go.

    Attributes:
        what: Which version, or which event.
        at_us: When it was superseded, or appended.
        value_bytes: The size of its value.
        place: Where it stands.
    """

    what: ItemVersionRef | EventRef
    at_us: int
    value_bytes: int
    place: Place


class Victims:
    """The victims in a run, read lazily: all superseded versions, then all events.

    Attributes:
        has_later: Once read to the end: whether some stay only because of the moment of the pass.
    """

    def __init__(
        self, txn: ReadTxn, data: DataKeys, policy: RetentionPolicy, moment: Moment, *, after: Victim | None
    ) -> None:
        """Look at what a run holds.

        Args:
            txn: The snapshot.
            data: The run's keys.
            policy: What acts on the run.
            moment: Of the pass.
            after: The victim behind which to go on; None for the first.
        """
        self._txn = txn
        self._data = data
        self._policy = policy
        self._moment = moment
        self._after = after
        self.has_later = False

    def __iter__(self) -> Iterator[Victim]:
        """Yield them.

        Raises:
            StoreCorrupt: A row is damaged, or leads to one that is missing.
        """
        after = self._after
        in_events = after is not None and isinstance(after.what, EventRef)
        version_place = after.place if after is not None and not in_events else None
        event_place = after.place if after is not None and in_events else None
        if self._policy.keep_duration_us is not None:
            through_us = self._moment.now_us - self._policy.keep_duration_us
            if not in_events:
                yield from self._versions_through(through_us, version_place)
            yield from self._events_through(through_us, event_place)
        elif self._policy.keep_latest_n is not None:
            if not in_events:
                yield from self._versions_beyond(self._policy.keep_latest_n, version_place)
            yield from self._events_beyond(self._policy.keep_latest_n, event_place)

    def _versions_through(self, supersede_us: int, after: Place | None) -> Iterator[Victim]:
        """Yield versions that were superseded at a time or before, oldest first."""
        start, end = self._data.superseded_through_range(supersede_us)
        for row, _ in self._txn.scan(start if after is None else after.row + b"\x00", end):
            at_us, ref = self._data.split_superseded(row)
            key = self._data.item_version(*ref)
            value = decode_version(key, _present(self._txn, key)).value
            yield Victim(ref, at_us, len(value), Place(row, ref.version, 1))

    def _events_through(self, append_us: int, after: Place | None) -> Iterator[Victim]:
        """Yield events that were appended at a time or before, oldest first."""
        first = 0 if after is None else after.number + 1
        for key, value in self._txn.scan(*self._data.event_range(start=first)):
            event = decode_event(key, value)
            if event.append_us > append_us:
                return
            sequence = self._data.sequence_of(key)
            what = EventRef(event.stream, sequence)
            yield Victim(what, event.append_us, len(event.value), Place(key, sequence, 1))

    def _versions_beyond(self, keep: int, after: Place | None) -> Iterator[Victim]:
        """Yield the superseded versions of each item but the newest, so that `keep` versions are left."""
        start, end = self._data.item_depth_range(keep)
        for row, _ in self._txn.scan(start if after is None else after.row, end):
            _, kind, name = self._data.split_item_depth(row)
            _, head = present_head(self._txn, self._data, kind, name)
            first = after.number + 1 if after is not None and row == after.row else head.oldest
            versions = self._data.item_version_range(kind, name, below=head.version - keep + 2)
            rows = self._txn.scan(self._data.item_version(kind, name, first), versions.end)
            decoded = ((key, decode_version(key, value)) for key, value in rows)
            for (key, version), (_, following) in pairwise(decoded):
                if self._moment.is_before(following.write_us):
                    self.has_later = True
                    break
                number = self._data.version_of(key)
                place = Place(row, number, number - head.oldest + 1)
                what = ItemVersionRef(kind, name, number)
                yield Victim(what, following.write_us, len(version.value), place)

    def _events_beyond(self, keep: int, after: Place | None) -> Iterator[Victim]:
        """Yield the events of each stream but the newest, so that `keep` are left."""
        start, end = self._data.stream_depth_range(keep + 1)
        for row, _ in self._txn.scan(start if after is None else after.row, end):
            count, stream = self._data.split_stream_depth(row)
            is_resumed = after is not None and row == after.row
            taken, first = (after.taken, after.number + 1) if after is not None and is_resumed else (0, 0)
            events = self._data.stream_event_range(stream, start=first)
            for index_key, _ in self._txn.scan(*events, limit=max(0, count - keep - taken)):
                sequence = self._data.sequence_of(index_key)
                key = self._data.event(sequence)
                event = decode_event(key, _present(self._txn, key))
                if self._moment.is_before(event.append_us):
                    self.has_later = True
                    break
                taken += 1
                place = Place(row, sequence, taken)
                yield Victim(EventRef(stream, sequence), event.append_us, len(event.value), place)


def present_head(
    txn: ReadTxn | WriteTxn, data: DataKeys, kind: ItemKind, name: str
) -> tuple[bytes, ItemHead]:
    """Return the key and the head of an item, whether it is there or deleted. Read-only.

    Raises:
        StoreCorrupt: It was never written, or its row is damaged.
    """
    found = find_head(txn, data, kind, name)
    if found is None:
        raise StoreCorrupt(f"no head under {data.item(kind, name).hex()}")
    return found.key, found.head


def _present(txn: ReadTxn, key: bytes) -> bytes:
    """Return the value of a row that another one leads to.

    Raises:
        StoreCorrupt: There is none.
    """
    value = txn.get(key)
    if value is None:
        raise StoreCorrupt(f"nothing under {key.hex()}")
    return value
