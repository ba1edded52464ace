"""A store with runs that hold data, and a naive model of what retention leaves of it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from runindex_server.data.events import EventDraft, append_events
from runindex_server.data.states import set_state
from runindex_server.data.values import delete_value, put_value
from runindex_server.jobs.retention.compaction import CompactedRun, CompactionSummary
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.runs.run_index import archive_run, close_run, create_run, delete_run, set_run_retention
from runindex_server.schema import keys, records
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy, RunId
from tests.support.clock import ManualClock
from tests.support.consistency import check_store
from tests.support.consistency_data import held_by
from tests.support.search_world import drive

T = TypeVar("T")

INTERVAL_S = 600

Piece = CompactedRun | CompactionSummary


class HookedStore:
    """A `kv.api.Store` in which something happens before each write."""

    def __init__(self, inner: Store, before_write: Callable[[], None]) -> None:
        """Pass everything on to the inner store."""
        self._inner = inner
        self._before_write = before_write

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Read."""
        return await self._inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Let it happen, and write."""
        self._before_write()
        return await self._inner.write(fn)

    async def close(self) -> None:
        """Close the inner store."""
        await self._inner.close()


@dataclass
class Version:
    """A version of an item."""

    number: int
    write_us: int
    value: bytes | None


@dataclass
class ModelRun:
    """A run, as a person would write it down."""

    policy: RetentionPolicy | None = None
    end_us: int | None = None
    is_archived: bool = False
    items: dict[tuple[ItemKind, str], list[Version]] = field(default_factory=dict)
    events: list[tuple[int, str, int, bytes]] = field(default_factory=list)
    appended: int = 0

    def trim(self, policy: RetentionPolicy, now_us: int) -> Counter[str]:
        """Remove what a policy lets go, and return how much of each kind."""
        gone: Counter[str] = Counter()
        keep, duration_us = policy.keep_latest_n, policy.keep_duration_us
        for name, versions in self.items.items():
            left = versions
            if keep is not None:
                left = versions[-keep:]
            elif duration_us is not None:
                times = [*(version.write_us for version in versions[1:]), None]
                left = [
                    v
                    for v, us in zip(versions, times, strict=True)
                    if us is None or us > now_us - duration_us
                ]
            gone["versions"] += len(versions) - len(left)
            gone["bytes"] += sum(len(version.value or b"") for version in versions if version not in left)
            self.items[name] = left
        kept = self.events
        if keep is not None:
            streams = {event[1] for event in self.events}
            newest = {event for name in streams for event in [e for e in self.events if e[1] == name][-keep:]}
            kept = [event for event in self.events if event in newest]
        elif duration_us is not None:
            kept = [event for event in self.events if event[2] > now_us - duration_us]
        gone["events"] += len(self.events) - len(kept)
        gone["bytes"] += sum(len(event[3]) for event in self.events if event not in kept)
        self.events = kept
        return gone

    @property
    def held_bytes(self) -> int:
        """The bytes of all its values."""
        versions = (version for versions in self.items.values() for version in versions)
        return sum(len(version.value or b"") for version in versions) + sum(len(e[3]) for e in self.events)


class RetentionWorld:
    """A store in memory, with its model; `default` is the store-wide default policy of its server."""

    def __init__(self, *, default: RetentionPolicy = KEEP_ALL) -> None:
        """Start with the default run."""
        self.clock = ManualClock()
        self.store: Store = MemoryStore(clock=self.clock, initialise=initialise)
        # Times of creation are strictly later each: the clock shall not be behind the store's time.
        self.clock.advance(10)
        self.runs: dict[RunId, ModelRun] = {DEFAULT_RUN_ID: ModelRun()}
        self.restart(default)

    def restart(self, default: RetentionPolicy) -> None:
        """Let a server with another setting take over."""
        self.default = default
        self.retention = self.new_retention()
        drive(self.retention.prepare())

    def new_retention(self) -> Retention:
        """Return another retention of the same store."""
        return Retention(self.store, clock=self.clock, default_policy=self.default, interval_s=INTERVAL_S)

    def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Write."""
        return drive(self.store.write(fn))

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        """Read."""
        return drive(self.store.read(fn))

    def create(self, number: int, policy: RetentionPolicy | None = None) -> RunId:
        """Create a run."""
        run_id = RunId(number.to_bytes(16, "big"))
        self.clock.advance(1)
        self.write(lambda txn: create_run(txn, Draft(run_id=run_id)))
        self.runs[run_id] = ModelRun()
        if policy is not None:
            self.set_policy(run_id, policy)
        return run_id

    def generation(self, run_id: RunId) -> int:
        """Return in which life a run is."""
        key = keys.run(run_id)
        return self.read(lambda txn: records.decode_run(key, txn.get(key)).generation)

    def set_policy(self, run_id: RunId, policy: RetentionPolicy) -> None:
        """Set a run's policy."""
        self.write(lambda txn: set_run_retention(txn, run_id, policy, Conditions()))
        self.runs[run_id].policy = policy

    def put(self, run_id: RunId, name: str, value: bytes | None, kind: ItemKind = ItemKind.VALUE) -> None:
        """Write a key or a cell; None deletes a key."""

        def fn(txn: WriteTxn) -> Any:
            if kind is ItemKind.CELL:
                return set_state(txn, run_id, name, value, Conditions(), default_policy=self.default)
            if value is None:
                return delete_value(txn, run_id, name, Conditions(), default_policy=self.default)
            return put_value(txn, run_id, name, value, Conditions(), default_policy=self.default)

        answer = self.write(fn)
        versions = self.runs[run_id].items.setdefault((kind, name), [])
        versions.append(Version(answer.version, answer.update_us, value))

    def append(self, run_id: RunId, *streams: str, value: bytes = b"event") -> None:
        """Append an event to each of some streams."""
        drafts = [EventDraft(stream, value) for stream in streams]
        answer = self.write(lambda txn: append_events(txn, run_id, drafts, None, default_policy=self.default))
        run = self.runs[run_id]
        for place, stream in enumerate(streams):
            run.events.append((answer.first_sequence + place, stream, answer.update_us, value))

    def close_run(self, run_id: RunId) -> None:
        """End a run."""
        answer = self.write(lambda txn: close_run(txn, run_id, Conditions()))
        self.runs[run_id].end_us = answer.update_us

    def archive(self, run_id: RunId) -> None:
        """Archive a run."""
        answer = self.write(lambda txn: archive_run(txn, run_id, Conditions()))
        run = self.runs[run_id]
        run.end_us = run.end_us or answer.update_us
        run.is_archived = True

    def delete(self, run_id: RunId) -> None:
        """Delete a run."""
        self.write(lambda txn: delete_run(txn, run_id, Conditions()))
        del self.runs[run_id]

    def preview(self) -> list[Piece]:
        """Return what a pass would remove."""
        return drain(self.retention.preview())

    def compact(self, *, trust_clock: bool = False) -> list[Piece]:
        """Take a pass."""
        return drain(self.retention.compact(trust_clock=trust_clock))

    def expected_pass(self) -> dict[RunId, Counter[str]]:
        """Let the model take a pass, and return what went of each run."""
        now_us, gone = self.clock.now_us(), {}
        for run_id, run in list(self.runs.items()):
            policy = self.default if run.policy is None else run.policy
            if policy.delete_after_us is not None:
                if run.end_us is not None and run.end_us + policy.delete_after_us <= now_us:
                    gone[run_id] = Counter(deleted=1, bytes=run.held_bytes)
                    del self.runs[run_id]
            else:
                gone[run_id] = run.trim(policy, now_us)
        return {run_id: +counts for run_id, counts in gone.items() if +counts}

    def check(self) -> None:
        """Check that the store holds what the model does, and is sound."""
        drive(check_store(self.store))
        assert self.read(contents) == {run_id: model_contents(run) for run_id, run in self.runs.items()}


def contents(txn: ReadTxn) -> dict[RunId, Any]:
    """Return what the runs of a store hold."""
    data = {key: value for key, value in txn.scan(b"\x00", b"\xff" * 17) if key[16] == keys.DATA.tag}
    found = {}
    for key, value in txn.scan(*keys.RUN.range):
        run = records.decode_run(key, value)
        held = held_by(run, data)
        found[run.run_id] = (
            {
                name: [
                    (number, versions[number].write_us, versions[number].value) for number in sorted(versions)
                ]
                for name, versions in held.items.items()
            },
            [(sequence, e.stream, e.append_us, e.value) for sequence, e in sorted(held.events.items())],
        )
    return found


def model_contents(run: ModelRun) -> Any:
    """Return the same of a run of the model."""
    items = {
        name: [(version.number, version.write_us, version.value or b"") for version in versions]
        for name, versions in run.items.items()
    }
    return items, run.events


def drain(pieces: Any) -> list[Piece]:
    """Return all that a pass tells."""

    async def run() -> list[Piece]:
        return [piece async for piece in pieces]

    return asyncio.run(run())


def told(pieces: list[Piece]) -> dict[RunId, Counter[str]]:
    """Return what pieces say that went of each run, and hold the summary to it."""
    *runs, summary = pieces
    gone: dict[RunId, Counter[str]] = {}
    for piece in runs:
        assert isinstance(piece, CompactedRun)
        counts = Counter(
            deleted=int(piece.run_deleted), versions=piece.versions, events=piece.events, bytes=piece.bytes
        )
        gone[piece.run_id] = gone.get(piece.run_id, Counter()) + counts
    assert isinstance(summary, CompactionSummary)
    for kind in ("versions", "events", "bytes"):
        assert getattr(summary, kind) == sum(counts[kind] for counts in gone.values())
    assert summary.runs_deleted == sum(counts["deleted"] for counts in gone.values())
    assert summary.runs_trimmed == sum(not counts["deleted"] for counts in gone.values())
    return {run_id: +counts for run_id, counts in gone.items() if +counts}
