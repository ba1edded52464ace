"""Workers as processes: their task, their first word, their end; and what the supervisor does not load."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runindex_server.supervisor.task import WorkerTask
from runindex_server.supervisor.worker import Worker

T = TypeVar("T")

TASK = WorkerTask(worker=3, address="[::1]:50051", memory_fd=7, is_first=False)

OBEDIENT = """
import os, sys
from runindex_server.supervisor.task import READY, WorkerTask
task = WorkerTask.of_line(sys.stdin.buffer.readline())
os.write(1, READY)
# Until the supervisor is gone.
sys.stdin.buffer.read()
sys.exit(task.worker + (os.getsid(0) == os.getpid()))
"""
DEAF = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.write(1, b"ready\\n")
signal.pause()
"""
REFUSING = "import sys; sys.exit(70)"


def with_worker(source: str, use: Callable[[Worker], Awaitable[T]]) -> T:
    async def run() -> T:
        worker = await Worker.start(inherited=(), command=(sys.executable, "-c", source))
        worker.give(TASK)
        try:
            return await use(worker)
        finally:
            worker.kill()
            await worker.ended()

    return asyncio.run(run())


def test_a_task_is_a_line() -> None:
    assert TASK.line().count(b"\n") == 1
    assert WorkerTask.of_line(TASK.line()) == TASK


def test_a_worker_serves_until_it_is_asked_to_end() -> None:
    async def use(worker: Worker) -> tuple[bool, int]:
        is_ready = await worker.is_ready()
        worker.terminate()
        worker.terminate()
        return is_ready, await worker.ended()

    assert with_worker(OBEDIENT, use) == (True, -signal.SIGTERM)


def test_a_worker_ends_with_its_supervisor_and_has_a_session_of_its_own() -> None:
    async def use(worker: Worker) -> int:
        await worker.is_ready()
        assert worker._process.stdin is not None
        worker._process.stdin.close()
        return await worker.ended()

    assert with_worker(OBEDIENT, use) == TASK.worker + 1


def test_a_worker_that_refuses_is_never_ready() -> None:
    async def use(worker: Worker) -> tuple[bool, int]:
        return await worker.is_ready(), await worker.ended()

    assert with_worker(REFUSING, use) == (False, 70)


def test_a_worker_that_does_not_listen_is_killed() -> None:
    async def use(worker: Worker) -> int:
        assert await worker.is_ready()
        worker.terminate()
        worker.kill()
        code = await worker.ended()
        worker.kill()
        return code

    assert with_worker(DEAF, use) == -signal.SIGKILL


def test_the_supervisor_loads_neither_grpc_nor_lmdb() -> None:
    source = "import sys, runindex_server.supervisor.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()

    assert not {"grpc", "lmdb", "google", "uvloop", "typer"} & {name.partition(".")[0] for name in loaded}
