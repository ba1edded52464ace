"""Data directories and data files that no server holds: to read them, or to have a store for oneself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from runindex_server.clock import Clock
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import StoreMissing, guard_data_file, guard_file_system
from runindex_server.kv.lmdb_copy import open_read_only
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME, LmdbSnapshots
from runindex_server.kv.lmdb_store import refuse_unfinished_restore, remove_leftovers
from runindex_server.kv.lock_file import LOCK_NAME, STORE_NAME, held
from runindex_server.kv.seal import StoreUse, break_seal, check_seal

T = TypeVar("T")


class LmdbOwnStore:
    """A `kv.engine.OwnStore` in a data directory that this process holds. It blocks the event loop."""

    def __init__(self, environment: LmdbEnvironment, *, clock: Clock) -> None:
        """Take an open environment, and the wall clock."""
        self._environment = environment
        self._clock = clock

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:  # noqa: ARG002  # The interface.
        """Run `fn` on one snapshot; see `kv.api.Store`."""
        return self._environment.read(fn)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Run `fn` in one transaction; see `kv.api.Store`."""
        return self._environment.write(fn, clock=self._clock)

    async def write_together(self, fns: Sequence[Callable[[WriteTxn], object]]) -> None:
        """Run functions in one transaction, all of them or none; see `kv.engine.OwnStore`."""
        self._environment.write_together(fns, clock=self._clock)

    async def close(self) -> None:
        """Release the engine; again does nothing."""
        self._environment.close()


@contextmanager
def held_store(data_dir: Path) -> Iterator[Path]:
    """Hold a data directory that has a store, and return the folder of the store.

    Raises:
        StoreRefused: There is no store, it is in use, or it lies on a file system that cannot be trusted.
        OSError: It cannot be read or written.
    """
    guard_file_system(data_dir)
    store_dir = data_dir / STORE_NAME
    if not store_dir.is_dir():
        refuse_unfinished_restore(data_dir)
        raise StoreMissing(data_dir)
    with held(data_dir / LOCK_NAME):
        remove_leftovers(store_dir)
        guard_data_file(store_dir / DATA_FILE_NAME)
        check_seal(store_dir / DATA_FILE_NAME)
        yield store_dir


@contextmanager
def own_store(data_dir: Path, *, clock: Clock, map_bytes: int) -> Iterator[LmdbOwnStore]:
    """Return the store of a data directory, which this process has for itself meanwhile.

    Args:
        data_dir: Of the store.
        clock: The wall clock.
        map_bytes: What the data file can grow to. Address space, not disk.

    Raises:
        StoreRefused, OSError: As `held_store`, or the engine refuses it.
    """
    with held_store(data_dir) as store_dir, used_store(store_dir):
        environment = LmdbEnvironment(store_dir, map_bytes=map_bytes, create=False)
        try:
            yield LmdbOwnStore(environment, clock=clock)
        finally:
            environment.close()


@contextmanager
def used_store(store_dir: Path) -> Iterator[None]:
    """Break the seal of a store that is held, while it is written; seal it again when nothing went wrong.

    Raises:
        OSError: As `break_seal`.
    """
    use, data_file = StoreUse(store_dir), store_dir / DATA_FILE_NAME
    break_seal(data_file)
    try:
        yield
    except BaseException:
        use.end(None)
        raise
    use.end(data_file)


@contextmanager
def store_at_rest(data_dir: Path) -> Iterator[LmdbSnapshots]:
    """Return what can be read of the store of a data directory, which nobody writes meanwhile.

    Raises:
        StoreRefused, OSError: As `held_store`.
        StoreCorrupt: The data file is none of ours.
    """
    with held_store(data_dir) as store_dir:
        snapshots = open_read_only(store_dir / DATA_FILE_NAME)
        try:
            yield snapshots
        finally:
            snapshots.close()


@contextmanager
def file_at_rest(file: Path) -> Iterator[LmdbSnapshots]:
    """Return what can be read of a backup, or of the data file of a store, which nobody writes meanwhile.

    Raises:
        StoreRefused: It is no data file of LMDB 0.9, has lost pages, or is that of a store in use.
        StoreCorrupt: It is none of ours.
        OSError: It cannot be read.
    """
    with holding_owner(file):
        guard_data_file(file)
        snapshots = open_read_only(file)
        try:
            yield snapshots
        finally:
            snapshots.close()


def holding_owner(file: Path) -> AbstractContextManager[object]:
    """Return what keeps a server from the store that a data file belongs to, if it belongs to one."""
    # By whatever name it is called.
    file = file.resolve()
    lock_path = file.parent.parent / LOCK_NAME
    belongs_to_store = file.name == DATA_FILE_NAME and lock_path.exists()
    return held(lock_path) if belongs_to_store else nullcontext()
