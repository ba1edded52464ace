"""What a run holds in events: the events, their streams and what follows from them, on a copy.

Rows come in the order of their keys: events, then those of each stream, then what leads to streams.
"""

from collections import Counter
from collections.abc import Iterator

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.counters import compare_counter
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.items import DATA_PREFIX_BYTES
from runindex_server.maintenance.verify.rows import check_counter
from runindex_server.maintenance.verify.walk import DAMAGED, LEFT_OVER, MISSING, NO_SUCH_KEY, NOT_EMPTY
from runindex_server.schema.data_keys import (
    EVENT,
    EVENTS_APPENDED,
    STREAM_COUNT,
    STREAM_DEPTH,
    STREAM_EVENT,
    DataKeys,
)
from runindex_server.schema.encoding import decode_u64, split_string
from runindex_server.schema.items import decode_event


class EventCheck:
    """Checks the events of one run.

    Attributes:
        count: Events.
        value_bytes: Of all of them; None when a damaged one makes that unknown.
        first_append_us: When the first of them was appended; None when that is unknown, or there is none.
        stream_max: The most events that a stream has.
    """

    def __init__(self, data: DataKeys) -> None:
        """Take the keys of the run."""
        self.count = 0
        self.value_bytes: int | None = 0
        self.first_append_us: int | None = None
        self.stream_max = 0
        self._data = data
        self._next_sequence = 0
        # The stream whose events are being visited, and how many it has.
        self._stream: str | None = None
        self._stream_count = 0
        # By stream: events that are there, but not found in it.
        self._unlisted: Counter[str] = Counter()
        # By stream: how many events it has, where neither its counter nor its rows can tell.
        self._known: dict[str, int] = {}

    def visit_event(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that an event can be read, and is found in its stream."""
        if len(key) != DATA_PREFIX_BYTES + 8:
            yield Finding(EVENT.name, key, NO_SUCH_KEY)
            return
        sequence = self._data.sequence_of(key)
        self._next_sequence = sequence + 1
        self.count += 1
        try:
            event = decode_event(key, value)
        except StoreCorrupt:
            self.value_bytes = None
            yield Finding(EVENT.name, key, DAMAGED)
            return
        if self.value_bytes is not None:
            self.value_bytes += len(event.value)
        if self.count == 1:
            self.first_append_us = event.append_us
        by_stream = self._data.stream_event(event.stream, sequence)
        if txn.get(by_stream) is None:
            self._unlisted[event.stream] += 1
            yield Finding(STREAM_EVENT.name, by_stream, MISSING)

    def visit_stream_event(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that an event is of the stream in which it is found."""
        try:
            name, rest = split_string(key[DATA_PREFIX_BYTES:])
            stream, sequence = name.decode(), decode_u64(rest)
        except ValueError:
            yield Finding(STREAM_EVENT.name, key, NO_SUCH_KEY)
            return
        if value:
            yield Finding(STREAM_EVENT.name, key, NOT_EMPTY)
        if stream != self._stream:
            yield from self._end_stream(txn)
            self._stream = stream
        if self._is_of(txn, stream, sequence):
            self._stream_count += 1
        else:
            yield Finding(STREAM_EVENT.name, key, LEFT_OVER)

    def _is_of(self, txn: ReadTxn, stream: str, sequence: int) -> bool:
        """Tell whether an event is of a stream; one that is damaged is believed to be."""
        event = self._data.event(sequence)
        value = txn.get(event)
        try:
            return value is not None and decode_event(event, value).stream == stream
        except StoreCorrupt:
            return True

    def end_streams(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check what is told of the streams of which all events were visited; again does nothing."""
        yield from self._end_stream(txn)
        for stream in sorted(self._unlisted):
            self._stream = stream
            yield from self._end_stream(txn)

    def _end_stream(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check that the events of the stream that was visited are counted."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        unlisted = self._unlisted.pop(stream, 0)
        count, self._stream_count = self._stream_count + unlisted, 0
        self.stream_max = max(self.stream_max, count)
        counter, by_depth = self._data.stream_count(stream), self._data.stream_depth(stream, count)
        if unlisted or self._counted(txn, stream) != count:
            self._known[stream] = count
        yield from compare_counter(txn, STREAM_COUNT.name, counter, count)
        if count and txn.get(by_depth) is None:
            yield Finding(STREAM_DEPTH.name, by_depth, MISSING)

    def _counted(self, txn: ReadTxn, stream: str) -> int | None:
        """Return what the counter of a stream says; None when it is none."""
        try:
            return txn.get_counter(self._data.stream_count(stream))
        except ValueError:
            return None

    def visit_stream_count(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a stream of which events are counted has some."""
        yield from self.end_streams(txn)
        try:
            name, rest = split_string(key[DATA_PREFIX_BYTES:])
            stream = name.decode()
        except ValueError:
            yield Finding(STREAM_COUNT.name, key, NO_SUCH_KEY)
            return
        if rest:
            yield Finding(STREAM_COUNT.name, key, NO_SUCH_KEY)
            return
        start, end = self._data.stream_event_range(stream)
        findings = list(check_counter(STREAM_COUNT.name, key, value))
        if stream not in self._known and not any(txn.scan(start, end, limit=1)):
            self._known[stream] = 0
            findings = findings or [Finding(STREAM_COUNT.name, key, LEFT_OVER)]
        yield from findings

    def visit_stream_depth(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a stream has as many events as that by which it is found."""
        yield from self.end_streams(txn)
        try:
            depth, stream = self._data.split_stream_depth(key)
        except ValueError:
            yield Finding(STREAM_DEPTH.name, key, NO_SUCH_KEY)
            return
        if value:
            yield Finding(STREAM_DEPTH.name, key, NOT_EMPTY)
        count = self._known[stream] if stream in self._known else self._counted(txn, stream)
        if depth != count or depth == 0:
            yield Finding(STREAM_DEPTH.name, key, LEFT_OVER)

    def visit_appended(self, _: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a row is the counter of what was ever appended."""
        if key != self._data.events_appended:
            yield Finding(EVENTS_APPENDED.name, key, NO_SUCH_KEY)
            return
        yield from check_counter(EVENTS_APPENDED.name, key, value)

    def end(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check what can be told when all rows were visited."""
        yield from self.end_streams(txn)
        key = self._data.events_appended
        try:
            appended = txn.get_counter(key)
        except ValueError:
            return
        if appended < self._next_sequence:
            yield Finding(EVENTS_APPENDED.name, key, "It is not beyond the last event.")
