"""The gate that calls pass: it counts those under way, and lets no more in once the server stops."""

import asyncio
from types import TracebackType
from typing import Final

from runindex_server.errors import StoreClosed

LINGER_S: Final = 0.25
"""How long a closed gate goes on refusing: who calls without a pause is told why, and not just cut off."""


class Gate:
    """Entered by each call: `with gate: ...`. Belongs to one event loop."""

    def __init__(self) -> None:
        """Begin open, with no call under way."""
        self._calls = 0
        self._is_open = True
        self._is_idle = asyncio.Event()

    def __enter__(self) -> None:
        """Let a call in.

        Raises:
            StoreClosed: The server is stopping.
        """
        if not self._is_open:
            raise StoreClosed
        self._calls += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let a call out."""
        self._calls -= 1
        if not self._is_open and not self._calls:
            self._is_idle.set()

    async def close(self, drain_s: float) -> None:
        """Let no more calls in, and wait until none is under way.

        Args:
            drain_s: How long to wait at most.
        """
        self._is_open = False
        if self._calls:
            try:
                await asyncio.wait_for(self._is_idle.wait(), drain_s)
            except TimeoutError:
                return
        await asyncio.sleep(min(LINGER_S, drain_s))
