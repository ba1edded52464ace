"""Starts workers, and keeps processes in reserve that have loaded all they need and wait for a task.

Loading takes most of a worker's start. So one that dies is replaced in the time that opening the store takes.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from runindex_server.logs import get_logger
from runindex_server.supervisor.task import WorkerTask
from runindex_server.supervisor.worker import COMMAND, Worker

_log: Final = get_logger(__name__)


class ProcessLauncher:
    """Starts workers as processes that share a port, a lock and a memory."""

    def __init__(
        self, *, address: str, memory_fd: int, inherited: Sequence[int], command: Sequence[str] = COMMAND
    ) -> None:
        """Take what all workers share.

        Args:
            address: Where they listen.
            memory_fd: The memory, a descriptor that they inherit.
            inherited: All descriptors that they inherit.
            command: What is started.
        """
        self._address = address
        self._memory_fd = memory_fd
        self._inherited = inherited
        self._command = command
        self._waiting: deque[Worker] = deque()

    async def prepare(self, count: int) -> None:
        """See to it that so many processes wait for a task, if the machine allows."""
        try:
            while len(self._waiting) < count:
                self._waiting.append(await self._start())
        except OSError as error:
            _log.warning("no worker in reserve", detail=str(error))

    async def launch(self, number: int, *, is_first: bool) -> Worker:
        """Let a process that waits, or a new one, be the worker of a number.

        Raises:
            OSError: The machine refuses a new one.
        """
        worker = await self._next()
        worker.give(
            WorkerTask(worker=number, address=self._address, memory_fd=self._memory_fd, is_first=is_first)
        )
        return worker

    async def dismiss(self) -> None:
        """End the processes that wait."""
        for worker in self._waiting:
            worker.kill()
        while self._waiting:
            await self._waiting.popleft().ended()

    async def _next(self) -> Worker:
        while self._waiting:
            worker = self._waiting.popleft()
            if worker.is_alive:
                return worker
        return await self._start()

    async def _start(self) -> Worker:
        return await Worker.start(inherited=self._inherited, command=self._command)
