"""Callers in a process of their own: each makes one call at a time, and writes down what came of it."""

import asyncio
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from typing import IO, Any, Final

import grpc
from grpc import aio

from tests.property.model_arguments import Request
from tests.property.wire import message_of
from tests.trust.histories.mix import Mix
from tests.trust.histories.recording import WRITES, answer_type, path_of

CALL_S: Final = 30.0
"""How long a call may take: one that takes longer hangs."""

CONNECT_S: Final = 0.5
"""How long one address is tried before it is looked up again."""

CONNECTS_MAX: Final = 240
"""How often a caller looks for a server before it gives up."""

TRIES_MAX: Final = 200
"""How often a write is sent before its caller gives up."""

TICK: Final = 50
"""Operations of a process between two signs of life."""

LOST_CODES: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)
"""How a call ends whose server is gone."""

STATUS_KEY: Final = "grpc-status-details-bin"
OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
)
"""A connection of its own, made again soon; nothing is sent twice unknown to the caller."""


@dataclass(frozen=True)
class Signals:
    """How the processes of a load know of each other.

    Attributes:
        ticks: Released with every `TICK` operations.
        calm: Released by each caller once it identifies what it must.
        may_end: Set when callers may end that have made their operations.
    """

    ticks: Semaphore
    calm: Semaphore
    may_end: Event


@dataclass(frozen=True)
class Part:
    """What one process does.

    Attributes:
        folder: Where the address is told, and the recordings lie.
        numbers: Of its callers.
        operations: Each caller makes at least so many.
        calm: The first so many of them may go without request ids.
    """

    folder: Path
    numbers: tuple[int, ...]
    operations: int
    calm: int
    seed: str


def address_file(folder: Path) -> Path:
    """Return the file that tells where the server listens at the moment."""
    return folder / "address"


def recording_file(folder: Path, number: int) -> Path:
    """Return the file of the process whose first caller has a number."""
    return folder / f"callers-{number}.pickle"


def run_part(part: Part, signals: Signals) -> None:
    """Make the calls of a process. Its entry."""
    with recording_file(part.folder, part.numbers[0]).open("wb") as file:
        asyncio.run(_run(part, signals, file))


async def _run(part: Part, signals: Signals, file: IO[bytes]) -> None:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count % TICK == 0:
            signals.ticks.release()

    async with asyncio.TaskGroup() as tasks:
        for number in part.numbers:
            tasks.create_task(_Caller(number, part, signals, file, tick).work())


class _Caller:
    """One caller."""

    def __init__(
        self, number: int, part: Part, signals: Signals, file: IO[bytes], tick: Callable[[], None]
    ) -> None:
        self._number = number
        self._part = part
        self._signals = signals
        self._file = file
        self._tick = tick
        self._mix = Mix(part.seed, number)
        self._channel: aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    async def work(self) -> None:
        """Make at least so many operations, and go on until all may end."""
        done = 0
        while done < self._part.operations or not self._signals.may_end.is_set():
            if done == self._part.calm:
                self._mix.is_calm = False
                self._signals.calm.release()
            await self._operate(*self._mix.next())
            self._tick()
            done += 1
        await self._leave()

    async def _operate(self, method: str, request: Request) -> None:
        """Make an operation; one that is lost and has an effect is sent until its outcome is known."""
        for _ in range(TRIES_MAX):
            is_known = await self._send(method, request)
            if is_known:
                return
            if method in WRITES and "request_id" not in request:
                # Whether it was applied is told by what the store holds.
                return
        msg = f"no answer in {TRIES_MAX} tries: {method} {request}"
        raise AssertionError(msg)

    async def _send(self, method: str, request: Request) -> bool:
        """Send an operation once, write down what came of it, and tell whether that is known."""
        call = await self._call(method)
        message = message_of(method, request).SerializeToString()
        begin_ns = time.monotonic_ns()
        try:
            answer: bytes = await call(message, timeout=CALL_S)
        except aio.AioRpcError as error:
            end_ns = time.monotonic_ns()
            return await self._note_error(method, request, begin_ns, end_ns, error)
        self._record(method, request, begin_ns, time.monotonic_ns(), answer, None, "")
        self._mix.note(method, request, answer_type(method).FromString(answer))
        return True

    async def _note_error(
        self, method: str, request: Request, begin_ns: int, end_ns: int, error: aio.AioRpcError
    ) -> bool:
        if error.code() in LOST_CODES:
            if method in WRITES:
                self._record(method, request, begin_ns, end_ns, None, None, error.code().name)
            await self._leave()
            return False
        details: dict[str, Any] = dict(error.trailing_metadata() or ())
        status = details.get(STATUS_KEY)
        assert isinstance(status, bytes), f"{method} {request}: {error}"
        self._record(method, request, begin_ns, end_ns, None, status, error.code().name)
        self._mix.note_refusal(request, status)
        return True

    def _record(self, method: str, request: Request, *rest: Any) -> None:
        pickle.dump((self._number, method, request, *rest), self._file, protocol=5)

    async def _call(self, method: str) -> Any:
        """Return what sends a method's bytes over the connection of this caller."""
        if self._channel is None:
            self._channel = await self._connect()
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(
                path_of(method), request_serializer=None, response_deserializer=None
            )
        return self._calls[method]

    async def _connect(self) -> aio.Channel:
        for _ in range(CONNECTS_MAX):
            channel = aio.insecure_channel(address_file(self._part.folder).read_text(), options=OPTIONS)
            try:
                await asyncio.wait_for(channel.channel_ready(), CONNECT_S)
            except TimeoutError:
                await channel.close(None)
            else:
                return channel
        msg = "no server"
        raise AssertionError(msg)

    async def _leave(self) -> None:
        """End the connection."""
        channel, self._channel, self._calls = self._channel, None, {}
        if channel is not None:
            await channel.close(None)
