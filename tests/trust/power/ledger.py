"""What clients asked for and were told, and what a store may hold by that.

Each run has one client, which makes one call at a time. So a run's history is a list of what it is after
each call, and a store must hold an entry of it that is not before the last one acknowledged, nor after the
last one begun.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from google.protobuf.struct_pb2 import Struct

from runindex.v1.run_data_pb2 import DataValue
from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records
from runindex_server.schema.data_keys import DataKeys, ItemKind
from runindex_server.schema.items import decode_event, decode_head, decode_version
from runindex_server.schema.run import DEFAULT_RUN_ID, Run

Items: TypeAlias = tuple[tuple[str, int, bytes], ...]
"""Names, versions and contents, in the order of the names."""


class View(NamedTuple):
    """What a run is to callers."""

    version: int
    state: int
    tags: tuple[str, ...]
    step: int
    values: Items = ()
    cells: Items = ()
    events: tuple[bytes, ...] = ()


Contents: TypeAlias = Mapping[bytes, View]
"""All runs of a store but the default run, by their ids."""


@dataclass(slots=True)
class Ledger:
    """What the clients of a recording asked for.

    Attributes:
        histories: What each run is after each call of its own; first of all it is not there.
        calls: Of each call its run, and its place in the history of that.
    """

    histories: dict[bytes, list[View | None]] = field(default_factory=dict)
    calls: list[tuple[bytes, int]] = field(default_factory=list)


class Bounds:
    """What a store may hold at a moment of the recording."""

    def __init__(self, ledger: Ledger) -> None:
        """Begin before the first call."""
        self._ledger = ledger
        self._acknowledged: dict[bytes, int] = {}
        self._begun: dict[bytes, int] = {}

    def begin(self, call: int) -> None:
        """Take note that a call was begun."""
        run_id, place = self._ledger.calls[call]
        self._begun[run_id] = place

    def acknowledge(self, call: int) -> None:
        """Take note that a call was answered."""
        run_id, place = self._ledger.calls[call]
        self._acknowledged[run_id] = place

    def differences(self, contents: Contents) -> list[tuple[str, str]]:
        """Return what a store holds against the ledger: the check that fails, and how."""
        found = [
            ("begun", f"{run_id.hex()} is there, and nobody asked for it")
            for run_id in contents.keys() - self._begun.keys()
        ]
        for run_id, last in self._begun.items():
            first = self._acknowledged.get(run_id, 0)
            history, view = self._ledger.histories[run_id], contents.get(run_id)
            if view in history[first : last + 1]:
                continue
            check = "acknowledged" if view in history[:first] else "exact"
            expected = history[first : last + 1]
            found.append((check, f"{run_id.hex()} is {view}, not one of {expected}"))
        return found


def read_contents(txn: ReadTxn) -> Contents:
    """Return what a store holds of runs."""
    runs = [records.decode_run(key, value) for key, value in txn.scan(*keys.RUN.range)]
    return {bytes(run.run_id): _view(txn, run) for run in runs if run.run_id != DEFAULT_RUN_ID}


def _view(txn: ReadTxn, run: Run) -> View:
    data = DataKeys.of(run)
    events = (decode_event(key, value).value for key, value in txn.scan(*data.event_range()))
    return View(
        version=run.version,
        state=run.state.value,
        tags=run.tags,
        step=int(Struct.FromString(run.metadata)["step"]),
        values=_items(txn, data, ItemKind.VALUE),
        cells=_items(txn, data, ItemKind.CELL),
        events=tuple(DataValue.FromString(value).binary for value in events),
    )


def _items(txn: ReadTxn, data: DataKeys, kind: ItemKind) -> Items:
    found = []
    for key, value in txn.scan(*data.item_range(kind, "")):
        name, head = data.name_of(key), decode_head(key, value)
        version_key = data.item_version(kind, name, head.version)
        row = txn.get(version_key)
        assert row is not None, f"the version of {name} is missing"
        held = DataValue.FromString(decode_version(version_key, row).value)
        found.append((name, head.version, held.binary))
    return tuple(found)
