"""Sends cases to a server, many at once, and tells what came of each."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.trust.wire.attacks import MARKER, Case
from tests.trust.wire.frames import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEAD_BYTES,
    HEADERS,
    PING,
    RST_STREAM,
    frames_in,
)

WAIT_S: Final = 60.0
"""How long the server may take with a step of a case. It takes milliseconds."""

AT_ONCE: Final = 32
"""Cases under way at one time."""


@dataclass(slots=True)
class Reaction:
    """What the server did on a connection.

    Attributes:
        ended: Streams that ended, by a status or a reset.
        statuses: The status of each call that has one, as text.
        went_away: Whether the server said that it closes.
        answered: Whether the ping behind the case was answered.
    """

    ended: set[int] = field(default_factory=set)
    statuses: list[str] = field(default_factory=list)
    resets: int = 0
    went_away: bool = False
    answered: bool = False

    def words(self) -> list[str]:
        """Return what it comes to, each thing once."""
        return [
            *(f"status {status}" for status in dict.fromkeys(self.statuses)),
            *(["reset"] if self.resets else []),
            *(["went away"] if self.went_away else []),
            *(["ping answered"] if self.answered else []),
        ]


@dataclass(slots=True)
class Tried:
    """What came of many cases.

    Attributes:
        cases: How many.
        reactions: How many cases had each kind of reaction.
        problems: What may not be: a case, and what came of it.
    """

    cases: int = 0
    reactions: Counter[str] = field(default_factory=Counter)
    by_case: dict[str, Counter[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, case: Case, reaction: Reaction, problem: str) -> None:
        """Add a case."""
        self.cases += 1
        words = reaction.words() or ["nothing said"]
        self.reactions.update(words)
        self.by_case.setdefault(case.name, Counter()).update(words)
        if problem:
            self.problems.append(f"{problem}: {case!r}")


async def try_cases(port: int, cases: list[Case], tried: Tried) -> None:
    """Send cases, AT_ONCE at one time, and wait until the server has closed all their connections."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> None:
        async with turns:
            exchange = _Exchange(case)
            try:
                await exchange.run(port)
                problem = exchange.problem()
            except (OSError, TimeoutError) as error:
                problem = f"{type(error).__name__} {error}"
            tried.add(case, exchange.reaction, problem)

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(one(case))


class _Exchange(asyncio.Protocol):
    """One connection."""

    def __init__(self, case: Case) -> None:
        self.reaction = Reaction()
        self._case = case
        self._received = b""
        self._news = asyncio.Event()
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._take()
        self._news.set()

    def eof_received(self) -> bool:
        self._closed = True
        self._news.set()
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self._closed = True
        self._news.set()

    async def run(self, port: int) -> None:
        """Send, wait for what has to come, close, and wait until the server has closed, too."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S):
            transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", port)
        try:
            transport.write(self._case.whole)
            # The server may stop reading, and go on when it has written.
            async with asyncio.timeout(WAIT_S):
                while not self._closed and not self._has_all():
                    self._news.clear()
                    await self._news.wait()
            if not self._closed:
                # It may be closed, and not yet known to be.
                with suppress(OSError):
                    transport.write_eof()
            async with asyncio.timeout(WAIT_S):
                while not self._closed:
                    self._news.clear()
                    await self._news.wait()
        finally:
            transport.abort()

    def _has_all(self) -> bool:
        """Tell whether all has come that is waited for."""
        if not self._case.reads and not self._case.ends:
            return True
        reaction = self.reaction
        return reaction.went_away or (
            len(reaction.ended) >= self._case.ends and (reaction.answered or not self._case.reads)
        )

    def problem(self) -> str:
        """Return what should have come and has not; empty for nothing."""
        reaction = self.reaction
        if self._case.name == "legal calls" and len(reaction.statuses) < self._case.ends:
            return f"{len(reaction.statuses)} of {self._case.ends} legal calls have a status"
        return ""

    def _take(self) -> None:
        """Take the frames that have come whole."""
        for kind, flags, stream, payload in frames_in(self._received):
            self._received = self._received[HEAD_BYTES + len(payload) :]
            reaction = self.reaction
            reaction.resets += kind == RST_STREAM
            reaction.went_away |= kind == GOAWAY
            reaction.answered |= kind == PING and bool(flags & ACK) and payload == MARKER
            if kind == RST_STREAM or (kind in {HEADERS, DATA} and flags & END_STREAM):
                reaction.ended.add(stream)
            if kind == HEADERS and (status := _status_in(payload)):
                reaction.statuses.append(status)


def _status_in(block: bytes) -> str:
    """Return the status in a block of header fields, which the server was told not to compress by a table."""
    name = b"grpc-status"
    _, found, rest = block.partition(name)
    if not found or not rest:
        return ""
    return rest[1 : 1 + (rest[0] & 0x7F)].decode("latin1")
