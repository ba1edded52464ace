"""One LMDB environment: synchronous transactions over two databases, with the engine's errors told in ours.

`rows` holds rows and counters in one order of keys; `sequences` holds one row. Knows no event loop and no
thread: who calls `write` sees to it that only one does.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from runindex_server.clock import Clock
from runindex_server.errors import CommitOutcomeUnknown, Overloaded, StoreCorrupt, StoreFull
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.engine import Readers, Sizes
from runindex_server.kv.group_buffer import GroupBuffer
from runindex_server.kv.group_commit import Outcome, TakeGroup, WriteFunction
from runindex_server.kv.guard import DataFileForeign, EngineRefused
from runindex_server.kv.lmdb_read_txn import LmdbReadTxn
from runindex_server.kv.lmdb_snapshots import (
    DAMAGE,
    DATA_FILE_NAME,
    ENGINE_0_9,
    FULL_CODES,
    ROWS_NAME,
    SEQUENCES_NAME,
    LmdbSnapshots,
)
from runindex_server.kv.transaction import run_transaction
from runindex_server.kv.write_buffer import Changes, Sequences, WriteBuffer
from runindex_server.kv.write_watch import UNWATCHED, WriteWatch

T = TypeVar("T")

READERS_MAX: Final = 1024
"""Snapshots at one time. A process that was killed leaves its slot behind until the next `reader_check`."""

GROWTH_PERCENT_MAX: Final = 90
"""Of the map, in use: beyond it only writes that also delete are taken. LMDB copies each page that it
changes, so that a delete needs room too."""

GROUP_BYTES_MAX: Final = 4 * 1024 * 1024
"""Keys and values after which a group of writes is committed. Bounds what the first of them waits for."""

DISK_FREE_BYTES_MIN: Final = 16 * 1024 * 1024
"""Where less is free, a write that failed found the disk full. Several times what one commit writes."""

DELETES_BYTES_MIN: Final = 2 * 1024 * 1024
"""Where less is free, on the disk and in the file together, only writes that also delete are taken: they need
some hundred pages, of which some are to be had when all others have been written."""

COPY_DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024
"""What a copy of the store leaves free on the disk for those who write meanwhile."""


class LmdbEnvironment(LmdbSnapshots):
    """An open environment. Not to be used by a forked process, nor opened twice in one."""

    def __init__(
        self, directory: Path, *, map_bytes: int, create: bool, watch: WriteWatch = UNWATCHED
    ) -> None:
        """Open it.

        Args:
            directory: Where `data.mdb` and `lock.mdb` are.
            map_bytes: Address space to set aside: what the file can grow to. The same in all processes.
            create: Whether it is new.
            watch: Is told while this process keeps others from writing.

        Raises:
            EngineRefused: The engine cannot open it.
            DataFileForeign: It lacks our databases.
        """
        self._directory = directory
        self._map_bytes = map_bytes
        self._watch = watch
        try:
            env = lmdb.open(
                str(directory),
                map_size=map_bytes,
                subdir=True,
                create=create,
                mode=0o600,
                metasync=True,
                sync=True,
                map_async=False,
                writemap=False,
                readahead=True,
                meminit=True,
                max_readers=READERS_MAX,
                max_dbs=2,
                max_spare_txns=0,
                lock=True,
                lib_version=ENGINE_0_9,
            )
        except lmdb.Error as error:
            raise EngineRefused(directory, str(error)) from error
        try:
            rows, sequences = (env.open_db(name, create=create) for name in (ROWS_NAME, SEQUENCES_NAME))
            env.reader_check()
        except lmdb.NotFoundError as error:
            env.close()
            raise DataFileForeign(directory / DATA_FILE_NAME, "lacks the databases of one") from error
        except lmdb.Error as error:
            env.close()
            raise EngineRefused(directory, str(error)) from error
        super().__init__(env, rows, sequences)
        self._growth_pages_max = map_bytes // env.stat()["psize"] * GROWTH_PERCENT_MAX // 100

    def write(self, fn: Callable[[WriteTxn], T], *, clock: Clock, revisions_skipped: int = 0) -> T:
        """Run `fn` in one transaction, and return what it returns once that is on the disk; blocks.

        Args:
            fn: Pure but for its transaction. When it writes nothing, none are skipped either.
            clock: The wall clock.
            revisions_skipped: Revisions that are given out neither in this transaction nor ever after.

        Raises:
            RunIndexError: What `fn` raised, with the revision that it saw; nothing was written.
            StoreCorrupt: The engine found its file damaged while `fn` read; nothing was written.
            StoreFull: The map or the disk is full; nothing was written.
            CommitOutcomeUnknown: Anything else went wrong. The environment must not be used any more.
        """
        (outcome,) = self.write_group(lambda: [fn], clock=clock, revisions_skipped=revisions_skipped)
        if outcome.error is not None:
            raise outcome.error
        result: T = outcome.result
        return result

    def write_group(self, take: TakeGroup, *, clock: Clock, revisions_skipped: int = 0) -> list[Outcome]:
        """Run functions one after the other in one transaction; return when that is on the disk; blocks.

        Each sees what those before it have changed; one that raises has changed nothing.

        Args:
            take: Returns the functions. Called once nobody else writes. Of very large writes only the first
                run.
            clock: The wall clock.
            revisions_skipped: As in `write`.

        Returns:
            What each of the functions that ran came to: a refusal, StoreCorrupt when the engine found its
            file damaged while it read, or StoreFull when there is no more room to grow.

        Raises:
            StoreCorrupt: The engine found its file damaged; nothing was written.
            StoreFull: The map or the disk is full; nothing was written.
            CommitOutcomeUnknown: Anything else went wrong. The environment must not be used any more.
        """
        with self._write_txn() as txn:
            outcomes, sequences = self._run_group(take(), txn, clock, revisions_skipped)
            if sequences is not None:
                with self._commit_errors_told():
                    self._put_sequences(txn, sequences)
                    txn.commit()
            return outcomes

    def write_together(self, fns: Sequence[WriteFunction], *, clock: Clock) -> None:
        """Run functions one after the other in one transaction, all of them or none; blocks.

        Each sees what those before it have changed, and is bounded as a write is; all together are not: to be
        called while no server has the store.

        Raises:
            RunIndexError, StoreCorrupt, StoreFull, CommitOutcomeUnknown: As `write`.
        """
        with self._write_txn() as txn:
            done = 0
            while done < len(fns):
                # In parts, each applied before the next one, so that not all of them are in memory.
                outcomes, sequences = self._run_group(fns[done:], txn, clock, 0)
                for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
                if sequences is not None:
                    with self._commit_errors_told():
                        self._put_sequences(txn, sequences)
                done += len(outcomes)
            with self._commit_errors_told():
                txn.commit()

    @contextmanager
    def _write_txn(self) -> "Iterator[lmdb.Transaction[bytes]]":
        """Return a transaction of the engine, while nobody else writes; it has to be committed."""
        with self._commit_errors_told():
            txn = self._env.begin(write=True)
        self._watch.begin()
        try:
            yield txn
        finally:
            # Does nothing after a commit.
            txn.abort()
            self._watch.end()

    def _run_group(
        self,
        fns: Sequence[WriteFunction],
        txn: "lmdb.Transaction[bytes]",
        clock: Clock,
        revisions_skipped: int,
    ) -> tuple[list[Outcome], Sequences | None]:
        """Run functions, apply what they write, and return what they came to; the sequences if any wrote."""
        with _damage_told():
            sequences = self._read_sequences(txn)
        with self._commit_errors_told():
            is_full = self._is_full(txn)
        sequences = sequences._replace(revision=sequences.revision + revisions_skipped)
        group = GroupBuffer(LmdbReadTxn(txn, self._rows, sequences.revision))
        outcomes: list[Outcome] = []
        group_bytes, written = 0, None
        for fn in fns:
            buffer = WriteBuffer(group, sequences, clock=clock)
            try:
                result, changes = _run_write(fn, buffer, group, is_full=is_full)
            except Exception as error:  # noqa: BLE001  # Whatever it is, it is this one's own.
                outcomes.append(Outcome(error=error))
                continue
            outcomes.append(Outcome(result))
            if changes is not None:
                sequences = written = changes.sequences
                group_bytes += changes.write_bytes
                if group_bytes >= GROUP_BYTES_MAX:
                    break
        with self._commit_errors_told():
            self._apply(txn, group.rows)
        return outcomes, written

    def sizes(self) -> Sizes:
        """Return how large the store is. Read-only."""
        info = self._env.info()
        with self._begin() as txn:
            stats = [self._env.stat(), txn.stat(self._rows), txn.stat(self._sequences)]
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        page_bytes = stats[0]["psize"]
        # The two meta pages belong to no database.
        used = (pages + 2) * page_bytes
        return Sizes(
            used=used,
            # The list of free pages counts as free: it is in them. A commit may come between the two numbers.
            free=max(0, (info["last_pgno"] + 1) * page_bytes - used),
            # Not opened: closing a second descriptor of the file would end the engine's locks.
            disk=(self._directory / DATA_FILE_NAME).stat().st_size,
            map=self._map_bytes,
        )

    def readers(self) -> Readers:
        """Return who reads the store. Read-only."""
        # A line for each slot: process, thread, transaction; `-` where none is open.
        slots = [line.split() for line in self._env.readers().splitlines()]
        seen = [int(slot[-1]) for slot in slots if slot and slot[-1].isdigit()]
        newest = self._env.info()["last_txnid"]
        return Readers(count=len(seen), oldest_lag_commits=max(0, newest - min(seen, default=newest)))

    def copy_to(self, fd: int) -> None:
        """Write a consistent copy, without free pages, to an empty file; blocks, as long as it takes.

        Raises:
            StoreFull: There is no room for it on the disk.
            Overloaded: Too many snapshots are open.
        """
        room = shutil.disk_usage(self._directory).free - COPY_DISK_FREE_BYTES_MIN
        if self.sizes().used > room:
            raise StoreFull
        try:
            self._copy(fd)
        except lmdb.ReadersFullError as error:
            raise Overloaded("a snapshot") from error
        except lmdb.Error as error:
            if self._tells_full(error):
                raise StoreFull from error
            raise StoreCorrupt(f"the copy failed: {error}") from error

    def _copy(self, fd: int) -> None:
        try:
            self._env.copyfd(fd, compact=True)
        except lmdb.IncompatibleError:
            # Some pages are neither in use nor known to be free, so that free ones cannot be left out.
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            self._env.copyfd(fd)

    def _apply(self, txn: "lmdb.Transaction[bytes]", rows: Mapping[bytes, bytes | None]) -> None:
        """Remove and put rows, in the order of their keys: the engine finds each beside the last one."""
        puts: list[tuple[bytes, bytes]] = []
        for key, value in sorted(rows.items()):
            if value is None:
                txn.delete(key, db=self._rows)
            else:
                puts.append((key, value))
        # All in one call of the engine: half the time of one call for each.
        with txn.cursor(db=self._rows) as cursor:
            cursor.putmulti(puts)

    def _is_full(self, txn: "lmdb.Transaction[bytes]") -> bool:
        """Tell whether so little room is left that only writes that also delete are taken."""
        stat, last_page = txn.stat(self._rows), self._env.info()["last_pgno"]
        # Pages once used and free again count in the file's size, but not here.
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        if pages >= self._growth_pages_max:
            return True
        free_bytes = max(0, last_page - pages) * stat["psize"]
        return (
            free_bytes < DELETES_BYTES_MIN
            and free_bytes + shutil.disk_usage(self._directory).free < DELETES_BYTES_MIN
        )

    @contextmanager
    def _commit_errors_told(self) -> Iterator[None]:
        """Tell an engine's error that left nothing behind from one whose outcome nobody knows."""
        try:
            yield
        except lmdb.Error as error:
            if self._tells_full(error) and not self._has_panicked():
                raise StoreFull from error
            raise CommitOutcomeUnknown from error

    def _tells_full(self, error: lmdb.Error) -> bool:
        if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
            return True
        # An error that the binding made by itself may have no code.
        code = getattr(error, "code", 0)
        # A write that the end of the disk cut short is EIO to LMDB, as one that the disk failed is.
        is_cut_short = code == errno.EIO and shutil.disk_usage(self._directory).free < DISK_FREE_BYTES_MIN
        return is_cut_short or code in FULL_CODES

    def _has_panicked(self) -> bool:
        """Return whether the environment is dead: it is when the meta page could not be written."""
        try:
            self._env.begin().abort()
        except lmdb.Error:
            return True
        return False


def _run_write(
    fn: Callable[[WriteTxn], T], buffer: WriteBuffer, group: GroupBuffer, *, is_full: bool
) -> tuple[T, Changes | None]:
    """Run `fn`, add what it writes to its group, and return its result and that."""
    with _damage_told():
        result = run_transaction(fn, buffer)
        changes = buffer.finish()
        if changes is not None:
            if is_full and not changes.deletes:
                raise StoreFull
            group.add(changes)
    return result, changes


@contextmanager
def _damage_told() -> Iterator[None]:
    """Tell the engine's errors about its file in ours.

    Raises:
        StoreCorrupt: The file is damaged.
    """
    try:
        yield
    except DAMAGE as error:
        raise StoreCorrupt(str(error)) from error
