"""Plants a fault into every process of a server that is started with this folder on its path.

Python imports a module of this name before anything else. Which fault: RUNINDEX_PLANTED_FAULT.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_snapshots import LmdbSnapshots
from runindex_server.runs import mutation


def forget_requests() -> None:
    """Remember no answer for a request id."""
    mutation.remember = lambda *_: None


def keep_snapshots() -> None:
    """Answer some reads from a snapshot that was taken for an earlier one."""
    read, reads = LmdbSnapshots.read, count()
    kept: list[Any] = []

    def read_late(self: LmdbSnapshots, fn: Callable[[Any], Any]) -> Any:
        number = next(reads)
        if number % 100 == 0:
            kept[:] = [self._env.begin()]
        return self._run_read(fn, kept[0]) if number % 5 == 0 else read(self, fn)

    LmdbSnapshots.read = read_late  # type: ignore[method-assign,assignment]  # That is the fault.


def lose_commits() -> None:
    """Acknowledge some writes without having committed them."""
    write_txn, writes = LmdbEnvironment._write_txn, count(1)

    @contextmanager
    def losing_txn(self: LmdbEnvironment) -> Iterator[Any]:
        with write_txn(self) as txn:
            # Not those that open the store.
            yield _Losing(txn) if next(writes) % 100 == 0 else txn

    LmdbEnvironment._write_txn = losing_txn  # type: ignore[method-assign]  # That is the fault.


class _Losing:
    """A transaction that forgets what it should commit."""

    def __init__(self, txn: Any) -> None:
        self._txn = txn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def commit(self) -> None:
        """Do as if."""
        self._txn.abort()


{"forget requests": forget_requests, "keep snapshots": keep_snapshots, "lose commits": lose_commits}[
    os.environ["RUNINDEX_PLANTED_FAULT"]
]()
