"""A network between a client and a server that is worse than any: it cuts connections at chosen bytes, holds
them up, swallows what is sent, and closes them in one direction.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from tests.support.tls_proxy import until_first

WAIT_S: Final = 30.0
PIECE_BYTES: Final = 64 * 1024
SLOWNESS: Final = 10
"""A pause in a slow connection is so many times shorter than the one before a cut."""


class Fate(Enum):
    """What becomes of a connection when it has carried so many bytes in one direction."""

    NONE = "left alone"
    CUT = "cut"
    CLOSED = "closed in one direction"
    HELD_UP = "held up, and then cut"
    SWALLOWED = "swallowed, and then cut"
    SLOW = "slow, and then cut"


@dataclass(frozen=True)
class Plan:
    """What becomes of a connection.

    Attributes:
        is_answer: Whether bytes from the server are counted, and not those from the client.
        after_bytes: How many of them are passed on.
        pause_s: How long it is held up or swallowed, and how long each piece waits in a slow one.
    """

    fate: Fate
    is_answer: bool = False
    after_bytes: int = 0
    pause_s: float = 0.0


HEALTHY: Final = Plan(Fate.NONE)
Choose = Callable[[], Plan]


def choosing(chance: random.Random, *, bytes_max: int, pause_s: float = 0.2) -> Choose:
    """Return what chooses plans at random, of which each ends its connection.

    Args:
        chance: Decides.
        bytes_max: At most so many bytes pass in the direction that is counted.
        pause_s: The longest pause.
    """

    def choose() -> Plan:
        fate = chance.choices(list(Fate)[1:], (10, 2, 2, 2, 1))[0]
        pause = chance.uniform(0, pause_s)
        return Plan(fate, chance.random() < 0.5, chance.randrange(bytes_max), pause)

    return choose


class CuttingProxy:
    """Listens on a free port of the loopback interface, in a thread of its own.

    Attributes:
        ended: How many connections met which fate.
    """

    def __init__(self, target: str, choose: Choose) -> None:
        """Pass on to a server what clients send, as the plan of each connection says."""
        self.ended: Counter[Fate] = Counter()
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._choose = choose
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cutting-proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))

    @property
    def target(self) -> str:
        """Where clients can connect."""
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Cut all connections, and end the thread."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, plan = asyncio.current_task(), self._choose()
        assert task is not None
        self._tasks.add(task)
        try:
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
            requests, answers = HEALTHY, plan
            if not plan.is_answer:
                requests, answers = plan, HEALTHY
            try:
                await until_first(
                    self._pass_on(reader, inner_writer, requests),
                    self._pass_on(inner_reader, writer, answers),
                )
            finally:
                inner_writer.transport.abort()
        except OSError:
            # The server is gone; the client learns it from the end of its connection.
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Plan) -> None:
        """Pass bytes on until one side ends the connection, or the plan does."""
        left = plan.after_bytes
        with suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                if plan.fate is Fate.NONE or len(piece) < left:
                    left -= len(piece)
                    await _pass(piece, writer, plan)
                else:
                    writer.write(piece[:left])
                    await writer.drain()
                    await self._end(reader, writer, plan)
                    return

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Plan) -> None:
        """Let a connection meet its fate; both directions are cut when this returns."""
        self.ended[plan.fate] += 1
        if plan.fate is Fate.CLOSED:
            writer.write_eof()
        if plan.fate is Fate.HELD_UP:
            await asyncio.sleep(plan.pause_s)
        elif plan.fate in {Fate.SWALLOWED, Fate.CLOSED}:
            # The other direction goes on meanwhile.
            with suppress(TimeoutError):
                async with asyncio.timeout(plan.pause_s):
                    while await reader.read(PIECE_BYTES):
                        pass


async def _pass(piece: bytes, writer: asyncio.StreamWriter, plan: Plan) -> None:
    """Pass a piece on, where all is slow in two halves with a pause before each."""
    half = len(piece) // 2 if plan.fate is Fate.SLOW else 0
    for part in (piece[:half], piece[half:]):
        if plan.fate is Fate.SLOW:
            await asyncio.sleep(plan.pause_s / SLOWNESS)
        writer.write(part)
        await writer.drain()


@contextmanager
def cutting(target: str, choose: Choose) -> Iterator[CuttingProxy]:
    """Return a proxy that is gone afterwards."""
    proxy = CuttingProxy(target, choose)
    try:
        yield proxy
    finally:
        proxy.stop()
