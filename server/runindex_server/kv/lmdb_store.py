"""The embedded store: LMDB in a data directory that this process holds, alone or with others of one server.

Reads run on the event loop, writes on one thread of their own. When the outcome of a commit is unknown the
store stops for good: a process that starts afresh reads what the disk really holds.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from runindex_server.clock import Clock
from runindex_server.errors import CommitOutcomeUnknown, StoreClosed, StoreFull
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.commit_figures import CommitFigures
from runindex_server.kv.directory import sync_path
from runindex_server.kv.group_commit import GroupCommit, Outcome, TakeGroup, WriteFunction
from runindex_server.kv.guard import RestoreUnfinished, StoreRefused, disk_errors_told, guard_data_file
from runindex_server.kv.lmdb_engine import COPY_NAME, LmdbEngine
from runindex_server.kv.lmdb_environment import LmdbEnvironment
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME
from runindex_server.kv.lock_file import STORE_NAME, LockFile, StoreFiles
from runindex_server.kv.seal import StoreUse
from runindex_server.kv.write_watch import UNWATCHED, WriteWatch
from runindex_server.logs import get_logger

T = TypeVar("T")

OFFLOADED_READS_MAX: Final = 4
"""Offloaded reads that run at one time; more wait for their turn."""

GUARD_TRIES_MAX: Final = 20
"""Looks at a file that others write. One goes wrong when two commits come while it reads the free pages."""

UNFINISHED_NAME: Final = "store.unfinished"
RESTORING_NAME: Final = "store.restoring"
SHRUNK_NAME: Final = "data.mdb.shrunk"

_log: Final = get_logger(__name__)


class _FilesReplaced(Exception):
    """The store's files are not those that are open: what is written into these is in no store any more."""


class LmdbStore:
    """A `kv.engine.MaintainedStore` on disk. Belongs to one event loop, and to the process that opened it."""

    def __init__(
        self,
        environment: LmdbEnvironment,
        directory: Path,
        lock: LockFile | None,
        *,
        clock: Clock,
        on_fatal: Callable[[], None],
        use: StoreUse | None = None,
    ) -> None:
        """Own an open environment.

        Args:
            environment: Open.
            directory: Its own.
            lock: On the data directory, to release at the end; None when somebody else sees to that, and
                other processes may have the store open.
            clock: The wall clock.
            on_fatal: As in `open_lmdb`.
            use: To end at the end, by which the last process seals the store; None for one that gets no seal.
        """
        self._environment = environment
        self._data_file = directory / DATA_FILE_NAME
        self._lock = lock
        self._use = use
        self._clock = clock
        self._on_fatal = on_fatal
        self._pid = os.getpid()
        self._is_closed = False
        self._has_failed = False
        self._release_lock = threading.Lock()
        self._files = StoreFiles(directory.parent)
        copy_name = COPY_NAME if lock is not None else f"{COPY_NAME}.{self._pid}"
        self._commits = CommitFigures()
        self._writer = GroupCommit(self._commit)
        self._engine = LmdbEngine(
            environment,
            directory / copy_name,
            commits=self._commits,
            files=self._files,
            waiting_writes=lambda: self._writer.waiting,
            refuse_when_stopped=self._refuse_when_stopped,
        )
        self._readers = ThreadPoolExecutor(OFFLOADED_READS_MAX, thread_name_prefix="store-reader")

    @property
    def engine(self) -> LmdbEngine:
        """What only LMDB can do; see `kv.engine`."""
        return self._engine

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Run `fn` on one snapshot, on the event loop unless `offload`; see `kv.api.Store`."""
        self._refuse_when_stopped()
        if not offload:
            return self._environment.read(fn)
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self._environment.read(fn)
        )

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Run `fn` in a transaction that it shares with writes that come with it; see `kv.api.Store`.

        Cancelled while it waits for its turn, it writes nothing; once it runs, it runs to its end.

        Raises:
            Overloaded: Too many writes wait; nothing was written.
        """
        self._refuse_when_stopped()
        return await self._writer.write(fn)

    async def close(self) -> None:
        """Refuse calls from now on, finish those that were handed over, and release engine and lock.

        Again does nothing. Cancelled, it goes on in its thread.
        """
        self._refuse_when_forked()
        self._is_closed = True
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        # A second caller waits for the first; each step does nothing when it comes again.
        with self._release_lock:
            self._writer.close()
            self._readers.shutdown()
            self._engine.close()
            self._environment.close()
            if self._use is not None:
                self._use.end(None if self._has_failed else self._data_file)
            if self._lock is not None:
                self._lock.release()

    def _commit(self, take: TakeGroup) -> list[Outcome]:
        """Commit writes together, as many of the first as go together; on the writer's thread."""
        # Handed over before an earlier write failed.
        if self._has_failed:
            return [Outcome(error=StoreClosed()) for _ in take()]
        try:
            with self._commits.counting() as commit:
                outcomes = self._environment.write_group(self._taken_in_place(take), clock=self._clock)
                commit.writes = len(outcomes)
                commit.has_failed = any(isinstance(outcome.error, StoreFull) for outcome in outcomes)
            # While this was committed a second server may have begun, from what was before it.
            self._require_files(CommitOutcomeUnknown())
        except _FilesReplaced:
            self._stop_for_good()
            return [Outcome(error=StoreClosed()) for _ in take()]
        except CommitOutcomeUnknown:
            self._stop_for_good()
            return [Outcome(error=CommitOutcomeUnknown()) for _ in take()]
        except Exception as error:  # noqa: BLE001  # Whoever waits has to learn it.
            fns = take()
            if len(fns) > 1:
                # What one of them asks for may be too much: the others are not to pay for it.
                return self._commit(lambda: fns[:1])
            return [Outcome(error=error) for _ in fns]
        return outcomes

    def _taken_in_place(self, take: TakeGroup) -> TakeGroup:
        """Return what takes a group, once nobody else writes, unless the store's files are others by then."""

        def take_in_place() -> Sequence[WriteFunction]:
            self._require_files(_FilesReplaced())
            return take()

        return take_in_place

    def _require_files(self, otherwise: Exception) -> None:
        """Raise an exception unless the store's files are where they were when it was opened."""
        if not self._files.are_in_place():
            raise otherwise

    def _stop_for_good(self) -> None:
        """Take no more calls: a process that starts afresh finds out what the disk holds."""
        if not self._files.are_in_place():
            _log.critical("the store's files were replaced under the server; it stops")
        self._has_failed = True
        self._on_fatal()

    def _refuse_when_stopped(self) -> None:
        self._refuse_when_forked()
        if self._is_closed or self._has_failed:
            raise StoreClosed

    def _refuse_when_forked(self) -> None:
        if os.getpid() != self._pid:
            msg = f"the store belongs to process {self._pid}; it does not survive a fork"
            raise RuntimeError(msg)


def open_lmdb(
    data_dir: Path,
    *,
    clock: Clock,
    map_bytes: int,
    initialise: Callable[[WriteTxn], None],
    on_fatal: Callable[[], None],
) -> LmdbStore:
    """Open the store of a data directory, or create it. Blocks: to be called before the event loop serves.

    Args:
        data_dir: Made with mode 0700 when it is missing. Holds `LOCK` and `store/`.
        clock: The wall clock.
        map_bytes: What the data file can grow to. Address space, not disk.
        initialise: The first write of a new store.
        on_fatal: Called once, on the writer's thread, when the outcome of a commit is unknown and the store
            has stopped. Must return at once.

    Raises:
        StoreRefused: The directory is in use, cannot be read or written, or what it holds, or its file
            system, cannot be trusted.
    """
    with disk_errors_told(data_dir):
        lock = LockFile.take_directory(data_dir)
    try:
        environment, use = _open_or_create(data_dir, clock=clock, map_bytes=map_bytes, initialise=initialise)
    except BaseException:
        lock.release()
        raise
    return LmdbStore(environment, data_dir / STORE_NAME, lock, clock=clock, on_fatal=on_fatal, use=use)


def open_held_lmdb(
    data_dir: Path,
    *,
    clock: Clock,
    map_bytes: int,
    initialise: Callable[[WriteTxn], None],
    on_fatal: Callable[[], None],
    watch: WriteWatch = UNWATCHED,
) -> LmdbStore:
    """Open or create the store of a data directory whose lock this process inherited. Blocks.

    To be called by the first process alone, before any other has joined.

    Args:
        data_dir: As in `open_lmdb`, and made.
        clock: The wall clock.
        map_bytes: As in `open_lmdb`.
        initialise: As in `open_lmdb`.
        on_fatal: As in `open_lmdb`.
        watch: Is told while this process keeps others from writing.

    Raises:
        StoreRefused: The directory cannot be read or written, or what it holds cannot be trusted.
    """
    environment, use = _open_or_create(
        data_dir, clock=clock, map_bytes=map_bytes, initialise=initialise, watch=watch
    )
    return LmdbStore(environment, data_dir / STORE_NAME, None, clock=clock, on_fatal=on_fatal, use=use)


def join_lmdb(
    data_dir: Path,
    *,
    clock: Clock,
    map_bytes: int,
    on_fatal: Callable[[], None],
    watch: WriteWatch = UNWATCHED,
) -> LmdbStore:
    """Open a store that another process has prepared, and whose lock it holds meanwhile. Blocks.

    Args:
        data_dir: As in `open_lmdb`; its store exists.
        clock: The wall clock, the same for all processes.
        map_bytes: The same in all processes.
        on_fatal: As in `open_lmdb`.
        watch: Is told while this process keeps others from writing.

    Raises:
        StoreRefused: The directory cannot be read or written, or what it holds cannot be trusted.
    """
    store_dir = data_dir / STORE_NAME
    guard_written_file(store_dir / DATA_FILE_NAME)
    use = StoreUse.of_unsealed(store_dir / DATA_FILE_NAME)
    environment = LmdbEnvironment(store_dir, map_bytes=map_bytes, create=False, watch=watch)
    return LmdbStore(environment, store_dir, None, clock=clock, on_fatal=on_fatal, use=use)


def _open_or_create(
    data_dir: Path,
    *,
    clock: Clock,
    map_bytes: int,
    initialise: Callable[[WriteTxn], None],
    watch: WriteWatch = UNWATCHED,
) -> tuple[LmdbEnvironment, StoreUse]:
    """Open the environment of a store that nobody else has open, or create it; remove what was left there."""
    store_dir = data_dir / STORE_NAME
    with disk_errors_told(data_dir):
        shutil.rmtree(data_dir / UNFINISHED_NAME, ignore_errors=True)
        remove_leftovers(store_dir)
        if not store_dir.exists():
            refuse_unfinished_restore(data_dir)
            _create(store_dir, clock=clock, map_bytes=map_bytes, initialise=initialise)
        guard_data_file(store_dir / DATA_FILE_NAME)
        use = StoreUse.of_unsealed(store_dir / DATA_FILE_NAME)
    return LmdbEnvironment(store_dir, map_bytes=map_bytes, create=False, watch=watch), use


def guard_written_file(path: Path) -> None:
    """Look at a data file as `guard_data_file` does, although others write it meanwhile.

    Raises:
        StoreRefused: It cannot be trusted, however often it is looked at.
    """
    for _ in range(GUARD_TRIES_MAX - 1):
        with suppress(StoreRefused):
            return guard_data_file(path)
    return guard_data_file(path)


def refuse_unfinished_restore(data_dir: Path) -> None:
    """Refuse a data directory whose store a restore has not finished.

    Raises:
        RestoreUnfinished: It is one.
    """
    if (data_dir / RESTORING_NAME).exists():
        raise RestoreUnfinished(data_dir / RESTORING_NAME)


def remove_leftovers(store_dir: Path) -> None:
    """Remove what a copy or a shrinking left in the directory of a store when its process was killed."""
    for path in (*store_dir.glob(f"{COPY_NAME}*"), store_dir / SHRUNK_NAME):
        path.unlink(missing_ok=True)


def _create(store_dir: Path, *, clock: Clock, map_bytes: int, initialise: Callable[[WriteTxn], None]) -> None:
    """Create a store beside its place, and move it there when all of it is on the disk."""
    unfinished_dir = store_dir.with_name(UNFINISHED_NAME)
    unfinished_dir.mkdir(mode=0o700)
    environment = LmdbEnvironment(unfinished_dir, map_bytes=map_bytes, create=True)
    try:
        environment.write(initialise, clock=clock)
    finally:
        environment.close()
    sync_path(unfinished_dir / DATA_FILE_NAME)
    sync_path(unfinished_dir)
    unfinished_dir.rename(store_dir)
    sync_path(store_dir.parent)
