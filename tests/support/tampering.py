"""A busy store that is tampered with, verified, and mended again."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from runindex_server.kv.engine import MaintainedStore
from runindex_server.maintenance.verify.findings import Drift, Progress, Summary
from runindex_server.maintenance.verify.verification import verify
from runindex_server.schema import keys, records
from runindex_server.schema.data_keys import DataKeys, Part
from runindex_server.schema.keys import Subspace
from runindex_server.schema.run import Run, RunId
from tests.support.busy_store import BusyStore, Rows, all_rows, put_rows

T = TypeVar("T")

STRANGE_RUN: Final = RunId(b"\x77" * 16)

Kind = Subspace | Part


class Subject:
    """A busy store that is tampered with, verified, and mended again."""

    def __init__(
        self, runner: asyncio.Runner, store: MaintainedStore, busy: BusyStore, *, samples: int
    ) -> None:
        self._runner = runner
        self._samples = samples
        self.store = store
        self.busy = busy
        self.rows: dict[bytes, bytes] = runner.run(store.read(all_rows))

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the store's event loop."""
        return self._runner.run(work)

    def of(self, kind: Kind) -> dict[bytes, bytes]:
        """Return the rows of a kind, but for the data of deleted runs."""
        if isinstance(kind, Subspace):
            return {key: value for key, value in self.rows.items() if key.startswith(kind.prefix)}
        prefixes = tuple(DataKeys.of(run).range.start for run in self.runs())
        return {
            key: value
            for key, value in self.rows.items()
            if key.startswith(prefixes) and key[25] == kind.number
        }

    def sample(self, kind: Kind) -> dict[bytes, bytes]:
        """Return some rows of a kind, at least one."""
        rows = list(self.of(kind).items())
        assert rows, kind.name
        return dict(rows[: len(rows) : max(1, -(-len(rows) // self._samples))])

    def runs(self) -> list[Run]:
        """Return the runs that are there."""
        return [records.decode_run(key, value) for key, value in self.of(keys.RUN).items()]

    def run(self, number: int) -> Run:
        """Return the run of a number in the order of creation."""
        key = keys.run(self.busy.ids[number])
        return records.decode_run(key, self.rows[key])

    def verify(self) -> list[Progress | Drift | Summary]:
        """Return what a verification tells."""
        return self._runner.run(collect(self.store))

    def find(self, changes: Rows) -> list[tuple[str, bytes]]:
        """Return what is found while some rows are changed: subspaces and keys."""
        drifts, summary = self.drifts(changes)
        assert summary.drifts == len(drifts)
        return [(drift.subspace, drift.key) for drift in drifts]

    def drifts(self, changes: Rows) -> tuple[list[Drift], Summary]:
        """Return the drifts that are told while some rows are changed, and the summary."""
        self._runner.run(self.store.write(put_rows(changes)))
        *pieces, summary = self.verify()
        self._runner.run(self.store.write(put_rows({key: self.rows.get(key) for key in changes})))
        assert isinstance(summary, Summary)
        return [piece for piece in pieces if isinstance(piece, Drift)], summary


async def collect(store: MaintainedStore) -> list[Progress | Drift | Summary]:
    """Return what a verification tells."""
    return [piece async for piece in verify(store)]
