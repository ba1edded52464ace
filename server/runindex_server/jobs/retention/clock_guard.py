"""The clock guard: keeps retention from believing a wall clock that has jumped forward.

The wall clock is noted down at least every ten minutes, together with how much time has yet to pass before it
is trusted again. While a server runs, in one process or in several, its advance is held against the monotonic
clock's. After a start there is no monotonic time of before: then a server that was down for more than an hour
looks like a jump, and pauses too. A clock that is set back is less far ahead by as much, so one that was put
right is trusted at once.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from runindex_server.clock import Clock
from runindex_server.jobs.retention.board import Board
from runindex_server.kv.api import Store, WriteTxn
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
        monotonic_us: The monotonic clock; None for a note of an earlier server.
    """

    tick: ClockTick
    monotonic_us: int | None


class ClockGuard:
    """The wall clock of one store, under suspicion."""

    def __init__(self, store: Store, clock: Clock, board: Board | None = None) -> None:
        """Take the store that keeps the notes, and the clocks.

        Args:
            store: The store.
            clock: The clocks. Of all processes of a machine the monotonic one is the same.
            board: On which the processes of a server see each other's notes; None for a single process.
        """
        self._store = store
        self._clock = clock
        self._board = board or Board()
        self._turn = asyncio.Lock()

    @property
    def is_due(self) -> bool:
        """Whether it is time to note down the clock."""
        noted = self._board.note()
        return noted is None or self._clock.monotonic_us() - noted.monotonic_us >= NOTE_INTERVAL_US

    async def note(self, *, trust: bool = False) -> int:
        """Note down the wall clock, and return it, in microseconds since 1970.

        Args:
            trust: Whether to trust it from now on, however far it has jumped.
        """
        async with self._turn:
            while True:
                kept = await self._store.read(read_clock_tick)
                now_us, tick = self._look(self._last(kept))
                if trust:
                    tick = ClockTick(tick.wall_us)
                # What another process notes meanwhile, perhaps that the clock is trusted, is not undone.
                if await self._store.write(partial(_replace, kept=kept, tick=tick)):
                    self._board.put_note(tick, monotonic_us=now_us)
                    return tick.wall_us

    def jump(self) -> ClockJump | None:
        """Return how far the wall clock is not trusted at this moment; None when it is. Read-only."""
        noted = self._board.note()
        if noted is None:
            return None
        _, tick = self._look(_Note(noted.tick, noted.monotonic_us))
        if tick.distrust_us == 0:
            return None
        return ClockJump(ahead_us=tick.distrust_us, resume_us=tick.wall_us + tick.distrust_us)

    def _last(self, kept: ClockTick | None) -> _Note | None:
        """Return the last note: what is kept, and when that was if this server noted it."""
        if kept is None:
            return None
        noted = self._board.note()
        return _Note(kept, noted.monotonic_us if noted is not None and noted.tick == kept else None)

    def _look(self, last: _Note | None) -> tuple[int, ClockTick]:
        """Return the monotonic clock, and what the wall clock is held against the last note."""
        # A machine that has not yet learnt the time can stand before 1970.
        wall_us, monotonic_us = max(0, self._clock.now_us()), self._clock.monotonic_us()
        if last is None:
            return monotonic_us, ClockTick(wall_us)
        # How much time passed while no process looked, nobody knows: none is counted.
        passed_us = 0 if last.monotonic_us is None else monotonic_us - last.monotonic_us
        ahead_us = wall_us - last.tick.wall_us - passed_us
        distrust_us = max(0, last.tick.distrust_us - passed_us + min(ahead_us, 0))
        if ahead_us > JUMP_US:
            distrust_us += ahead_us
        return monotonic_us, ClockTick(wall_us, distrust_us)


def _replace(txn: WriteTxn, *, kept: ClockTick | None, tick: ClockTick) -> bool:
    """Note down the wall clock, and tell whether that was done: not when another note came between."""
    if read_clock_tick(txn) != kept:
        return False
    write_clock_tick(txn, tick)
    return True
