"""RunData's calls for events, in the contract's order, each a function of one transaction.

As `data.values`. All events of a run have one sequence, whatever their streams.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runindex_server.data.listing import Page, PageRequest, fill_page
from runindex_server.data.writing import note_activity, open_run
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import RequestKey, load, recall, remember
from runindex_server.schema import due, keys
from runindex_server.schema.answers import Answer
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.encoding import decode_u64, encode_u64
from runindex_server.schema.holdings import Holding, add_holding
from runindex_server.schema.items import StoredEvent, decode_event, encode_event
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import RetentionPolicy, RunId

SEQUENCE_MAX: Final = 2**63 - 1
"""The last sequence that a run can have: they come from a counter."""


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event to append.

    Attributes:
        stream: Its stream.
        value: What it holds: the wire form of `runindex.v1.DataValue`.
    """

    stream: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event, with what its key says.

    Attributes:
        sequence: Its place among the events of the run, from 0.
        content: What the event is.
    """

    sequence: int
    content: StoredEvent


EncodeEvent = Callable[[NumberedEvent], bytes]
"""Returns the event of a page in the form in which it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events to read.

    Attributes:
        stream: Of this stream; None for all.
        from_sequence: Where to begin; None for the beginning, or the end when backwards.
        backwards: Whether to begin with the newest.
    """

    stream: str | None = None
    from_sequence: int | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events there are.

    Attributes:
        kept: Those that are kept.
        next_sequence: The sequence of the run's next event.
    """

    kept: int
    next_sequence: int


def append_events(
    txn: WriteTxn,
    run_id: RunId,
    drafts: Sequence[EventDraft],
    request: RequestKey | None,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Append events to their streams, all of them. At least one.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
    """
    answered = recall(txn, request)
    if answered is not None:
        return answered
    run = open_run(txn, run_id, "append events")
    data = DataKeys.of(run)
    revision, now_us = txn.next_revision(), txn.issue_time_us()
    first = txn.get_counter(data.events_appended)
    for sequence, draft in enumerate(drafts, first):
        key = data.event(sequence)
        event = StoredEvent(stream=draft.stream, append_us=now_us, value=draft.value)
        txn.insert(key, encode_event(key, event))
        txn.put(data.stream_event(draft.stream, sequence), b"")
    txn.add(data.events_appended, len(drafts))
    depth = _lengthen_streams(txn, data, Counter(draft.stream for draft in drafts)) - 1
    add_holding(txn, run, Holding.EVENTS, len(drafts))
    add_holding(txn, run, Holding.BYTES, sum(len(draft.value) for draft in drafts))
    policy = due.policy_of(run, default_policy)
    due.superseded(txn, run, policy, at_us=now_us, depth=depth, revision=revision)
    note_activity(txn, run, now_us=now_us)
    answer = Answer(run_id=run_id, version=0, revision=revision, update_us=now_us, first_sequence=first)
    remember(txn, request, answer)
    return answer


def read_events(
    txn: ReadTxn, run_id: RunId, query: EventQuery, page: PageRequest, encode: EncodeEvent
) -> Page:
    """Return a page of the events of a stream or of the run. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
    """
    run = load(txn, run_id)
    data, last = DataKeys.of(run), page.last_in(run)
    start, end = _range(data, query, None if last is None else decode_u64(last))

    def rows() -> Iterator[tuple[bytes, bytes]]:
        for key, value in txn.scan(start, end, reverse=query.backwards):
            sequence = data.sequence_of(key)
            event = decode_event(key, value) if query.stream is None else _listed_event(txn, data, sequence)
            yield encode_u64(sequence), encode(NumberedEvent(sequence, event))

    return fill_page(run, rows(), page.size)


def count_events(txn: ReadTxn, run_id: RunId, stream: str | None) -> EventCount:
    """Return how many events a stream or the run has, from counters. Read-only.

    Raises:
        RunNotFound: No run has this id.
    """
    run = load(txn, run_id)
    data = DataKeys.of(run)
    count = (
        keys.holding(run.run_id, run.generation, Holding.EVENTS)
        if stream is None
        else data.stream_count(stream)
    )
    return EventCount(txn.get_counter(count), txn.get_counter(data.events_appended))


def _lengthen_streams(txn: WriteTxn, data: DataKeys, appended: Mapping[str, int]) -> int:
    """Count appended events by stream, and return how many the longest of these streams has from now on."""
    longest = 0
    for stream, number in appended.items():
        count = txn.get_counter(data.stream_count(stream))
        if count:
            txn.delete(data.stream_depth(stream, count))
        txn.put(data.stream_depth(stream, count + number), b"")
        txn.add(data.stream_count(stream), number)
        longest = max(longest, count + number)
    return longest


def _range(data: DataKeys, query: EventQuery, last: int | None) -> KeyRange:
    """Return the keys of the events that a query asks for, those behind the last one read."""
    begin = None if query.from_sequence is None else min(query.from_sequence, SEQUENCE_MAX)
    start, end = 0, None
    if query.backwards:
        end = last if begin is None or last is not None else begin + 1
    else:
        start = begin or 0 if last is None else last + 1
    if query.stream is None:
        return data.event_range(start=start, end=end)
    return data.stream_event_range(query.stream, start=start, end=end)


def _listed_event(txn: ReadTxn, data: DataKeys, sequence: int) -> StoredEvent:
    """Return an event to which its stream leads. Read-only.

    Raises:
        StoreCorrupt: It is missing or damaged.
    """
    key = data.event(sequence)
    value = txn.get(key)
    if value is None:
        raise StoreCorrupt(f"a stream leads to {key.hex()}, which is missing")
    return decode_event(key, value)
