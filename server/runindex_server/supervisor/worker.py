"""A worker as its supervisor sees it: a process that says when it serves, and ends."""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NoReturn

from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.supervisor.task import READY, WorkerTask

Work = Callable[[WorkerTask], int]
"""What a worker does, from its task to its exit code."""


class Worker:
    """A process that was forked.

    Attributes:
        pid: Its id.
    """

    def __init__(self, pid: int, told_fd: int) -> None:
        """Take a child of this process, and where it tells that it serves and, by closing, that it ends.

        Belongs to the running loop.
        """
        self.pid = pid
        self._told_fd = told_fd
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[bool] = self._loop.create_future()
        self._code: asyncio.Future[int] = self._loop.create_future()
        self._is_asked = False
        self._loop.add_reader(told_fd, self._on_told)

    @classmethod
    def fork(cls, work: Work, number: int, *, is_first: bool, life: tuple[int, int]) -> "Worker":
        """Start a process, in a session of its own: what a terminal sends reaches the supervisor alone.

        Args:
            work: What it does.
            number: The worker's.
            is_first: Whether nobody else has the store open.
            life: A pipe to which nobody writes, and whose second end only the supervisor keeps.

        Raises:
            OSError: The machine refuses.
        """
        told_fd, ready_fd = os.pipe()
        task = WorkerTask(worker=number, is_first=is_first, ready_fd=ready_fd, supervisor_fd=life[0])
        _flush()
        try:
            with _signals_held() as mask:
                pid = os.fork()
                if not pid:
                    _be(work, task, mask, (told_fd, life[1]))
        except OSError:
            os.close(told_fd)
            raise
        finally:
            # Later forks must not have it either.
            os.close(ready_fd)
        return cls(pid, told_fd)

    async def is_ready(self) -> bool:
        """Wait until it serves, or has ended, and tell which."""
        return await asyncio.shield(self._ready)

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code; of a signal, the number below 0."""
        return await asyncio.shield(self._code)

    def terminate(self) -> None:
        """Ask it to drain and end; again does nothing."""
        if not self._is_asked:
            self._is_asked = True
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, even if it is stopped."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if not self._code.done():  # Until then nobody else can have its id.
            os.kill(self.pid, number)

    def _on_told(self) -> None:
        if os.read(self._told_fd, len(READY)):
            self._ready.set_result(True)
            return
        self._loop.remove_reader(self._told_fd)
        os.close(self._told_fd)
        if not self._ready.done():
            self._ready.set_result(False)
        # The kernel closes a process's files when little else is left to do.
        _, status = os.waitpid(self.pid, 0)
        self._code.set_result(os.waitstatus_to_exitcode(status))


@contextmanager
def _signals_held() -> Iterator[Collection[int]]:
    """Hold signals back meanwhile, and give those that were before.

    Until a child has its own handlers, what is sent to it would wake the supervisor.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be(work: Work, task: WorkerTask, mask: Collection[int], supervisors: tuple[int, ...]) -> NoReturn:
    """Be a worker: all that is done in the child, which ends here.

    It never returns to what the supervisor was doing, and leaves alone what that has open, but for the ends
    of pipes that tell by closing.
    """
    code = EXIT_FATAL
    try:
        for fd in supervisors:
            os.close(fd)
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work(task)
    except BaseException:  # noqa: BLE001  # Nothing may get past.
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(code)


def _flush() -> None:
    """Write what is kept to be written: a fork would write it again, and an end at once never."""
    sys.stdout.flush()
    sys.stderr.flush()
