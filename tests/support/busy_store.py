"""A store in which something of every kind stands, and what tampers with its rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from google.protobuf.message import Message

from runindex_server.data.events import EventDraft, append_events
from runindex_server.data.items import Operation, change_item
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.runs import run_index
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions, RequestKey
from runindex_server.schema import insight_keys, keys, records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy, RunId
from tests.support.clock import HOUR_US, SECOND_US, START_US, ManualClock
from tests.support.search_world import encoded

Rows = Mapping[bytes, bytes | None]

PUT: Final = {kind: Operation(kind=kind, name="write") for kind in ItemKind}

ROW_OF_NO_MESSAGE: Final = (
    (keys.CLOCK_TICK, pb.ClockTick(wall_time_us=1)),
    (keys.DEFAULT_POLICY_SWEEP, pb.DefaultPolicySweep(done=True)),
    (keys.COMPACTION, pb.Compaction(versions=3)),
)


class BusyStore:
    """Fills a store as the server does.

    Attributes:
        clock: The clock of the store.
        ids: Of the runs that are there, but for the default run, in the order of creation.
    """

    def __init__(self, store: Store, clock: ManualClock) -> None:
        """Take a new store, and its clock."""
        self.store = store
        self.ids: list[RunId] = []
        self.clock = clock
        self._requests = 0

    async def fill(self) -> None:
        """Create runs in all states with data of all kinds; some merged, some deleted and not yet erased."""
        for number in range(12):
            await self.create(number)
        await self._end_some()
        while await merge_step(self.store):
            pass
        for number, run_id in enumerate((DEFAULT_RUN_ID, *self.ids[:3])):
            await self.fill_run(run_id, number)
        for number in (12, 13):
            await self.create(number)
        await self.fill_run(self.ids[-1], 2)
        await self.store.write(
            lambda txn: run_index.delete_run(txn, self.ids[-1], Conditions(request=self.request()))
        )
        self.ids.pop()
        await self.store.write(put_rows({s.prefix: sealed(s.prefix, m) for s, m in ROW_OF_NO_MESSAGE}))
        template = insight_keys.template("a name")
        written = pb.Template(tags=["t"], version=1, create_time_us=START_US, update_time_us=START_US)
        await self.store.write(put_rows({template: sealed(template, written)}))

    async def create(self, number: int) -> RunId:
        """Create a run."""
        run_id = RunId(bytes([0x20 + number % 7]) + bytes(14) + bytes([number]))
        draft = Draft(
            run_id=run_id,
            tags=("all", f"n{number % 3}", "aéb"[: number % 4]) if number % 4 else ("all",),
            metadata=encoded({"name": f"name {number}", "deep": {"list": [number, True]}}),
            parent=self.ids[0] if number % 3 == 1 else None,
        )
        self.clock.advance(7 * SECOND_US)
        await self.store.write(lambda txn: run_index.create_run(txn, draft, self.request()))
        self.ids.append(run_id)
        return run_id

    async def _end_some(self) -> None:
        """End some runs, and give some a policy."""
        any_version = Conditions()
        policies = (
            RetentionPolicy(keep_latest_n=2),
            RetentionPolicy(keep_duration_us=HOUR_US),
            RetentionPolicy(delete_after_us=HOUR_US),
            KEEP_ALL,
        )
        for number, run_id in enumerate(self.ids):
            self.clock.advance(SECOND_US)
            policy = policies[number % 4]
            if number < 10:
                await self.store.write(
                    lambda txn, of=run_id, to=policy: run_index.set_run_retention(txn, of, to, any_version)
                )
            if number in (5, 6, 7, 10):
                await self.store.write(lambda txn, of=run_id: run_index.close_run(txn, of, any_version))
            if number in (4, 6, 11):
                await self.store.write(lambda txn, of=run_id: run_index.archive_run(txn, of, any_version))
        await self.store.write(lambda txn: run_index.fail_run(txn, self.ids[8], "no way", any_version))
        await self.store.write(lambda txn: run_index.pause_run(txn, self.ids[9], any_version))

    async def fill_run(self, run_id: RunId, number: int) -> None:
        """Write items, some several times or deleted, and events."""
        for turn in range(3):
            self.clock.advance(SECOND_US)
            for kind in ItemKind:
                for name in ("a", "a b", "b" * (1 + number))[turn:]:
                    await self.put(run_id, kind, name, b"x" * (turn + number + 1))
            await self.append(run_id, ["s", "t", "s"][: 1 + turn], b"e" * number)
        await self.put(run_id, ItemKind.VALUE, "gone", b"1")
        await self.put(run_id, ItemKind.VALUE, "gone", None)
        await self.put(run_id, ItemKind.CELL, "a", None)

    async def put(self, run_id: RunId, kind: ItemKind, name: str, value: bytes | None) -> None:
        """Write an item, or delete it."""
        await self.store.write(
            lambda txn: change_item(
                txn, run_id, name, PUT[kind], Conditions(), lambda _: value, default_policy=KEEP_ALL
            )
        )

    async def append(self, run_id: RunId, streams: Sequence[str], value: bytes) -> None:
        """Append an event to some streams."""
        drafts = [EventDraft(stream, value) for stream in streams]
        await self.store.write(lambda txn: append_events(txn, run_id, drafts, None, default_policy=KEEP_ALL))

    def request(self) -> RequestKey:
        """Return the key of another request."""
        self._requests += 1
        return RequestKey(caller="", request_id=f"r{self._requests}", digest=bytes(16))


def sealed(key: bytes, message: Message) -> bytes:
    """Return the row of a message."""
    return records.seal(key, message.SerializeToString())


def put_rows(rows: Rows) -> Callable[[WriteTxn], None]:
    """Return a write that sets rows, or removes those that are None."""

    def fn(txn: WriteTxn) -> None:
        for key, value in rows.items():
            if value is None:
                txn.delete(key)
            else:
                txn.put(key, value)

    return fn


def all_rows(txn: ReadTxn) -> dict[bytes, bytes]:
    """Return all rows."""
    return dict(txn.scan(b"\x00", b"\xff" * 512))


def flipped(value: bytes, bit: int) -> bytes:
    """Return a value with one bit turned over."""
    return (int.from_bytes(value, "big") ^ 1 << bit % (8 * len(value))).to_bytes(len(value), "big")
