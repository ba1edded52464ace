"""Workers are made of processes in reserve, which wait, are taken while they live, and end with the rest."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from runindex_server.supervisor.launcher import ProcessLauncher
from runindex_server.supervisor.worker import Worker

SAYS_ITS_TASK = """
import os, sys
from runindex_server.supervisor.task import READY, WorkerTask
task = WorkerTask.of_line(sys.stdin.buffer.readline())
os.write(1, READY)
sys.stdin.buffer.read()
sys.exit(10 * task.worker + task.is_first)
"""


def with_launcher(
    use: Callable[[ProcessLauncher], Awaitable[None]], *command: str, inherited: tuple[int, ...] = ()
) -> None:
    async def run() -> None:
        launcher = ProcessLauncher(
            address="[::1]:50051", memory_fd=7, inherited=inherited, command=command or WAITING
        )
        try:
            await use(launcher)
        finally:
            await launcher.dismiss()

    asyncio.run(run())


WAITING = (sys.executable, "-c", SAYS_ITS_TASK)


async def code_of(worker: Worker) -> int:
    """Let a worker end with its supervisor, and return what it tells of its task by its exit code."""
    assert await worker.is_ready()
    assert worker._process.stdin is not None
    worker._process.stdin.close()
    return await worker.ended()


def waiting(launcher: ProcessLauncher) -> list[int]:
    return [worker.pid for worker in launcher._waiting]


def test_a_worker_is_a_process_that_waited() -> None:
    async def use(launcher: ProcessLauncher) -> None:
        await launcher.prepare(2)
        first, second = waiting(launcher)
        worker = await launcher.launch(3, is_first=True)

        assert (worker.pid, waiting(launcher)) == (first, [second])
        assert await code_of(worker) == 31

    with_launcher(use)


def test_with_none_in_reserve_a_worker_is_a_new_process() -> None:
    async def use(launcher: ProcessLauncher) -> None:
        assert await code_of(await launcher.launch(4, is_first=False)) == 40

    with_launcher(use)


def test_no_more_than_asked_for_wait() -> None:
    async def use(launcher: ProcessLauncher) -> None:
        await launcher.prepare(2)
        await launcher.prepare(1)
        await launcher.prepare(2)
        assert len(waiting(launcher)) == 2

    with_launcher(use)


def test_one_that_died_in_reserve_is_passed_over() -> None:
    async def use(launcher: ProcessLauncher) -> None:
        await launcher.prepare(2)
        dead, living = launcher._waiting
        dead.kill()
        await dead.ended()

        worker = await launcher.launch(1, is_first=False)
        assert worker.pid == living.pid
        assert await code_of(worker) == 10

    with_launcher(use)


def test_those_in_reserve_end_with_the_rest() -> None:
    async def use(launcher: ProcessLauncher) -> None:
        await launcher.prepare(2)
        pids = waiting(launcher)
        await launcher.dismiss()
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    with_launcher(use)


def test_a_machine_that_refuses_a_reserve_is_told_of() -> None:
    async def use(launcher: ProcessLauncher) -> None:
        with capture_logs() as told:
            await launcher.prepare(1)
        assert [(line["event"], line["log_level"]) for line in told] == [("no worker in reserve", "warning")]
        with pytest.raises(OSError, match="no-such-command"):
            await launcher.launch(1, is_first=False)

    with_launcher(use, "/no-such-command")
