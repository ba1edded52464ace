"""The board: what the processes of one server let each other know of its retention, while it runs.

It is in memory, because it is by the monotonic clock, and that is the same for them all until the machine
starts anew. What has to outlive the server is in the store.
"""

from dataclasses import dataclass
from typing import Final

from runindex_server.schema.retention_state import ClockTick
from runindex_server.shared_numbers import SharedNumbers

_NOTE_BYTES: Final = SharedNumbers.bytes_of(3)
_NEXT_BYTES: Final = SharedNumbers.bytes_of(1)

BOARD_BYTES: Final = _NOTE_BYTES + _NEXT_BYTES
"""How much memory a board takes."""


@dataclass(frozen=True, slots=True)
class BoardNote:
    """The wall clock as it was noted down in the store, and when.

    Attributes:
        tick: What is kept in the store.
        monotonic_us: By the monotonic clock.
    """

    tick: ClockTick
    monotonic_us: int


class Board:
    """What is known of retention in all processes of a server. Whoever writes overwrites."""

    def __init__(self, memory: memoryview | None = None) -> None:
        """Take memory that all processes have mapped, zeros at first; None for a single process."""
        memory = memory or memoryview(bytearray(BOARD_BYTES))
        self._note = SharedNumbers(memory[:_NOTE_BYTES], 3)
        self._next = SharedNumbers(memory[_NOTE_BYTES:BOARD_BYTES], 1)

    def note(self) -> BoardNote | None:
        """Return when the clock was last noted down, and how; None before the first time."""
        numbers = self._note.read()
        if numbers is None:
            return None
        wall_us, distrust_us, monotonic_us = numbers
        return BoardNote(ClockTick(wall_us, distrust_us), monotonic_us)

    def put_note(self, tick: ClockTick, *, monotonic_us: int) -> None:
        """Tell that the clock was noted down."""
        self._note.write(tick.wall_us, tick.distrust_us, monotonic_us)

    def next_us(self) -> int | None:
        """Return when the next pass is scheduled, by the monotonic clock; None before that is known."""
        numbers = self._next.read()
        return None if numbers is None else numbers[0]

    def put_next(self, monotonic_us: int) -> None:
        """Tell when the next pass is scheduled."""
        # By the monotonic clock, so that a wall clock that is set back postpones nothing.
        self._next.write(monotonic_us)
