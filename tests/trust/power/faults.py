"""Faults that are planted into the recorded server, to see whether the harness finds them.

Each is what a mistake in the product would be; each replaces functions of the process that loads it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import lmdb

from runindex_server.clock import Clock
from runindex_server.kv import lmdb_store
from runindex_server.kv.group_commit import Outcome, TakeGroup
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.runs import removal, run_index
from runindex_server.schema import keys


def _open_with(**options: bool) -> Callable[[], None]:
    """Return a fault that opens the engine with other options."""

    def plant() -> None:
        honest = lmdb.open

        def dishonest(*arguments: Any, **asked: Any) -> Any:
            return honest(*arguments, **{**asked, **options})

        vars(lmdb)["open"] = dishonest

    return plant


def acknowledge_before_commit() -> None:
    """Tell callers what their writes came to, and commit only with the next group."""
    begun: list[Any] = []

    def write_group(
        self: LmdbEnvironment, take: TakeGroup, *, clock: Clock, revisions_skipped: int = 0
    ) -> list[Outcome]:
        while begun:
            begun.pop().commit()
        txn = self._env.begin(write=True)
        outcomes, sequences = self._run_group(take(), txn, clock, revisions_skipped)
        if sequences is None:
            txn.abort()
        else:
            self._put_sequences(txn, sequences)
            begun.append(txn)
        return outcomes

    # Creation comes through `write`: it is not acknowledged to anybody.
    honest = LmdbEnvironment.write_group

    def write_late(self: LmdbEnvironment, take: TakeGroup, **options: Any) -> list[Outcome]:
        is_creation = self._directory.name != "store"
        return (honest if is_creation else write_group)(self, take, **options)

    LmdbEnvironment.write_group = write_late  # type: ignore[method-assign]  # A fault is a change.


def index_in_second_transaction() -> None:
    """Write the rows of one index in a transaction of their own, right after the first."""
    honest_apply, honest_txn = LmdbEnvironment._apply, LmdbEnvironment._write_txn
    late: dict[bytes, bytes | None] = {}

    def apply(self: LmdbEnvironment, txn: Any, rows: Mapping[bytes, bytes | None]) -> None:
        later = {key: value for key, value in rows.items() if key.startswith(keys.BY_STATE.prefix)}
        late.update(later)
        honest_apply(self, txn, {key: value for key, value in rows.items() if key not in later})

    @contextmanager
    def write_txn(self: LmdbEnvironment) -> Iterator[Any]:
        with honest_txn(self) as txn:
            yield txn
        if late:
            with honest_txn(self) as txn:
                honest_apply(self, txn, late)
                late.clear()
                txn.commit()

    LmdbEnvironment._apply = apply  # type: ignore[method-assign]  # As above.
    LmdbEnvironment._write_txn = write_txn  # type: ignore[method-assign]  # As above.


def forget_tombstone() -> None:
    """Remove runs without leaving a tombstone, so that nothing ever erases what they held."""
    honest = removal.remove_run

    def remove_run(txn: Any, run: Any, *, revision: int) -> Any:
        receipt = honest(txn, run, revision=revision)
        txn.delete(keys.tombstone(run.run_id, run.generation))
        return receipt

    vars(run_index)["remove_run"] = remove_run


def create_without_sync() -> None:
    """Create a store without making its file, its name or its place durable."""
    vars(lmdb_store)["sync_path"] = lambda _: None


FAULTS: Final[Mapping[str, Callable[[], None]]] = {
    "sync-off": _open_with(sync=False),
    "metasync-off": _open_with(metasync=False),
    "acknowledge-before-commit": acknowledge_before_commit,
    "index-in-second-transaction": index_in_second_transaction,
    "forgotten-tombstone": forget_tombstone,
    "creation-not-synced": create_without_sync,
}
