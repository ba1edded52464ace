"""Answers that callers have asked for and do not take: bounded, so that who reads nothing fills no memory.

Until a connection has room, gRPC keeps an answer whole, for as long as the connection lasts.
"""

from collections import Counter
from typing import Final

from runindex_server.errors import Overloaded
from runindex_server.rpc.admission import Context

SMALL_BYTES: Final = 64 * 1024
"""Answers up to this are not counted: a call takes about as much memory by itself."""

CONNECTION_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one connection: eight of the largest pages."""

BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all."""


class Untaken:
    """Counts answers until their calls are over. Belongs to one event loop."""

    def __init__(self) -> None:
        """Begin without any."""
        self._bytes: Counter[str] = Counter()
        self._all_bytes = 0

    def add(self, size: int, context: Context) -> None:
        """Count an answer of a read until its call is over.

        Raises:
            Overloaded: With it there would be too much; it is not counted.
        """
        if size <= SMALL_BYTES:
            return
        peer = context.peer()
        if self._bytes[peer] + size > CONNECTION_BYTES_MAX or self._all_bytes + size > BYTES_MAX:
            raise Overloaded("callers to take their answers")
        self._change(peer, size)
        context.add_done_callback(lambda _: self._change(peer, -size))  # type: ignore[arg-type]  # The stubs ask for a class.

    def _change(self, peer: str, size: int) -> None:
        self._all_bytes += size
        self._bytes[peer] += size
        if not self._bytes[peer]:
            del self._bytes[peer]
