"""Slows every process down of a server that is started with this folder on its path.

Python imports a module of this name before anything else.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runindex_server.kv.lmdb_environment import LmdbEnvironment

COMMIT_S = 0.1
"""How long each commit takes longer, as on a bad disk."""

write_txn = LmdbEnvironment._write_txn


@contextmanager
def slow_txn(self: LmdbEnvironment) -> Iterator[Any]:
    """Begin a transaction, and end it late."""
    with write_txn(self) as txn:
        yield txn
        time.sleep(COMMIT_S)


LmdbEnvironment._write_txn = slow_txn  # type: ignore[method-assign]  # That is the fault.
