"""What runs hold, on a copy: run by run, in the order of their keys."""

from collections.abc import Iterator
from typing import Final

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.counters import compare_counter
from runindex_server.maintenance.verify.events import EventCheck
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.items import DATA_PREFIX_BYTES, ItemCheck
from runindex_server.maintenance.verify.rows import after_namespace, read_run
from runindex_server.maintenance.verify.walk import LEFT_OVER, NO_SUCH_KEY, Walk, each
from runindex_server.schema import data_keys as parts
from runindex_server.schema import keys
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.due import read_due
from runindex_server.schema.encoding import decode_u64
from runindex_server.schema.holdings import Holding
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import KEEP_ALL, TIME_US_MAX, Run, RunId

PHASE: Final = "data"

_RUN_BYTES: Final = DATA_PREFIX_BYTES - 1
"""The run, the tag and the generation."""

_LAST_KEY: Final = b"\xff" * 512


class DataCheck:
    """Checks what the runs of a copy hold."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._prefix = b""
        # None while nothing is to be checked: before the first run, and for the data of deleted ones.
        self._held: _RunCheck | None = None
        self._is_orphaned = False

    def walks(self) -> Iterator[Walk]:
        """Yield the walk over all data."""
        # The default run's data shares its namespace with what is no data.
        ranges = [keys.DATA.range, KeyRange(after_namespace(), _LAST_KEY)]
        yield Walk(phase=PHASE, ranges=ranges, visit=each(self._visit), finish=self._end_run)

    def _visit(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check a row by what it is, and first of all whose."""
        if len(key) < DATA_PREFIX_BYTES or key[16] != keys.DATA.tag:
            yield Finding(keys.DATA.name, key, NO_SUCH_KEY)
            return
        prefix = key[:_RUN_BYTES]
        if prefix != self._prefix:
            yield from self._end_run(txn)
            self._begin_run(txn, prefix)
        if self._is_orphaned:
            yield Finding(keys.DATA.name, key, LEFT_OVER)
        if self._held is not None:
            yield from self._held.visit(txn, key, value)

    def _begin_run(self, txn: ReadTxn, prefix: bytes) -> None:
        """Look for the run whose data follows."""
        run_id, generation = RunId(prefix[:16]), decode_u64(prefix[17:])
        self._prefix = prefix
        record = keys.run(run_id)
        value = txn.get(record)
        run = None if value is None else read_run(record, value)
        lives = run is not None and run.generation == generation
        # Of a damaged record nobody knows the generation.
        is_unknown = value is not None and run is None
        is_erased = txn.get(keys.tombstone(run_id, generation)) is not None
        self._held = _RunCheck(run) if run is not None and lives else None
        self._is_orphaned = not (lives or is_unknown or is_erased)

    def _end_run(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check what can be told when all of a run's rows were visited."""
        held, self._held = self._held, None
        if held is not None:
            yield from held.end(txn)


class _RunCheck:
    """Checks what one run holds."""

    def __init__(self, run: Run) -> None:
        self._run = run
        data = DataKeys.of(run)
        self._items = ItemCheck(data)
        self._events = EventCheck(data)

    def visit(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check a row by the part that it is in."""
        items, events = self._items, self._events
        number = key[DATA_PREFIX_BYTES - 1]
        if number > parts.ITEM_VERSION.number:
            yield from items.end_versions()
        match number:
            case parts.ITEM.number:
                yield from items.visit_head(txn, key, value, parts.ITEM)
            case parts.DELETED_ITEM.number:
                yield from items.visit_head(txn, key, value, parts.DELETED_ITEM)
            case parts.ITEM_VERSION.number:
                yield from items.visit_version(txn, key, value)
            case parts.SUPERSEDED.number:
                yield from items.visit_superseded(txn, key, value)
            case parts.ITEM_DEPTH.number:
                yield from items.visit_depth(txn, key, value)
            case parts.EVENT.number:
                yield from events.visit_event(txn, key, value)
            case parts.STREAM_EVENT.number:
                yield from events.visit_stream_event(txn, key, value)
            case parts.STREAM_COUNT.number:
                yield from events.visit_stream_count(txn, key, value)
            case parts.STREAM_DEPTH.number:
                yield from events.visit_stream_depth(txn, key, value)
            case parts.EVENTS_APPENDED.number:
                yield from events.visit_appended(txn, key, value)
            case _:
                yield Finding(keys.DATA.name, key, NO_SUCH_KEY)

    def end(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check what can be told when all rows were visited."""
        yield from self._items.end_versions()
        yield from self._events.end(txn)
        yield from self._check_holdings(txn)
        yield from self._check_due(txn)

    def _check_holdings(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check that what the run holds is counted."""
        held: dict[Holding, int] = {**self._items.counts, Holding.EVENTS: self._events.count}
        run = self._run
        for kind in Holding:
            key = keys.holding(run.run_id, run.generation, kind)
            if kind is not Holding.BYTES:
                yield from compare_counter(txn, keys.HOLDING.name, key, held.get(kind, 0))
            elif self._items.value_bytes is not None and self._events.value_bytes is not None:
                value_bytes = self._items.value_bytes + self._events.value_bytes
                yield from compare_counter(txn, keys.HOLDING.name, key, value_bytes)

    def _check_due(self, txn: ReadTxn) -> Iterator[Finding]:
        """Check that retention looks at the run in time, by its own policy.

        What the default policy asks for is not known here: it is a setting.
        """
        run, due_at_latest_us = self._run, self._due_at_latest_us()
        if due_at_latest_us is None:
            return
        try:
            due = read_due(txn, run.run_id, run.generation)
        except StoreCorrupt:
            return
        key = keys.due_of(run.run_id, run.generation)
        if due is None:
            yield Finding(
                keys.DUE_OF.name, key, "It is missing, and the run's policy has something to remove."
            )
        elif due.due_us > due_at_latest_us:
            yield Finding(keys.DUE_OF.name, key, "It is later than when the run's policy removes something.")

    def _due_at_latest_us(self) -> int | None:
        """Return when retention has to have looked at the run; None for never."""
        policy = self._run.retention or KEEP_ALL
        items, events = self._items, self._events
        if policy.keep_duration_us is not None:
            begins = [us for us in (items.first_supersede_us, events.first_append_us) if us is not None]
            # A policy that is set when something is over its time already lets the run be looked at then.
            return max(min(begins) + policy.keep_duration_us, self._run.update_us) if begins else None
        if policy.keep_latest_n is not None:
            # The time at which this came about is not known; it is not later than the end of all times.
            too_much = items.depth_max >= policy.keep_latest_n or events.stream_max > policy.keep_latest_n
            return TIME_US_MAX if too_much else None
        return None
