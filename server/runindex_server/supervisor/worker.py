"""A worker as its supervisor sees it: a process that says when it serves, and ends."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from runindex_server.supervisor.task import READY, WorkerTask

# Not from the folder it is started in: that may be anybody's.
COMMAND: Final = (sys.executable, "-P", "-m", "runindex_server.cli.worker")


class Worker:
    """A process that was started.

    Attributes:
        pid: Its id.
    """

    def __init__(self, process: Process) -> None:
        """Take a process with pipes to its input and output."""
        self._process = process
        self._is_asked = False
        self.pid = process.pid

    @classmethod
    async def start(cls, *, inherited: Sequence[int], command: Sequence[str]) -> "Worker":
        """Start a process, which waits for its task.

        Args:
            inherited: Descriptors that it inherits.
            command: What is started, in a session of its own: what a terminal sends reaches the supervisor
                alone.
        """
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, pass_fds=inherited, start_new_session=True
        )
        return cls(process)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._process.returncode is None

    def give(self, task: WorkerTask) -> None:
        """Give it its task: once."""
        assert self._process.stdin is not None, "it has a pipe"
        self._process.stdin.write(task.line())

    async def is_ready(self) -> bool:
        """Wait until it serves, or has ended, and tell which."""
        assert self._process.stdout is not None, "it has a pipe"
        return await self._process.stdout.readline() == READY

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code; of a signal, the number below 0."""
        return await self._process.wait()

    def terminate(self) -> None:
        """Ask it to drain and end; again does nothing."""
        if not self._is_asked:
            self._is_asked = True
            with suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End it at once, even if it is stopped."""
        with suppress(ProcessLookupError):
            self._process.kill()
