"""What only an engine can do: sizes, readers, and a consistent copy, with a reader as long as it takes.

Apart from `kv.api`, which every store offers in the same way, because what is told here differs from engine
to engine, and because a copy may take longer than a transaction may.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.kv.commit_figures import CommitFigures

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large a store is, in bytes.

    Attributes:
        used: What holds something.
        free: Room in the file that is used again before it grows.
        disk: The file.
        map: What the file can grow to.
    """

    used: int
    free: int
    disk: int
    map: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Who reads a store.

    Attributes:
        count: Snapshots that are open.
        oldest_lag_commits: How many commits the oldest of them is behind.
    """

    count: int
    oldest_lag_commits: int


class StoreCopy(Protocol):
    """A consistent copy of a store at one moment, which nobody writes."""

    @property
    def total_bytes(self) -> int:
        """The size of the copy."""
        ...

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        """Run `fn` on the copy, as long as it takes, and return what it returns; blocks, on any thread.

        Raises:
            StoreCorrupt: The engine found the copy damaged.
        """
        ...

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield the bytes of the copy, in pieces of at most so many; blocks, on any thread."""
        ...


class Engine(Protocol):
    """What only an engine can do."""

    def sizes(self) -> Sizes:
        """Return how large the store is. Read-only."""
        ...

    def readers(self) -> Readers:
        """Return who reads the store. Read-only."""
        ...

    def commits(self) -> CommitFigures:
        """Return how commits went, as it is now and goes on being. Read-only."""
        ...

    def is_in_place(self) -> bool:
        """Tell whether the files that are open are still where the store's have to be. Read-only."""
        ...

    def is_read_only(self) -> bool:
        """Tell whether the disk takes no writes at all. Read-only."""
        ...

    def waiting_writes(self) -> int:
        """Return how many writes wait for a commit. Read-only."""
        ...

    def copy(self) -> AbstractAsyncContextManager[StoreCopy]:
        """Copy the store, in the background of the event loop; the copy is gone afterwards.

        Raises:
            StoreFull: There is no room for it.
            StoreClosed: The store is closed.
        """
        ...


class MaintainedStore(Store, Protocol):
    """A store with an engine that can be maintained."""

    @property
    def engine(self) -> Engine:
        """What only its engine can do."""
        ...


class OwnStore(Store, Protocol):
    """A store that one process has for itself, so that nobody waits while it writes."""

    async def write_together(self, fns: Sequence[Callable[[WriteTxn], object]]) -> None:
        """Run functions one after the other in one serialisable transaction: all of them, or none.

        Each sees what those before it have changed, and is bounded as a write is; all together are not.

        Raises:
            RunIndexError: What one of them raised, or as `write`; nothing was written.
        """
        ...
