"""What the writes of a group have changed so far, laid over the engine's rows until it is applied at once.

Rows that many of them change, counters above all, are so read and written once for the group.
"""

from collections.abc import Mapping

from runindex_server.kv.api import COUNTER_MAX, COUNTER_MIN, EnvelopeError, decode_counter
from runindex_server.kv.write_buffer import Changes, PointReads, counter_row


class GroupBuffer:
    """A `kv.write_buffer.PointReads`: the engine's rows as the writes so far leave them."""

    def __init__(self, reads: PointReads) -> None:
        """Begin with the engine's rows."""
        self._reads = reads
        self._rows: dict[bytes, bytes | None] = {}
        # Counters as numbers, so that each is encoded once for the group: those that were read or changed.
        self._counters: dict[bytes, int] = {}
        self._changed: set[bytes] = set()

    @property
    def rows(self) -> Mapping[bytes, bytes | None]:
        """Rows and counters that have changed; None for what is removed."""
        return {**self._rows, **{key: counter_row(self._counters[key]) for key in self._changed}}

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if key in self._changed:
            return counter_row(self._counters[key])
        return self._rows[key] if key in self._rows else self._reads.get(key)

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it has no row."""
        count = self._counters.get(key)
        if count is None:
            is_decided = key in self._rows
            count = decode_counter(self._rows[key]) if is_decided else self._reads.get_counter(key)
            self._counters[key] = count
        return count

    def add(self, changes: Changes) -> None:
        """Add what a write changes.

        Raises:
            EnvelopeError: A counter passes 64 bits; nothing was added.
        """
        counters = {key: self.get_counter(key) + delta for key, delta in changes.deltas.items()}
        if counters and not COUNTER_MIN <= min(counters.values()) <= max(counters.values()) <= COUNTER_MAX:
            msg = "a counter has 64 bits, too few for what a write makes of it"
            raise EnvelopeError(msg)
        self._decide(changes.puts)
        self._decide(dict.fromkeys(changes.deletes))
        self._counters.update(counters)
        self._changed.update(counters)

    def _decide(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Set and remove rows; what counters were there before is over."""
        for key in self._counters.keys() & rows.keys():
            del self._counters[key]
            self._changed.discard(key)
        self._rows.update(rows)
