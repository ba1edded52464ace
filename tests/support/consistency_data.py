"""What runs hold against itself: what follows from versions and events, and when they are due.

The rows that are taken as given are the versions of items and the events; all others are added up from them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from runindex_server.kv.api import decode_counter, encode_counter
from runindex_server.schema import data_keys, keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.encoding import decode_u64, split_string
from runindex_server.schema.items import (
    ItemHead,
    ItemVersion,
    StoredEvent,
    decode_event,
    decode_head,
    decode_version,
)
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, Run

Rows = Mapping[bytes, bytes]

KINDS = {ItemKind.VALUE: 1, ItemKind.CELL: 3, ItemKind.DOCUMENT: 4}
"""As what each kind is counted, by the number of the holding."""
EVENTS, BYTES = 2, 5

GIVEN = frozenset({data_keys.ITEM_VERSION.number, data_keys.EVENT.number, data_keys.EVENTS_APPENDED.number})


class Held:
    """What one run holds, read from its rows.

    Attributes:
        items: The kept versions of each item, by number.
        events: The kept events, by sequence.
        rest: The rows that follow from those.
        appended: How many events were ever appended.
    """

    def __init__(self, run: Run, rows: Rows) -> None:
        """Read the rows."""
        self.run = run
        self.keys = DataKeys.of(run)
        self.items: dict[tuple[ItemKind, str], dict[int, ItemVersion]] = defaultdict(dict)
        self.events: dict[int, StoredEvent] = {}
        self.rest: dict[bytes, bytes] = {}
        self.appended = 0
        for key, value in rows.items():
            part, rest = key[25], key[26:]
            if part == data_keys.ITEM_VERSION.number:
                name, number = split_string(rest[1:])
                item = self.items[ItemKind(rest[0]), name.decode()]
                item[decode_u64(number)] = decode_version(key, value)
            elif part == data_keys.EVENT.number:
                self.events[decode_u64(rest)] = decode_event(key, value)
            elif part == data_keys.EVENTS_APPENDED.number:
                self.appended = decode_counter(value)
            else:
                self.rest[key] = value

    @property
    def streams(self) -> dict[str, list[int]]:
        """The sequences of each stream's events, in order."""
        streams: dict[str, list[int]] = defaultdict(list)
        for sequence in sorted(self.events):
            streams[self.events[sequence].stream].append(sequence)
        return streams

    def superseded(self) -> Iterator[tuple[int, ItemVersionRef]]:
        """Yield when which version was superseded."""
        for (kind, name), versions in self.items.items():
            for older, newer in pairwise(sorted(versions)):
                yield versions[newer].write_us, ItemVersionRef(kind, name, older)

    def expected_rest(self) -> dict[bytes, bytes | ItemHead]:
        """Return the rows that follow; heads as they are, not as they are encoded."""
        expected: dict[bytes, bytes | ItemHead] = {
            self.keys.superseded(at_us, ref): b"" for at_us, ref in self.superseded()
        }
        for (kind, name), versions in self.items.items():
            head = ItemHead(max(versions), min(versions))
            place = self.keys.deleted_item if versions[head.version].is_deleted else self.keys.item
            expected[place(kind, name)] = head
            if head.depth:
                expected[self.keys.item_depth(kind, name, head.depth)] = b""
        for stream, sequences in self.streams.items():
            expected[self.keys.stream_count(stream)] = encode_counter(len(sequences))
            expected[self.keys.stream_depth(stream, len(sequences))] = b""
            for sequence in sequences:
                expected[self.keys.stream_event(stream, sequence)] = b""
        return expected

    def found_rest(self) -> dict[bytes, bytes | ItemHead]:
        """Return the rows that are there, likewise."""
        heads = (data_keys.ITEM.number, data_keys.DELETED_ITEM.number)
        return {
            key: decode_head(key, value) if key[25] in heads else value for key, value in self.rest.items()
        }

    def holdings(self) -> dict[bytes, int]:
        """Return the counters of what the run holds."""
        counts: Counter[int] = Counter()
        for (kind, _), versions in self.items.items():
            counts[KINDS[kind]] += not versions[max(versions)].is_deleted
            counts[BYTES] += sum(len(version.value) for version in versions.values())
        counts[EVENTS] = len(self.events)
        counts[BYTES] += sum(len(event.value) for event in self.events.values())
        run = self.run
        return {
            keys.holding(run.run_id, run.generation, kind): count for kind, count in counts.items() if count
        }

    def due_us(self, policy: RetentionPolicy) -> int | None:
        """Return when the first of it is due under a policy; None for never."""
        if policy.keep_duration_us is not None:
            times = [at_us for at_us, _ in self.superseded()]
            times += [event.append_us for event in self.events.values()]
            return min(times) + policy.keep_duration_us if times else None
        if policy.keep_latest_n is None:
            return None
        keep = policy.keep_latest_n
        times = []
        for versions in self.items.values():
            numbers = sorted(versions)
            if len(numbers) > keep:
                times.append(versions[numbers[keep]].write_us)
        for sequences in self.streams.values():
            if len(sequences) > keep:
                times.append(self.events[sequences[keep]].append_us)
        return min(times, default=None)


def held_by(run: Run, data: Rows) -> Held:
    """Return what a run holds, of all rows of data."""
    start, end = DataKeys.of(run).range
    return Held(run, {key: value for key, value in data.items() if start <= key < end})


def in_data(runs: Sequence[Run], data: Rows, by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield what is wrong with what runs hold, and with when it is due."""
    living = {(run.run_id, run.generation): run for run in runs}
    by_life: dict[tuple[bytes, int], dict[bytes, bytes]] = defaultdict(dict)
    for key, value in data.items():
        by_life[key[:16], decode_u64(key[17:25])][key] = value
    dead = {keys.split_tombstone(key) for key in by_tag[keys.TOMBSTONE.tag]}
    for run_id, generation in by_life.keys() - living.keys() - dead:
        yield f"data of no run: {run_id.hex()} {generation}"
    holdings: dict[bytes, int] = {}
    all_held = []
    for life, run in living.items():
        held = Held(run, by_life.get(life, {}))
        all_held.append(held)
        yield from _in_versions(held)
        yield from _compare(held.expected_rest(), held.found_rest())
        holdings.update(held.holdings())
    counted = {key: decode_counter(value) for key, value in by_tag[keys.HOLDING.tag].items()}
    yield from _compare(holdings, counted)
    yield from _in_due(all_held, by_tag)


def _in_versions(held: Held) -> Iterator[str]:
    """Yield what no sequence of writes leads to."""
    for (kind, name), versions in held.items.items():
        numbers = sorted(versions)
        if numbers != list(range(numbers[0], numbers[-1] + 1)):
            yield f"a gap in the versions of {kind.name} {name!r}: {numbers}"
        for older, newer in pairwise(numbers):
            if versions[older].write_us > versions[newer].write_us:
                yield f"versions of {kind.name} {name!r} out of their times"
    ordered = sorted(held.events.items())
    for (first, earlier), (second, later) in pairwise(ordered):
        if earlier.append_us > later.append_us:
            yield f"events {first} and {second} out of their times"
    if ordered and ordered[-1][0] >= held.appended:
        yield f"event {ordered[-1][0]} of {held.appended}"


def _in_due(all_held: Sequence[Held], by_tag: Mapping[int, Rows]) -> Iterator[str]:
    """Yield what would be looked at too late, or in vain."""
    by_time = {keys.split_due(key) for key in by_tag[keys.DUE.tag]}
    by_run: dict[tuple[bytes, int], int] = {}
    for key, value in by_tag[keys.DUE_OF.tag].items():
        rest = key[len(keys.DUE_OF.prefix) :]
        by_run[rest[:16], decode_u64(rest[16:])] = decode_u64(records.unseal(key, value)[:8])
    told = {(due_us, run_id, generation) for (run_id, generation), due_us in by_run.items()}
    yield from (f"due row {row} on one side only" for row in by_time ^ told)
    lives = {(held.run.run_id, held.run.generation) for held in all_held}
    yield from (f"due, but no run: {life}" for life in by_run.keys() - lives)
    sweep = pb.DefaultPolicySweep(done=True)
    for key, value in by_tag[keys.DEFAULT_POLICY_SWEEP.tag].items():
        sweep = pb.DefaultPolicySweep.FromString(records.unseal(key, value))
    for held in all_held:
        run = held.run
        is_swept = sweep.done or run.run_id <= sweep.through_run_id
        default = records.decode_policy(sweep.policy) if is_swept else KEEP_ALL
        needed_us = held.due_us(default if run.retention is None else run.retention)
        due_us = by_run.get((run.run_id, run.generation))
        if needed_us is None:
            continue
        # A policy that is set later lets a run be looked at when it is set, or swept.
        is_late = run.retention is not None and due_us is not None and due_us > max(needed_us, run.update_us)
        if due_us is None or is_late:
            yield f"run {run.run_id.hex()} is looked at at {due_us}, but is due at {needed_us}"


def _compare(expected: Mapping[bytes, object], found: Mapping[bytes, object]) -> Iterator[str]:
    """Yield how rows differ from what they should be."""
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            yield f"{key.hex()}: {found.get(key)!r}, not {expected.get(key)!r}"
