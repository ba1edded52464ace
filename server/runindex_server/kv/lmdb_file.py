"""A data file that nobody writes, as a store that can only be read: a backup, or a store at rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.commit_figures import CommitFigures
from runindex_server.kv.engine import Engine, Readers, Sizes, StoreCopy
from runindex_server.kv.guard import guard_data_file
from runindex_server.kv.lmdb_copy import open_read_only
from runindex_server.kv.lmdb_snapshots import LmdbSnapshots

T = TypeVar("T")


class _FileCopy:
    """The file itself: as nobody writes it, it need not be copied."""

    def __init__(self, path: Path, snapshots: LmdbSnapshots) -> None:
        self._path = path
        self._snapshots = snapshots

    @property
    def total_bytes(self) -> int:
        return self._path.stat().st_size

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        return self._snapshots.read(fn)

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(chunk_bytes):
                yield chunk


class _FileEngine:
    """What can be told of a file that nobody writes."""

    def __init__(self, copy: _FileCopy) -> None:
        self._copy = copy

    def sizes(self) -> Sizes:
        return Sizes(
            used=self._copy.total_bytes, free=0, disk=self._copy.total_bytes, map=self._copy.total_bytes
        )

    def readers(self) -> Readers:
        return Readers(count=0, oldest_lag_commits=0)

    def commits(self) -> CommitFigures:
        return CommitFigures()

    def is_in_place(self) -> bool:
        return True

    def is_read_only(self) -> bool:
        return True

    def waiting_writes(self) -> int:
        return 0

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[StoreCopy]:
        yield self._copy


class LmdbFile:
    """A `kv.engine.MaintainedStore` over a data file. It is its own copy."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            StoreRefused: It is no data file of LMDB 0.9, or has lost pages.
            StoreCorrupt: It is none of ours.
        """
        guard_data_file(path)
        self._path = path
        self._snapshots = open_read_only(path)

    @property
    def engine(self) -> Engine:
        """What only an engine can do; see `kv.engine`."""
        return _FileEngine(_FileCopy(self._path, self._snapshots))

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Run `fn` on what the file holds; see `kv.api.Store`."""
        if offload:
            return await asyncio.to_thread(self._snapshots.read, fn)
        return self._snapshots.read(fn)

    async def write(self, fn: Callable[[WriteTxn], T]) -> NoReturn:  # noqa: ARG002  # The interface.
        """Refuse: nobody writes it.

        Raises:
            RuntimeError: Always.
        """
        msg = "a data file that is only read was to be written"
        raise RuntimeError(msg)

    async def close(self) -> None:
        """Release the engine. No read may be running."""
        self._snapshots.close()
