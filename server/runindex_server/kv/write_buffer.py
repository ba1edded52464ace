"""The buffered write that stores share: it overlays its own changes on an engine's point reads.

An engine gives it what it reads and the sequences as they stand, and applies what `finish` hands over. It
knows no engine, and no thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from runindex_server.clock import Clock
from runindex_server.kv.api import (
    WRITE_BYTES_MAX,
    EnvelopeError,
    KeyPresentError,
    check_keys,
    check_row,
    decode_counter,
    encode_counter,
)

_COUNTER_BYTES: Final = len(encode_counter(0))


class PointReads(Protocol):
    """What a write reads of the engine, as it was before the write."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it has no row."""
        ...


class Sequences(NamedTuple):
    """The newest number that each sequence of a store has given out; 0 in a new store.

    Attributes:
        time_us: In microseconds since 1970.
    """

    revision: int = 0
    ordinal: int = 0
    time_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a write does to a store, each key at most once over the three.

    Attributes:
        puts: Rows to set.
        deletes: Keys of rows and counters to remove, in the order of their deletion.
        deltas: What to add to counters; none is 0.
        sequences: The sequences after the write.
        write_bytes: Keys and values that are written, the keys of what is removed included.
    """

    puts: Mapping[bytes, bytes]
    deletes: tuple[bytes, ...]
    deltas: Mapping[bytes, int]
    sequences: Sequences
    write_bytes: int


class WriteBuffer:
    """A `kv.api.WriteTxn` that keeps its changes to itself until `finish`."""

    def __init__(self, reads: PointReads, sequences: Sequences, *, clock: Clock) -> None:
        """Begin a write on an engine that stands at `sequences`."""
        self._reads = reads
        self._clock = clock
        self._sequences_before = sequences
        self._revision = sequences.revision
        self._ordinal = sequences.ordinal
        self._time_us = sequences.time_us
        # What a put or a delete decided, None for a delete; what was added since is in there already.
        self._rows: dict[bytes, bytes | None] = {}
        # What was added to counters that no put or delete of this write decided.
        self._deltas: dict[bytes, int] = {}

    @property
    def revision(self) -> int:
        """The newest revision that this write sees, its own included."""
        return self._revision

    def next_revision(self) -> int:
        """Allot the next revision and return it."""
        self._revision += 1
        return self._revision

    def next_ordinal(self) -> int:
        """Allot the next number of the order of creation and return it."""
        self._ordinal += 1
        return self._ordinal

    def issue_time_us(self, *, strictly_later: bool = False) -> int:
        """Issue the store's time, in microseconds since 1970: never before the last one issued."""
        earliest_us = self._time_us + 1 if strictly_later else self._time_us
        self._time_us = max(self._clock.now_us(), earliest_us)
        return self._time_us

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as this write leaves it, or None."""
        if key in self._deltas:
            return counter_row(self.get_counter(key))
        return self._rows[key] if key in self._rows else self._reads.get(key)

    def get_counter(self, key: bytes) -> int:
        """Return a counter as this write leaves it; 0 when it was never added to."""
        if key in self._rows:
            return decode_counter(self._rows[key])
        return self._reads.get_counter(key) + self._deltas.get(key, 0)

    def insert(self, key: bytes, value: bytes) -> None:
        """Add a row that must be absent.

        Raises:
            EnvelopeError: The row passes the bounds.
            KeyPresentError: The key has a row.
        """
        check_row(key, value)
        if self.get(key) is not None:
            msg = f"the key {key.hex()} has a row already"
            raise KeyPresentError(msg)
        self._decide(key, value)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a row, whether it exists or not.

        Raises:
            EnvelopeError: The row passes the bounds.
        """
        check_row(key, value)
        self._decide(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a row or a counter, whether it exists or not.

        Raises:
            EnvelopeError: The key passes the bounds.
        """
        check_row(key, b"")
        self._decide(key, None)

    def add(self, key: bytes, delta: int) -> None:
        """Add to a counter.

        Raises:
            EnvelopeError: The key passes the bounds, or the sum 64 bits; the latter perhaps only in `finish`.
        """
        check_row(key, b"")
        if key in self._rows:
            self._rows[key] = counter_row(self.get_counter(key) + delta)
        else:
            self._deltas[key] = self._deltas.get(key, 0) + delta

    def add_many(self, deltas: Mapping[bytes, int]) -> None:
        """Add to counters.

        Raises:
            EnvelopeError: As `add`.
        """
        if self._rows.keys().isdisjoint(deltas) and self._deltas.keys().isdisjoint(deltas):
            # Nearly always, and a change of a run adds to dozens: it takes a fifth of the time.
            check_keys(deltas)
            self._deltas.update(deltas)
        else:
            for key, delta in deltas.items():
                self.add(key, delta)

    def finish(self) -> Changes | None:
        """Return what this write does, or None when it does nothing and needs no commit.

        Raises:
            EnvelopeError: The write is too large.
        """
        sequences = Sequences(self._revision, self._ordinal, self._time_us)
        deltas = {key: delta for key, delta in self._deltas.items() if delta}
        if not self._rows and not deltas and sequences == self._sequences_before:
            return None
        puts = {key: value for key, value in self._rows.items() if value is not None}
        deletes = tuple(key for key, value in self._rows.items() if value is None)
        rows_bytes = sum(map(len, self._rows)) + sum(map(len, puts.values()))
        write_bytes = rows_bytes + sum(map(len, deltas)) + _COUNTER_BYTES * len(deltas)
        if write_bytes > WRITE_BYTES_MAX:
            msg = f"a write has at most {WRITE_BYTES_MAX} bytes of keys and values, not {write_bytes}"
            raise EnvelopeError(msg)
        return Changes(
            puts=puts, deletes=deletes, deltas=deltas, sequences=sequences, write_bytes=write_bytes
        )

    def _decide(self, key: bytes, value: bytes | None) -> None:
        self._deltas.pop(key, None)
        self._rows[key] = value


def counter_rows(deltas: Mapping[bytes, int], reads: PointReads) -> dict[bytes, bytes | None]:
    """Return the rows that counters have after `deltas` were added to what `reads` tells; None for no row.

    Raises:
        EnvelopeError: A counter passes 64 bits.
    """
    return {key: counter_row(reads.get_counter(key) + delta) for key, delta in deltas.items()}


def counter_row(count: int) -> bytes | None:
    """Return the row of a counter; None for none, at 0.

    Raises:
        EnvelopeError: It passes 64 bits.
    """
    if count == 0:
        return None
    try:
        return encode_counter(count)
    except OverflowError as error:
        msg = f"a counter has 64 bits, too few for {count}"
        raise EnvelopeError(msg) from error
