"""Events: one sequence over all streams, the rows that follow from it, and reading it from either end."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from runindex.v1 import run_data_pb2 as pb
from runindex_server import limits
from runindex_server.data import events
from runindex_server.data.events import EventCount, EventDraft, EventQuery, NumberedEvent
from runindex_server.data.listing import PageRequest
from runindex_server.errors import RunArchived, RunNotFound, StoreCorrupt
from runindex_server.kv.api import WRITE_BYTES_MAX, ReadTxn
from runindex_server.kv.write_buffer import Changes, Sequences, WriteBuffer
from runindex_server.rpc.data_validate import event_drafts
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.derive import write_run
from runindex_server.schema.due import AT_ONCE, Due
from runindex_server.schema.items import StoredEvent, encode_event
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy
from tests.support.clock import HOUR_US, MINUTE_US, SECOND_US, START_US
from tests.support.search_world import encoded as encoded_metadata
from tests.support.stores import IN_MEMORY
from tests.unit.data.world import RUN, World, request


def append(world: World, *drafts: tuple[str, bytes], **options: Any) -> Any:
    return world.call(events.append_events, [EventDraft(*draft) for draft in drafts], options.get("request"))


def shown(event: NumberedEvent) -> bytes:
    return b"%d:%s=%s" % (event.sequence, event.content.stream.encode(), event.content.value)


def read(world: World, *, size: int = 2, **query: Any) -> list[bytes]:
    pages = world.pages(lambda txn, run_id, page: _read(txn, run_id, query, page), size=size)
    assert all(len(page) == size for page in pages[:-1])
    return [event for page in pages for event in page]


def _read(txn: ReadTxn, run_id: Any, query: dict[str, Any], page: Any) -> Any:
    return events.read_events(txn, run_id, EventQuery(**query), page, shown)


def expected_rows(keys: DataKeys, appended: list[StoredEvent]) -> dict[bytes, bytes]:
    """Return what rows there are after some events, counters as scans show them."""
    rows = {}
    for sequence, event in enumerate(appended):
        key = keys.event(sequence)
        rows[key] = encode_event(key, event)
        rows[keys.stream_event(event.stream, sequence)] = b""
    for stream, count in Counter(event.stream for event in appended).items():
        rows[keys.stream_count(stream)] = count.to_bytes(8, "big")
        rows[keys.stream_depth(stream, count)] = b""
    if appended:
        rows[keys.events_appended] = len(appended).to_bytes(8, "big")
    return rows


def test_rows_and_counters_follow_from_the_events(world: World) -> None:
    random = Random(20260301)
    appended: list[StoredEvent] = []
    for _ in range(30):
        drafts = [
            (random.choice(["a", "ab", "b", "é"]), b"x" * random.randrange(100))
            for _ in range(random.randrange(1, 8))
        ]
        answer = append(world, *drafts)
        assert (answer.version, answer.first_sequence) == (0, len(appended))
        appended += [StoredEvent(stream=s, append_us=answer.update_us, value=v) for s, v in drafts]
        world.clock.advance(random.choice([0, 1, SECOND_US]))

    assert world.rows() == expected_rows(world.keys, appended)
    assert world.held() == (0, len(appended), 0, 0, sum(len(event.value) for event in appended))
    assert world.ask(events.count_events, None) == EventCount(len(appended), len(appended))
    for stream, count in Counter(event.stream for event in appended).items():
        assert world.ask(events.count_events, stream) == EventCount(count, len(appended))
    assert world.ask(events.count_events, "unknown") == EventCount(0, len(appended))


def test_reading_from_either_end(world: World) -> None:
    append(world, *[("s" if number % 3 else "t", b"%d" % number) for number in range(10)])
    every = [b"%d:%s=%d" % (number, b"s" if number % 3 else b"t", number) for number in range(10)]
    of_t = every[::3]

    for size in (1, 2, 3, 100):
        for query, expected in (
            ({}, every),
            ({"backwards": True}, every[::-1]),
            ({"from_sequence": 4}, every[4:]),
            ({"from_sequence": 4, "backwards": True}, every[4::-1]),
            ({"from_sequence": 0, "backwards": True}, every[:1]),
            ({"stream": "t"}, of_t),
            ({"stream": "t", "backwards": True}, of_t[::-1]),
            ({"stream": "t", "from_sequence": 4}, of_t[2:]),
            ({"stream": "t", "from_sequence": 5, "backwards": True}, of_t[1::-1]),
        ):
            assert read(world, size=size, **query) == expected, (query, size)


@pytest.mark.parametrize("begin", [3, 4, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("stream", ["s", None])
def test_places_behind_the_end(world: World, begin: int, stream: str | None) -> None:
    append(world, ("s", b"0"), ("s", b"1"), ("s", b"2"))
    assert read(world, stream=stream, from_sequence=begin) == []
    assert len(read(world, stream=stream, from_sequence=begin, backwards=True)) == 3


def test_what_comes_between_pages_is_read_in_its_place(world: World) -> None:
    append(world, *[("s", b"%d" % number) for number in range(4)])
    first = world.ask(_read, {}, PageRequest(3))
    append(world, ("s", b"4"), ("t", b"5"))
    second = world.ask(_read, {}, PageRequest(10, first.end))
    assert [*first.items, *second.items] == [
        b"0:s=0",
        b"1:s=1",
        b"2:s=2",
        b"3:s=3",
        b"4:s=4",
        b"5:t=5",
    ]
    assert second.end is None


def test_a_run_under_the_same_id_begins_again(world: World) -> None:
    append(world, ("s", b"0"), ("s", b"1"))
    receipt = world.delete()
    assert (receipt.events, receipt.bytes) == (2, 2)
    world.create(RUN)
    assert world.rows() == {}
    assert world.ask(events.count_events, None) == EventCount(0, 0)
    assert append(world, ("s", b"new")).first_sequence == 0
    assert read(world) == [b"0:s=new"]


def test_the_checks_and_their_order(world: World) -> None:
    answer = append(world, ("s", b"0"), request=request("r"))
    append(world, ("s", b"1"))
    world.archive()
    with pytest.raises(RunArchived) as refusal:
        append(world, ("s", b"2"))
    assert refusal.value.metadata["operation"] == "append events"
    assert len(read(world)) == 2
    world.delete()
    with pytest.raises(RunNotFound):
        append(world, ("s", b"2"))
    for method, args in ((_read, ({}, PageRequest(1))), (events.count_events, (None,))):
        with pytest.raises(RunNotFound):
            world.ask(method, *args)
    assert append(world, ("s", b"0"), request=request("r")) == answer


def test_an_append_is_a_sign_of_life(world: World) -> None:
    before = world.run
    append(world, ("s", b"0"))
    assert world.run == before
    world.clock.advance(MINUTE_US)
    append(world, ("s", b"1"))
    assert world.run.activity_us == before.activity_us + MINUTE_US
    assert world.run.version == before.version


@pytest.mark.parametrize(
    ("policy", "streams", "due_us"),
    [
        (KEEP_ALL, "ssss", None),
        (RetentionPolicy(keep_latest_n=2), "ss", None),
        (RetentionPolicy(keep_latest_n=2), "stst", None),
        (RetentionPolicy(keep_latest_n=2), "stsst", AT_ONCE),
        (RetentionPolicy(keep_duration_us=HOUR_US), "s", START_US + MINUTE_US + HOUR_US),
    ],
)
def test_what_is_due(world: World, policy: RetentionPolicy, streams: str, due_us: int | None) -> None:
    world.default_policy = policy
    world.clock.advance(MINUTE_US)
    answer = append(world, *[(stream, b"v") for stream in streams])
    assert world.due() == (None if due_us is None else Due(due_us, answer.revision))


@IN_MEMORY
def test_a_stream_that_leads_nowhere_is_damage(world: World) -> None:
    append(world, ("s", b"0"))
    event = world.keys.event(0)
    world.write(lambda txn: txn.delete(event))
    with pytest.raises(StoreCorrupt):
        read(world, stream="s")


@IN_MEMORY
def test_counting_costs_the_same_however_many_there_are(world: World) -> None:
    costs = set()
    for _ in range(5):
        append(world, *[("s", b"v")] * 200)
        world.store.reset()
        world.ask(events.count_events, "s")
        world.ask(events.count_events, None)
        costs.add(world.store.rows_touched)
    assert costs == {6}


# The largest write.


def largest_request(names: list[str]) -> Any:
    """Return a request of the largest size with an event in each of some streams."""
    asked = pb.AppendEventsRequest(run_id="0" * 31 + "1", request_id="r" * 64)
    for name in names:
        asked.events.add(stream=name).value.binary = b""
    room = limits.REQUEST_BYTES_MAX - asked.ByteSize()
    for event in asked.events:
        event.value.binary = b"v" * (room // len(names) - 16)
    asked.events[0].value.binary += b"v" * (limits.REQUEST_BYTES_MAX - asked.ByteSize())
    too_many = asked.ByteSize() - limits.REQUEST_BYTES_MAX  # A longer value has a longer length before it.
    asked.events[0].value.binary = asked.events[0].value.binary[too_many:]
    return asked


def fatten(world: World) -> None:
    """Give the run the largest record, and let a minute pass, so that an append writes it too."""
    run = world.run
    metadata = encoded_metadata({"k": "m" * (limits.METADATA_BYTES_MAX - 20)})
    tags = tuple(f"{number:0{limits.TAG_BYTES_MAX}}" for number in range(limits.TAGS_MAX))
    fat = run._replace(metadata=metadata, tags=tags, error="e" * limits.ERROR_BYTES_MAX)
    world.write(lambda txn: write_run(txn, run, fat, revision=txn.next_revision()))
    world.clock.advance(MINUTE_US)


def changes_of(world: World, asked: Any) -> Changes:
    """Return what an append would write."""
    drafts = event_drafts(asked.events)

    def measure(txn: ReadTxn) -> Changes:
        buffer = WriteBuffer(txn, Sequences(revision=txn.revision), clock=world.clock)
        policy = RetentionPolicy(keep_duration_us=HOUR_US)
        events.append_events(buffer, RUN, drafts, request("r" * 64), default_policy=policy)
        changes = buffer.finish()
        assert changes is not None
        return changes

    return world.read(measure)


def bytes_of(changes: Changes) -> int:
    return (
        sum(len(key) + len(value) for key, value in changes.puts.items())
        + sum(map(len, changes.deletes))
        + sum(len(key) + 8 for key in changes.deltas)
    )


STREAMS = [f"{number:0{limits.NAME_BYTES_MAX}}" for number in range(limits.EVENTS_MAX)]


@pytest.mark.parametrize("names", [STREAMS, ["s"] * limits.EVENTS_MAX, STREAMS[:8]], ids=len)
def test_every_request_fits_into_a_write(world: World, names: list[str]) -> None:
    """Long names of streams that all have events already cost most: each stands in five keys and values."""
    append(world, *[(name, b"") for name in names])
    fatten(world)
    asked = largest_request(names)
    assert asked.ByteSize() == limits.REQUEST_BYTES_MAX

    assert bytes_of(changes_of(world, asked)) <= WRITE_BYTES_MAX * 9 // 10
    assert append(world, *[(draft.stream, draft.value) for draft in event_drafts(asked.events)])
    assert world.ask(events.count_events, None).kept == 2 * len(names)
