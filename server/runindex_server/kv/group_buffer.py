"""What the writes of a group have changed so far, laid over the engine's rows until it is applied at once.

Rows that many of them change, counters above all, are so read and written once for the group.
"""

from collections.abc import Mapping

from runindex_server.kv.api import decode_counter
from runindex_server.kv.write_buffer import Changes, PointReads, counter_rows


class GroupBuffer:
    """A `kv.write_buffer.PointReads`: the engine's rows as the writes so far leave them."""

    def __init__(self, reads: PointReads) -> None:
        """Begin with the engine's rows."""
        self._reads = reads
        self._rows: dict[bytes, bytes | None] = {}
        # Counters of the engine, as they were read.
        self._counters: dict[bytes, int] = {}

    @property
    def rows(self) -> Mapping[bytes, bytes | None]:
        """Rows and counters that have changed; None for what is removed."""
        return self._rows

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        return self._rows[key] if key in self._rows else self._reads.get(key)

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it has no row."""
        if key in self._rows:
            return decode_counter(self._rows[key])
        if key not in self._counters:
            self._counters[key] = self._reads.get_counter(key)
        return self._counters[key]

    def add(self, changes: Changes) -> None:
        """Add what a write changes.

        Raises:
            EnvelopeError: A counter passes 64 bits; nothing was added.
        """
        counters = counter_rows(changes.deltas, self)
        self._rows.update(changes.puts)
        self._rows.update(dict.fromkeys(changes.deletes))
        self._rows.update(counters)
