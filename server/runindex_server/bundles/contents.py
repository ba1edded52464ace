"""What a bundle holds, entry by entry: whether it can be, and what it comes to.

What may not be in a store is refused here: nothing that passes is looked at again when it is written.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Value

from runindex_server import limits
from runindex_server.bundles.archive import BundleRefused
from runindex_server.bundles.bounds import ACTOR_BYTES_MAX, NUMBER_MAX, RECORDS_BYTES_MAX, RUNS_MAX
from runindex_server.bundles.record import decode_record, is_name, refused
from runindex_server.data import json_value
from runindex_server.data.items import RULES as ITEM_RULES
from runindex_server.runs.lifecycle import TRANSITIONS
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.holdings import Holding
from runindex_server.schema.metadata import NotJsonError
from runindex_server.schema.run import FINISHED, TIME_US_MAX, Run, RunId, RunState

_KINDS: Final[Mapping[int, ItemKind]] = {kind.value: kind for kind in ItemKind}
_STATES: Final[Mapping[int, RunState]] = {state.value: state for state in RunState}


@dataclass(frozen=True, slots=True)
class BundledRun:
    """A run of a bundle, and what it comes to.

    Attributes:
        run: As `record.decode_record` returns it.
        events_appended: How many events were ever appended.
        holdings: What it holds, by kind.
    """

    run: Run
    events_appended: int
    holdings: Counter[Holding] = field(default_factory=Counter)


class BundleCheck:
    """Checks the entries of a bundle in their order.

    Attributes:
        header: What the bundle is of; None before it was visited.
        runs: The runs so far, by id, in the order in which they come.
        latest_us: The latest time that occurs.
    """

    def __init__(self) -> None:
        """Begin before the first entry."""
        self.header: pb.BundleHeader | None = None
        self.runs: dict[RunId, BundledRun] = {}
        self.latest_us = 0
        self._records_bytes = 0
        self._run: _RunCheck | None = None

    def visit(self, entry: pb.BundleEntry) -> None:
        """Check the next entry.

        Raises:
            BundleRefused: It cannot be, or not here.
        """
        kind = entry.WhichOneof("entry")
        if (kind == "header") != (self.header is None):
            raise BundleRefused("does not begin with its header, or has another one")
        match kind:
            case "header":
                self.header = entry.header
            case "run":
                self._begin(entry.run)
            case _ if self._run is None:
                raise BundleRefused("holds what belongs to no run")
            case "transition":
                self._run.visit_transition(entry.transition)
            case "version":
                self._run.visit_version(entry.version)
            case "event":
                self._run.visit_event(entry.event)
            case _:  # Trailers, and what is of no kind, are told from entries before.
                pass
        if self._run is not None:
            self.latest_us = max(self.latest_us, self._run.latest_us)

    def end(self) -> None:
        """Check what can be told when all entries were visited.

        Raises:
            BundleRefused: Something is missing.
        """
        self._end_run()
        if not self.runs:
            raise BundleRefused("holds no run")

    def _begin(self, message: pb.BundleRun) -> None:
        self._end_run()
        run = decode_record(message)
        if run.run_id in self.runs:
            raise refused(run, "it comes twice")
        if message.events_appended > NUMBER_MAX:
            raise refused(run, "its count of events is not possible")
        bundled = self.runs[run.run_id] = BundledRun(run, message.events_appended)
        self._records_bytes += len(message.run)
        if len(self.runs) > RUNS_MAX or self._records_bytes > RECORDS_BYTES_MAX:
            raise BundleRefused(
                f"holds more than {RUNS_MAX:,} runs, or records of more than {RECORDS_BYTES_MAX:,} bytes"
            )
        self._run = _RunCheck(bundled)

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.end()


class _RunCheck:
    """Checks what belongs to one run: its transitions, then versions, then events.

    Attributes:
        latest_us: The latest time that occurs.
    """

    def __init__(self, bundled: BundledRun) -> None:
        run = bundled.run
        self.latest_us = max(run.update_us, run.activity_us)
        self._run = run
        self._events_appended = bundled.events_appended
        self._holdings = bundled.holdings
        # Where the transitions have led to, when, and with which version.
        self._state, self._moved_us, self._version = RunState.ACTIVE, run.create_us, 1
        self._outcome: RunState | None = None
        # The version before, and the sequence and time of the event before.
        self._last: pb.BundleVersion | None = None
        self._next_sequence, self._appended_us = 0, 0

    def visit_transition(self, message: pb.BundleTransition) -> None:
        """Check that a transition leads on from the one before it."""
        if self._last is not None or self._next_sequence:
            raise refused(self._run, "a transition stands behind its data")
        from_state, to_state = _STATES.get(message.from_state), _STATES.get(message.to_state)
        is_known = from_state is self._state and to_state in TRANSITIONS[self._state]
        if to_state is None or not (is_known or message.from_state == 0):
            raise refused(self._run, f"a transition does not lead on from {self._state.name}")
        if not self._version < message.version <= self._run.version:
            raise refused(self._run, "a transition has a version that is not possible")
        if not self._moved_us <= message.time_us <= self._run.update_us:
            raise refused(self._run, "a transition has a time that is not possible")
        if len(message.actor.encode()) > ACTOR_BYTES_MAX:
            raise refused(self._run, "the name of who made a transition is too long")
        self._state, self._moved_us, self._version = to_state, message.time_us, message.version
        self._outcome = to_state if to_state in FINISHED else self._outcome

    def visit_version(self, message: pb.BundleVersion) -> None:
        """Check that a version follows the one before it, and add what it comes to."""
        kind = _KINDS.get(message.kind)
        if kind is None or not is_name(message.name, limits.NAME_BYTES_MAX):
            raise refused(self._run, "a version is of an item that is not possible")
        if self._next_sequence:
            raise refused(self._run, "a version stands behind its events")
        if not 1 <= message.version <= NUMBER_MAX:
            raise refused(self._run, f"a version of {message.name!r} is not possible")
        last = self._last
        if last is not None and _item(last) >= _item(message):
            if _item(last) != _item(message) or message.version != last.version + 1:
                raise refused(self._run, f"the versions of {message.name!r} do not follow each other")
            if message.write_time_us < last.write_time_us:
                raise refused(self._run, f"the times of {message.name!r} do not follow each other")
            self._count(last, -1)
        if message.deleted and (kind is ItemKind.CELL or message.value):
            raise refused(self._run, f"a deletion of {message.name!r} is not possible")
        if not message.deleted:
            self._add_value(kind, message.value, name=message.name)
        self._see(message.write_time_us)
        self._count(message, 1)
        self._last = message

    def visit_event(self, message: pb.BundleEvent) -> None:
        """Check that an event follows the one before it, and add what it comes to."""
        if not self._next_sequence <= message.sequence < self._events_appended:
            raise refused(self._run, "its events do not follow each other")
        if message.append_time_us < self._appended_us:
            raise refused(self._run, "the times of its events do not follow each other")
        if not is_name(message.stream, limits.NAME_BYTES_MAX):
            raise refused(self._run, "an event is of a stream that is not possible")
        self._add_value(None, message.value, name=message.stream)
        self._see(message.append_time_us)
        self._holdings[Holding.EVENTS] += 1
        self._next_sequence, self._appended_us = message.sequence + 1, message.append_time_us

    def end(self) -> None:
        """Check that the transitions have led to the state and the outcome."""
        if self._state is not self._run.state:
            raise refused(self._run, f"the transitions lead to {self._state.name}")
        if self._outcome not in {None, self._run.outcome}:
            raise refused(self._run, f"the transitions lead through {self._outcome}")

    def _count(self, message: pb.BundleVersion, sign: int) -> None:
        """Count an item by its current version, or take one back that is not."""
        if not message.deleted:
            self._holdings[ITEM_RULES[ItemKind(message.kind)].holding] += sign

    def _add_value(self, kind: ItemKind | None, value: bytes, *, name: str) -> None:
        try:
            self._holdings[Holding.BYTES] += len(canonical_value(kind, value))
        except ValueError as error:
            raise refused(self._run, f"a value of {name!r} {error}") from error

    def _see(self, us: int) -> None:
        if us > TIME_US_MAX:
            raise refused(self._run, "a time is not possible")
        self.latest_us = max(self.latest_us, us)


def canonical_value(kind: ItemKind | None, value: bytes) -> bytes:
    """Return a value as a store keeps it: equal values have equal encodings.

    Args:
        kind: Of its item; None for an event.
        value: As `BundleVersion.value` or `BundleEvent.value`.

    Raises:
        ValueError: It cannot be a value; the message is the rest of a sentence after `it`.
    """
    try:
        if kind is ItemKind.DOCUMENT:
            return _canonical_json(Value.FromString(value))
        message = pb.BundleValue.FromString(value)
    except DecodeError:
        msg = "cannot be read"
        raise ValueError(msg) from None
    match message.WhichOneof("kind"):
        case "json":
            _canonical_json(message.json)
        case "binary":
            _check_size(len(message.binary))
        case _:
            msg = "is of no kind"
            raise ValueError(msg)
    return message.SerializeToString(deterministic=True)


def _canonical_json(value: Value) -> bytes:
    """Return the encoding of JSON.

    Raises:
        ValueError: As `canonical_value`.
    """
    encoded = json_value.encode(value)
    _check_size(len(encoded))
    try:
        depth = json_value.depth_of(value)
    except NotJsonError as error:
        raise ValueError(str(error)) from None
    if depth > limits.DATA_DEPTH_MAX:
        msg = "is nested too deep"
        raise ValueError(msg)
    return encoded


def _check_size(size: int) -> None:
    if size > limits.DATA_VALUE_BYTES_MAX:
        msg = "is too large"
        raise ValueError(msg)


def _item(message: pb.BundleVersion) -> tuple[int, bytes]:
    """Return by what items are in order."""
    return message.kind, message.name.encode()
