"""The key-value primitive: what every store offers, and nothing that only one engine can do.

A store holds rows (key to value, ordered by unsigned bytes), counters (key to a signed number, in the same
order of keys), and three sequences of its own: revision, ordinal and time.

Three rules keep a write portable from an embedded engine to a distributed one, and every caller keeps them:

1. A write decides only on point reads (`get`, `get_counter`): there is no scan in a write.
2. Absence is asserted only by `insert`.
3. Index rows are derived from the old and the new record, and written blindly.

`fn` is pure but for its transaction: it may run more than once, and must not outlive it, keep it, or await.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

KEY_BYTES_MAX: Final = 400
"""LMDB takes 511; 400 leaves room for what an engine puts before a key."""

VALUE_BYTES_MAX: Final = 272 * 1024
"""A data value of 256 KiB and the largest record of a run (metadata, error, tags: 97 KiB), framed."""

COUNTER_MIN: Final = -(2**63)
COUNTER_MAX: Final = 2**63 - 1
"""What the 8 bytes of a counter hold."""

WRITE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Keys and values of one write. Bounds what one caller can make its neighbours in a commit wait for."""


class ReadTxn(Protocol):
    """One snapshot of the store.

    A counter is read as a row too: its 8 bytes, big-endian and signed. A key outside the bounds raises
    EnvelopeError.
    """

    @property
    def revision(self) -> int:
        """The newest revision in this snapshot; 0 in a new store."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, index-aligned with them."""
        ...

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it was never added to."""
        ...

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows with keys in `[start, end)`, ascending, or descending when `reverse`.

        Lazy: a row is read when it is asked for, and none after the transaction has ended. A counter that is
        0 has no row.
        """
        ...


class WriteTxn(Protocol):
    """One write: buffered, and applied when the function that was given it has returned.

    Reads see the store as it is, with this write's own changes laid over it.
    """

    @property
    def revision(self) -> int:
        """The newest revision that this write sees, its own included."""
        ...

    def next_revision(self) -> int:
        """Allot the next revision to a change of this write and return it."""
        ...

    def next_ordinal(self) -> int:
        """Allot the next number of the order of creation, from 1, and return it."""
        ...

    def issue_time_us(self, *, strictly_later: bool = False) -> int:
        """Issue the store's time: the later of the wall clock and the last time issued.

        With `strictly_later`, at least a microsecond after the last time issued. In microseconds since 1970.
        """
        ...

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it was never added to."""
        ...

    def insert(self, key: bytes, value: bytes) -> None:
        """Add a row that must be absent.

        Raises:
            KeyPresentError: The key has a row. `fn` should have seen it by `get` and refused; on an engine
                where another server may have written since, the store catches this and runs `fn` again.
        """
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set a row, whether it exists or not."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a row or a counter, whether it exists or not."""
        ...

    def add(self, key: bytes, delta: int) -> None:
        """Add to a counter. At 0 it has no row."""
        ...

    def add_many(self, deltas: Mapping[bytes, int]) -> None:
        """Add to counters, to each what stands beside it."""
        ...


class Store(Protocol):
    """Ordered bytes in transactions."""

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Run `fn` on one snapshot of the newest committed state, and return what it returns.

        Args:
            fn: Pure but for its transaction.
            offload: Whether `fn` may read so much that it should not hold up the event loop.

        Raises:
            RunIndexError: What `fn` raised, with the revision that it saw.
            StoreCorrupt: The engine found its own file damaged.
            Overloaded: Too many snapshots are open.
        """
        ...

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Run `fn` in one serialisable transaction, and return what it returns once that is durable.

        When `fn` raises, nothing is written.

        Raises:
            RunIndexError: What `fn` raised, with the revision that it saw.
            StoreFull: The engine or the disk is full; nothing was written.
            CommitOutcomeUnknown: The disk failed during the commit. The store is closed from then on.
            StoreClosed: The store is closed; nothing was written.
            Overloaded: Too many writes wait; nothing was written.
        """
        ...

    async def close(self) -> None:
        """Finish what has been handed over, and release the engine."""
        ...


class KeyPresentError(Exception):
    """`insert` met a row."""


class EnvelopeError(ValueError):
    """A key, a value or a write passes the bounds of this module: a fault of the code that wrote it."""


def check_row(key: bytes, value: bytes) -> None:
    """Refuse a row outside the bounds.

    Raises:
        EnvelopeError: The key is empty or too long, or the value too long.
    """
    if not 0 < len(key) <= KEY_BYTES_MAX:
        msg = f"a key has 1 to {KEY_BYTES_MAX} bytes, not {len(key)}"
        raise EnvelopeError(msg)
    if len(value) > VALUE_BYTES_MAX:
        msg = f"a value has at most {VALUE_BYTES_MAX} bytes, not {len(value)}"
        raise EnvelopeError(msg)


def check_keys(keys: Iterable[bytes]) -> None:
    """Refuse keys outside the bounds, as `check_row` does.

    Raises:
        EnvelopeError: One is empty or too long.
    """
    sizes = list(map(len, keys))
    if sizes and not 0 < min(sizes) <= max(sizes) <= KEY_BYTES_MAX:
        msg = f"a key has 1 to {KEY_BYTES_MAX} bytes, not {min(sizes)} or {max(sizes)}"
        raise EnvelopeError(msg)


def encode_counter(count: int) -> bytes:
    """Return a counter as a scan shows it: 8 bytes, big-endian, signed."""
    return count.to_bytes(8, "big", signed=True)


def decode_counter(value: bytes | None) -> int:
    """Return the number that a counter's row shows; 0 when it has none.

    Raises:
        ValueError: Not 8 bytes.
    """
    if value is None:
        return 0
    if len(value) != 8:
        msg = f"a counter has 8 bytes, not {len(value)}"
        raise ValueError(msg)
    return int.from_bytes(value, "big", signed=True)


def decode_counters(values: Sequence[bytes]) -> tuple[int, ...]:
    """Return the numbers that rows of counters show, in a third of the time that one by one takes.

    Raises:
        ValueError: One has not 8 bytes.
    """
    if not set(map(len, values)) <= {8}:
        msg = "a counter has 8 bytes"
        raise ValueError(msg)
    counts: tuple[int, ...] = struct.unpack(f">{len(values)}q", b"".join(values))
    return counts
