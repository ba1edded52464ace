"""One LMDB environment: synchronous transactions over two databases, with the engine's errors told in ours.

`rows` holds rows and counters in one order of keys; `sequences` holds one row. Knows no event loop and no
thread: who calls `write` sees to it that only one does.
"""

import errno
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from runindex_server.clock import Clock
from runindex_server.errors import CommitOutcomeUnknown, StoreCorrupt, StoreFull
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.guard import DataFileForeign, EngineRefused
from runindex_server.kv.lmdb_read_txn import LmdbReadTxn
from runindex_server.kv.transaction import run_transaction
from runindex_server.kv.write_buffer import Changes, Sequences, WriteBuffer, counter_rows

T = TypeVar("T")

DATA_FILE_NAME: Final = "data.mdb"

READERS_MAX: Final = 1024
"""Snapshots at one time. A process that was killed leaves its slot behind until the next `reader_check`."""

GROWTH_PERCENT_MAX: Final = 90
"""Of the map, in use: beyond it only writes that also delete are taken. LMDB copies each page that it
changes, so that a delete needs room too."""

DISK_FREE_BYTES_MIN: Final = 16 * 1024 * 1024
"""Where less is free, a write that failed found the disk full. Several times what one commit writes."""

_ENGINE_0_9: Final = 0
"""Always asked for, so that no environment variable chooses: the tools of distributions read this format."""

_SEQUENCES_KEY: Final = b"sequences"
_SEQUENCES: Final = struct.Struct(">QQQ")
_CRC: Final = struct.Struct(">I")

_DAMAGE: Final = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.BadRslotError, lmdb.InvalidError)
_FULL_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LmdbEnvironment:
    """An open environment. Not to be used by a forked process, nor opened twice in one."""

    def __init__(self, directory: Path, *, map_bytes: int, create: bool) -> None:
        """Open it.

        Args:
            directory: Where `data.mdb` and `lock.mdb` are.
            map_bytes: Address space to set aside: what the file can grow to. The same in all processes.
            create: Whether it is new.

        Raises:
            EngineRefused: The engine cannot open it.
            DataFileForeign: It lacks our databases.
        """
        self._directory = directory
        try:
            self._env = lmdb.open(
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
                lib_version=_ENGINE_0_9,
            )
        except lmdb.Error as error:
            raise EngineRefused(directory, str(error)) from error
        try:
            self._rows = self._env.open_db(b"rows", create=create)
            self._sequences = self._env.open_db(b"sequences", create=create)
            self._env.reader_check()
        except lmdb.NotFoundError as error:
            self._env.close()
            raise DataFileForeign(directory / DATA_FILE_NAME, "lacks the databases of one") from error
        except lmdb.Error as error:
            self._env.close()
            raise EngineRefused(directory, str(error)) from error
        page_bytes = self._env.stat()["psize"]
        self._growth_pages_max = map_bytes // page_bytes * GROWTH_PERCENT_MAX // 100

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        """Run `fn` on one snapshot of the newest committed state; on any thread.

        Raises:
            RunIndexError: What `fn` raised, with the revision that it saw.
            StoreCorrupt: The engine found its file damaged.
        """
        try:
            with self._env.begin() as txn:
                return self._run_read(fn, txn)
        except _DAMAGE as error:
            raise StoreCorrupt(str(error)) from error

    def write(self, fn: Callable[[WriteTxn], T], *, clock: Clock) -> T:
        """Run `fn` in one transaction, and return what it returns once that is on the disk; blocks.

        Raises:
            RunIndexError: What `fn` raised, with the revision that it saw; nothing was written.
            StoreCorrupt: The engine found its file damaged while `fn` read; nothing was written.
            StoreFull: The map or the disk is full; nothing was written.
            CommitOutcomeUnknown: Anything else went wrong. The environment must not be used any more.
        """
        with self._commit_errors_told():
            txn = self._env.begin(write=True)
        try:
            result, changes, counters = self._prepare(fn, txn, clock)
            if changes is not None:
                with self._commit_errors_told():
                    self._refuse_growth_when_full(txn, changes)
                    self._apply(txn, changes, counters)
                    txn.commit()
            return result
        finally:
            # Does nothing after a commit.
            txn.abort()

    def close(self) -> None:
        """Release the engine; again does nothing. No transaction may be running."""
        self._env.close()

    def _run_read(self, fn: Callable[[ReadTxn], T], txn: "lmdb.Transaction[bytes]") -> T:
        reads = LmdbReadTxn(txn, self._rows, self._read_sequences(txn).revision)
        try:
            return run_transaction(fn, reads)
        finally:
            reads.end()

    def _prepare(
        self, fn: Callable[[WriteTxn], T], txn: "lmdb.Transaction[bytes]", clock: Clock
    ) -> tuple[T, Changes | None, dict[bytes, bytes | None]]:
        """Run `fn` and return its result and what is to be written: after it, only the engine can fail."""
        try:
            sequences = self._read_sequences(txn)
            reads = LmdbReadTxn(txn, self._rows, sequences.revision)
            buffer = WriteBuffer(reads, sequences, clock=clock)
            result = run_transaction(fn, buffer)
            changes = buffer.finish()
            return result, changes, counter_rows(changes.deltas, reads) if changes is not None else {}
        except _DAMAGE as error:
            raise StoreCorrupt(str(error)) from error

    def _apply(
        self, txn: "lmdb.Transaction[bytes]", changes: Changes, counters: dict[bytes, bytes | None]
    ) -> None:
        for key in changes.deletes:
            txn.delete(key, db=self._rows)
        for rows in (changes.puts, counters):
            for key, value in rows.items():
                if value is None:
                    txn.delete(key, db=self._rows)
                else:
                    txn.put(key, value, db=self._rows)
        sequences = changes.sequences
        numbers = _SEQUENCES.pack(sequences.revision, sequences.ordinal, sequences.time_us)
        txn.put(_SEQUENCES_KEY, numbers + _CRC.pack(zlib.crc32(numbers)), db=self._sequences)

    def _read_sequences(self, txn: "lmdb.Transaction[bytes]") -> Sequences:
        row = txn.get(_SEQUENCES_KEY, db=self._sequences)
        if row is None:
            return Sequences()
        numbers, crc = row[: _SEQUENCES.size], row[_SEQUENCES.size :]
        if len(numbers) != _SEQUENCES.size or crc != _CRC.pack(zlib.crc32(numbers)):
            raise StoreCorrupt("the row of sequences")
        return Sequences(*_SEQUENCES.unpack(numbers))

    def _refuse_growth_when_full(self, txn: "lmdb.Transaction[bytes]", changes: Changes) -> None:
        if changes.deletes or self._env.info()["last_pgno"] < self._growth_pages_max:
            return
        # Pages once used and free again count in the file's size, but not here.
        stat = txn.stat(self._rows)
        if stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] >= self._growth_pages_max:
            raise StoreFull

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
        return is_cut_short or code in _FULL_CODES

    def _has_panicked(self) -> bool:
        """Return whether the environment is dead: it is when the meta page could not be written."""
        try:
            self._env.begin().abort()
        except lmdb.Error:
            return True
        return False
