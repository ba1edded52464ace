"""Snapshots of an open LMDB environment, whether it is the store's own or a copy of one."""

import errno
import struct
import zlib
from collections.abc import Callable
from typing import Final, TypeVar

import lmdb

from runindex_server.errors import Overloaded, StoreClosed, StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.lmdb_read_txn import LmdbReadTxn
from runindex_server.kv.transaction import run_transaction
from runindex_server.kv.write_buffer import Sequences

T = TypeVar("T")

DATA_FILE_NAME: Final = "data.mdb"

ENGINE_0_9: Final = 0
"""Always asked for, so that no environment variable chooses: the tools of distributions read this format."""

ROWS_NAME: Final = b"rows"
SEQUENCES_NAME: Final = b"sequences"

DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.BadRslotError,
    lmdb.InvalidError,
    lmdb.CursorFullError,
    # What is read after one of these.
    lmdb.BadTxnError,
)
"""What the engine raises when it finds its file damaged."""

FULL_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""With which the disk says that there is no room."""

_SEQUENCES_KEY: Final = b"sequences"
_SEQUENCES: Final = struct.Struct(">QQQ")
_CRC: Final = struct.Struct(">I")


def engine_version() -> str:
    """Return the version of LMDB that this process has loaded: `0.9.33`."""
    return ".".join(map(str, lmdb.version()))


class LmdbSnapshots:
    """What can be read of an open environment; on any thread."""

    def __init__(self, env: lmdb.Environment, rows: lmdb._Database, sequences: lmdb._Database) -> None:
        """Own an environment with its two databases."""
        self._env = env
        self._rows = rows
        self._sequences = sequences

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        """Run `fn` on one snapshot of the newest committed state; on any thread.

        Raises:
            RunIndexError: What `fn` raised, with the revision that it saw.
            StoreCorrupt: The engine found its file damaged.
            StoreClosed: A commit of this process has failed, and the engine stopped.
            Overloaded: Too many snapshots are open.
        """
        try:
            with self._env.begin() as txn:
                return self._run_read(fn, txn)
        except lmdb.PanicError as error:
            raise StoreClosed from error
        except DAMAGE as error:
            raise StoreCorrupt(str(error)) from error
        except lmdb.ReadersFullError as error:
            self._free_slots(error)
            return self.read(fn)

    def entry_counts(self) -> tuple[int, int]:
        """Return how many rows each of the two databases has, counters and sequences included. Read-only."""
        with self._begin() as txn:
            return txn.stat(self._rows)["entries"], txn.stat(self._sequences)["entries"]

    def close(self) -> None:
        """Release the engine; again does nothing. No transaction may be running."""
        self._env.close()

    def _begin(self) -> "lmdb.Transaction[bytes]":
        """Begin a snapshot.

        Raises:
            Overloaded: Too many are open.
        """
        try:
            return self._env.begin()
        except lmdb.ReadersFullError as error:
            self._free_slots(error)
            return self._begin()

    def _free_slots(self, error: lmdb.ReadersFullError) -> None:
        """Free the slots of processes that were killed with a snapshot open.

        Raises:
            Overloaded: There are none.
        """
        if not self._env.reader_check():
            raise Overloaded("a snapshot") from error

    def _run_read(self, fn: Callable[[ReadTxn], T], txn: "lmdb.Transaction[bytes]") -> T:
        reads = LmdbReadTxn(txn, self._rows, self._read_sequences(txn).revision)
        try:
            return run_transaction(fn, reads)
        finally:
            reads.end()

    def _read_sequences(self, txn: "lmdb.Transaction[bytes]") -> Sequences:
        row = txn.get(_SEQUENCES_KEY, db=self._sequences)
        if row is None:
            return Sequences()
        numbers, crc = row[: _SEQUENCES.size], row[_SEQUENCES.size :]
        if len(numbers) != _SEQUENCES.size or crc != _CRC.pack(zlib.crc32(numbers)):
            raise StoreCorrupt("the row of sequences")
        return Sequences(*_SEQUENCES.unpack(numbers))

    def _put_sequences(self, txn: "lmdb.Transaction[bytes]", sequences: Sequences) -> None:
        numbers = _SEQUENCES.pack(sequences.revision, sequences.ordinal, sequences.time_us)
        txn.put(_SEQUENCES_KEY, numbers + _CRC.pack(zlib.crc32(numbers)), db=self._sequences)
