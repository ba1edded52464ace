"""Cases: what is sent on one connection, and what has to come of it at least."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.trust.wire.frames import BEGIN, PING, call_fields, data, frame, headers, message

MARKER: Final = b"answer!!"
"""The content of the ping after which a case has been read to its end."""

SHOWN_BYTES: Final = 1_000
"""How much of a case is shown, from its beginning and to its end."""

CONTENT_MARKER: Final = b"never-to-be-logged"
"""What callers send in many places, and no log may show."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent on a connection.

    Attributes:
        name: What it is about.
        sent: All of it.
        ends: How many streams have to end, each by a status or a reset, unless the connection does.
        reads: Whether frames are whole to the end, so that a ping behind them is answered unless the
            connection ends.
    """

    name: str
    sent: bytes
    ends: int = 0
    reads: bool = False

    def __repr__(self) -> str:
        """Show what repeats it."""
        shown = self.sent[:SHOWN_BYTES].hex()
        cut = f"...{self.sent[-SHOWN_BYTES:].hex()}" if len(self.sent) > SHOWN_BYTES else ""
        return f"{self.name}, {len(self.sent)} bytes: {shown}{cut}"

    @property
    def whole(self) -> bytes:
        """All that is sent, the ping included."""
        return self.sent + frame(PING, payload=MARKER) if self.reads else self.sent


@dataclass(frozen=True, slots=True)
class Legal:
    """What the cases are made of.

    Attributes:
        calls: Paths of methods with legal requests.
        token: With which callers are let in.
    """

    calls: Sequence[tuple[bytes, bytes]]
    token: bytes

    def exchange(self, chance: random.Random, calls: int = 1) -> list[bytes]:
        """Return frames with which a client begins, and makes calls."""
        frames = [BEGIN]
        for number in range(calls):
            path, request = chance.choice(self.calls)
            stream = 2 * number + 1
            frames.append(headers(stream, call_fields(path, token=self.token)))
            frames.append(data(stream, message(request)))
        return frames

    def one(self, chance: random.Random) -> tuple[bytes, bytes]:
        """Return the path of a method, and a legal request."""
        return chance.choice(self.calls)


Attack = Callable[[random.Random, Legal], Case]


def cases(attacks: Sequence[Attack], legal: Legal, *, seed: int, first: int, count: int) -> list[Case]:
    """Return so many cases, of each kind in turn: always the same ones for a seed.

    Args:
        attacks: The kinds.
        legal: What they are made of.
        seed: Of all cases.
        first: The number of the first of them.
        count: How many.
    """
    return [
        attacks[number % len(attacks)](random.Random(f"{seed} {number}"), legal)
        for number in range(first, first + count)
    ]
