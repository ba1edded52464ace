"""What only LMDB can tell of a store, and its copies: one is made at a time, on a thread of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from runindex_server.kv.commit_figures import CommitFigures
from runindex_server.kv.engine import Readers, Sizes, StoreCopy
from runindex_server.kv.lmdb_copy import LmdbCopy
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lock_file import StoreFiles

COPY_NAME: Final = "copy.unfinished"
"""Where a copy is made; it loses the name at once. Where several processes copy, each adds its own id."""


class LmdbEngine:
    """A `kv.engine.Engine` over an open environment."""

    def __init__(
        self,
        environment: LmdbEnvironment,
        copy_path: Path,
        *,
        commits: CommitFigures,
        files: StoreFiles,
        waiting_writes: Callable[[], int],
        refuse_when_stopped: Callable[[], None],
    ) -> None:
        """Take the environment, and where copies are made.

        Args:
            environment: Stays the store's to close, after `close`.
            copy_path: Where copies are made, by this process alone.
            commits: How commits go; whoever commits counts them.
            files: The store's, as they were when it was opened.
            waiting_writes: Returns how many writes wait.
            refuse_when_stopped: Raises StoreClosed when the store is closed.
        """
        self._environment = environment
        self._path = copy_path
        self._commits = commits
        self._files = files
        self._waiting_writes = waiting_writes
        self._refuse_when_stopped = refuse_when_stopped
        self._copier = ThreadPoolExecutor(1, thread_name_prefix="store-copier")

    def sizes(self) -> Sizes:
        """Return how large the store is; see `kv.engine.Engine`."""
        self._refuse_when_stopped()
        return self._environment.sizes()

    def readers(self) -> Readers:
        """Return who reads the store; see `kv.engine.Engine`."""
        self._refuse_when_stopped()
        return self._environment.readers()

    def commits(self) -> CommitFigures:
        """Return how commits went; see `kv.engine.Engine`."""
        return self._commits

    def is_in_place(self) -> bool:
        """Tell whether the store's files are still those that are open; see `kv.engine.Engine`."""
        return self._files.are_in_place()

    def is_read_only(self) -> bool:
        """Tell whether the disk takes no writes at all; see `kv.engine.Engine`."""
        return bool(os.statvfs(self._path.parent).f_flag & os.ST_RDONLY)

    def waiting_writes(self) -> int:
        """Return how many writes wait; see `kv.engine.Engine`."""
        return self._waiting_writes()

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[StoreCopy]:
        """Copy the store; see `kv.engine.Engine`.

        Cancelled while it waits for its turn, it copies nothing; once it copies, it does so to the end.
        """
        self._refuse_when_stopped()
        copying = self._copier.submit(LmdbCopy, self._path, self._environment.copy_to)
        try:
            copy = await asyncio.wrap_future(copying)
        except asyncio.CancelledError:
            copying.add_done_callback(_give_up)
            raise
        try:
            yield copy
        finally:
            # To give up a large file takes a while. Who is cancelled meanwhile does not wait; it is given up
            # all the same.
            await asyncio.shield(asyncio.wrap_future(self._submit(copy.close)))

    def _submit(self, give_up: Callable[[], None]) -> "Future[None]":
        """Give up a copy on the copier's thread, or at once when that has ended with the store."""
        try:
            return self._copier.submit(give_up)
        except RuntimeError:
            given_up: Future[None] = Future()
            give_up()
            given_up.set_result(None)
            return given_up

    def close(self) -> None:
        """Wait for a copy that is being made; again does nothing."""
        self._copier.shutdown()


def _give_up(copying: "Future[LmdbCopy]") -> None:
    """Give up a copy that nobody waits for any more."""
    if not copying.cancelled() and copying.exception() is None:
        copying.result().close()
