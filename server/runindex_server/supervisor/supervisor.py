"""The supervisor: starts workers one after the other, starts again what dies, and ends them all together."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from runindex_server.clock import Clock
from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.logs import get_logger
from runindex_server.supervisor.backoff import Backoff
from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.watchdog import HOLD_US_MAX, LOOK_INTERVAL_US, Watchdog

START_S_MAX: Final = 60.0
"""How long a worker may take to start again. Another may be waiting for its turn."""

STOP_S: Final = 10.0
"""How much longer than their drain workers may take to end."""

_log: Final = get_logger(__name__)


class AnyWorker(Protocol):
    """What the supervisor needs of a `supervisor.worker.Worker`."""

    pid: int

    async def is_ready(self) -> bool:
        """Wait until it serves, or has ended, and tell which."""
        ...

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code; of a signal, the number below 0."""
        ...

    def terminate(self) -> None:
        """Ask it to drain and end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Launcher(Protocol):
    """What starts workers: a `supervisor.launcher.ForkingLauncher`."""

    def launch(self, number: int, *, is_first: bool) -> AnyWorker:
        """Start the worker of a number; the first finds the store open nowhere.

        Raises:
            OSError: The machine refuses.
        """
        ...


class Supervisor:
    """Keeps a number of workers going."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        workers: int,
        memory: WorkerMemory,
        store_identity: Callable[[], object],
        drain_s: float,
        clock: Clock,
    ) -> None:
        """Take what starts workers; `run` comes next.

        Args:
            launcher: Starts workers.
            workers: How many.
            memory: In which they note what they hold.
            store_identity: Returns what tells the store's files from others in their place.
            drain_s: How long calls under way may take when the workers stop.
            clock: The monotonic clock.
        """
        self._launcher = launcher
        self._count = workers
        self._memory = memory
        self._store_identity = store_identity
        self._drain_s = drain_s
        self._clock = clock
        self._workers: dict[int, AnyWorker] = {}
        # LMDB promises nothing for processes that open one file at the same moment.
        self._start_turn = asyncio.Lock()
        self._is_stopping = asyncio.Event()
        self._store: object = None
        self._code = 0

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._is_stopping.is_set()

    async def run(self, *, announce: Callable[[], None]) -> int:
        """Start the workers, keep them going until `stop`, and return the exit code.

        Args:
            announce: Called once all of them serve.

        Raises:
            ExceptionGroup: Something unexpected; the workers have ended.
        """
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            try:
                if await self._start_all():
                    announce()
                    for number in range(self._count):
                        tasks.create_task(self._keep(number))
                    await self._is_stopping.wait()
            finally:
                await self._end()
                watching.cancel()
        _log.info("stopped", code=self._code)
        return self._code

    def stop(self, code: int = 0) -> None:
        """Ask all workers to drain and end.

        Args:
            code: With which to exit then.
        """
        self._code = code
        self._is_stopping.set()
        for worker in self._workers.values():
            worker.terminate()

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self._workers.values():
            worker.kill()

    async def _start_all(self) -> bool:
        """Start the workers, and tell whether all of them serve; when one refuses, its exit code is ours."""
        for number in range(self._count):
            if not await self._start(number, is_first=number == 0):
                if not self._is_stopping.is_set():
                    code = await self._workers[number].ended()
                    self.stop(code if code >= 0 else 128 - code)
                return False
            if number == 0:
                self._store = self._store_identity()
        return True

    async def _start(self, number: int, *, is_first: bool = False) -> bool:
        """Start a worker, and tell whether it serves; one that does not has ended, or does so at once."""
        async with self._start_turn:
            if self._is_stopping.is_set():
                return False
            worker = self._workers[number] = self._launcher.launch(number, is_first=is_first)
            if self._is_stopping.is_set():
                worker.terminate()
            try:
                # The first may have a large store to migrate.
                is_ready = await asyncio.wait_for(worker.is_ready(), None if is_first else START_S_MAX)
            except TimeoutError:
                _log.error("worker killed", worker=number, reason="it did not start")
                worker.kill()
                return False
            if is_ready:
                _log.info("worker started", worker=number, pid=worker.pid)
            return is_ready and not self._is_stopping.is_set()

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it has ended, until the supervisor stops."""
        backoff = Backoff()
        life_us = await self._outlive(number)
        while not self._is_stopping.is_set():
            pause_s = backoff.pause_s(life_us=life_us)
            _log.info("worker starts again", worker=number, pause_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), pause_s)
            if self._stops_without_its_store():
                return
            try:
                await self._start(number)
            except OSError as error:
                _log.error("worker not started", worker=number, detail=str(error))
                life_us = 0
            else:
                life_us = await self._outlive(number)

    async def _outlive(self, number: int) -> int:
        """Wait until a worker has ended, and return how long that took, in microseconds."""
        worker, began_us = self._workers[number], self._clock.monotonic_us()
        code = await worker.ended()
        self._memory.clear(number)
        if not self._is_stopping.is_set():
            _log.error("worker ended", worker=number, pid=worker.pid, by=_end_text(code))
        return self._clock.monotonic_us() - began_us

    def _stops_without_its_store(self) -> bool:
        """Stop if the store's files are not those that the workers have open, and tell whether that is so.

        A worker that opened other files would not see the writers of these, nor they it.
        """
        if self._store is None or self._store_identity() == self._store:
            return False
        if not self._is_stopping.is_set():
            _log.critical("the store's files were replaced under the server; it stops")
            self.stop(EXIT_FATAL)
        return True

    async def _watch(self) -> None:
        """End workers that keep the others from writing, and all of them when the store's files are gone."""
        watchdog = Watchdog(self._memory.holding_since_us, workers=self._count, clock=self._clock)
        while True:
            await asyncio.sleep(LOOK_INTERVAL_US / 1_000_000)
            self._stops_without_its_store()
            for number in watchdog.look():
                reason = f"it held the write lock for {HOLD_US_MAX // 1_000_000} s"
                _log.error("worker killed", worker=number, reason=reason)
                self._workers[number].kill()

    async def _end(self) -> None:
        """Wait until all workers have ended, and end those at once that take too long."""
        # A start that is under way comes to its end first: from here on there is none.
        self._is_stopping.set()
        async with self._start_turn:
            ends = [asyncio.create_task(worker.ended()) for worker in self._workers.values()]
        for worker in self._workers.values():
            worker.terminate()
        if not ends:
            return
        _, late = await asyncio.wait(ends, timeout=self._drain_s + STOP_S)
        if late:
            _log.error("workers killed", count=len(late), reason="they did not stop")
            self.kill()
            await asyncio.wait(late)


def _end_text(code: int) -> str:
    """Return how a process ended: `exit code 70`, or `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
