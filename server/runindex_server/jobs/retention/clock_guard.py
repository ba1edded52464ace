"""The clock guard: keeps retention from believing a wall clock that has jumped forward.

The wall clock is noted down at least every ten minutes, together with how much time has yet to pass before it
is trusted again. Within a process its advance is held against the monotonic clock's. After a start there is
no monotonic time of before: then a server that was down for more than an hour looks like a jump, and pauses
too. A clock that is set back is less far ahead by as much, so one that was put right is trusted at once.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from runindex_server.clock import Clock
from runindex_server.kv.api import Store
from runindex_server.schema.retention_state import ClockTick, read_clock_tick, write_clock_tick

JUMP_US: Final = 3_600 * 1_000_000
"""How far the wall clock may run ahead between two notes: an hour, which no slewing or leap comes to."""

NOTE_INTERVAL_US: Final = 600 * 1_000_000
"""How often the wall clock is noted down. Far below `JUMP_US`, so that a restart alone is no jump."""


@dataclass(frozen=True, slots=True)
class ClockJump:
    """A wall clock that is not trusted.

    Attributes:
        ahead_us: How far ahead it may be: how far it jumped, less the time that has passed since.
        resume_us: When it is trusted again, by the wall clock itself, in microseconds since 1970.
    """

    ahead_us: int
    resume_us: int


@dataclass(frozen=True, slots=True)
class _Note:
    """The clocks at one moment.

    Attributes:
        tick: What is kept in the store.
        monotonic_us: The monotonic clock; None for a note of an earlier process.
    """

    tick: ClockTick
    monotonic_us: int | None


class ClockGuard:
    """The wall clock of one store, under suspicion."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take the store that keeps the notes, and the clocks."""
        self._store = store
        self._clock = clock
        self._last: _Note | None = None
        self._turn = asyncio.Lock()

    @property
    def is_due(self) -> bool:
        """Whether it is time to note down the clock."""
        if self._last is None or self._last.monotonic_us is None:
            return True
        return self._clock.monotonic_us() - self._last.monotonic_us >= NOTE_INTERVAL_US

    async def note(self, *, trust: bool = False) -> int:
        """Note down the wall clock, and return it, in microseconds since 1970.

        Args:
            trust: Whether to trust it from now on, however far it has jumped.
        """
        async with self._turn:
            if self._last is None:
                kept = await self._store.read(read_clock_tick)
                self._last = None if kept is None else _Note(kept, None)
            now = self._look()
            tick = ClockTick(now.tick.wall_us) if trust else now.tick
            await self._store.write(partial(write_clock_tick, tick=tick))
            self._last = _Note(tick, now.monotonic_us)
            return tick.wall_us

    def jump(self) -> ClockJump | None:
        """Return how far the wall clock is not trusted at this moment; None when it is. Read-only."""
        if self._last is None:
            return None
        tick = self._look().tick
        if tick.distrust_us == 0:
            return None
        return ClockJump(ahead_us=tick.distrust_us, resume_us=tick.wall_us + tick.distrust_us)

    def _look(self) -> _Note:
        """Return the clocks as they are, held against the last note."""
        # A machine that has not yet learnt the time can stand before 1970.
        wall_us, monotonic_us = max(0, self._clock.now_us()), self._clock.monotonic_us()
        last = self._last
        if last is None:
            return _Note(ClockTick(wall_us), monotonic_us)
        # How much time passed while no process looked, nobody knows: none is counted.
        passed_us = 0 if last.monotonic_us is None else monotonic_us - last.monotonic_us
        ahead_us = wall_us - last.tick.wall_us - passed_us
        distrust_us = max(0, last.tick.distrust_us - passed_us + min(ahead_us, 0))
        if ahead_us > JUMP_US:
            distrust_us += ahead_us
        return _Note(ClockTick(wall_us, distrust_us), monotonic_us)
