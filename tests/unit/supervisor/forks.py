"""A process that forks workers, for the tests of workers: theirs has threads, and could not.

`python -m tests.unit.supervisor.forks SCENARIO` prints what came of a scenario as JSON.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

import runindex_server.cli.supervising  # noqa: F401  # Loads all that a server is forked with.
from runindex_server.rpc import server
from runindex_server.supervisor.launcher import ForkingLauncher
from runindex_server.supervisor.task import WorkerTask
from runindex_server.supervisor.worker import Worker


def obedient(task: WorkerTask) -> int:
    """Serve until the supervisor is gone, and tell of the task and the session by the exit code."""
    task.say_ready()
    os.read(task.supervisor_fd, 1)
    return 10 * task.worker + 2 * task.is_first + (os.getsid(0) == os.getpid())


def deaf(task: WorkerTask) -> int:
    """Serve, and do not hear that it is to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    task.say_ready()
    signal.pause()
    return 0


def interrupted(task: WorkerTask) -> int:
    """Be sent what a terminal sends, before there is anything to hear it."""
    os.kill(os.getpid(), signal.SIGINT)
    return task.worker


def refusing(_: WorkerTask) -> int:
    """Do not serve."""
    return 3


def failing(_: WorkerTask) -> int:
    """Break."""
    raise LookupError


def telling_an_id(task: WorkerTask) -> int:
    """Print what a server makes ids of."""
    _say(server.new_run_id())
    return task.worker


async def terminated() -> Any:
    """Ask a worker to end, twice."""
    worker = ForkingLauncher(obedient).launch(3, is_first=False)
    is_ready = await worker.is_ready()
    worker.terminate()
    worker.terminate()
    return is_ready, await worker.ended(), await worker.ended()


async def killed() -> Any:
    """Kill a worker that does not listen, and once more."""
    worker = ForkingLauncher(deaf).launch(3, is_first=False)
    is_ready = await worker.is_ready()
    worker.terminate()
    worker.kill()
    code = await worker.ended()
    worker.kill()
    return is_ready, code


async def given_up() -> Any:
    """Let workers lose their supervisor."""
    launcher = ForkingLauncher(obedient)
    workers = [launcher.launch(number, is_first=number == 0) for number in range(3)]
    ready = [await worker.is_ready() for worker in workers]
    os.close(launcher._life[1])
    return ready, [await worker.ended() for worker in workers]


async def orphaned() -> Any:
    """Say which workers serve, and wait to be killed."""
    launcher = ForkingLauncher(obedient)
    workers = [launcher.launch(number, is_first=False) for number in range(3)]
    for worker in workers:
        await worker.is_ready()
    _say([worker.pid for worker in workers])
    await asyncio.Event().wait()


async def refused() -> Any:
    """Start workers that do not serve."""
    return [await _outcome(ForkingLauncher(work).launch(0, is_first=True)) for work in (refusing, failing)]


async def not_woken() -> Any:
    """Start a worker that is sent a signal for which the supervisor has a handler."""
    heard: list[int] = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, heard.append, 1)
    outcome = await _outcome(ForkingLauncher(interrupted).launch(5, is_first=False))
    return outcome, heard


async def not_forked() -> Any:
    """Try to start a worker on a machine that refuses, and tell what stays open."""
    launcher = ForkingLauncher(obedient)
    before = _count("fd")
    with mock.patch("os.fork", side_effect=BlockingIOError):
        try:
            launcher.launch(0, is_first=True)
        except OSError as error:
            return type(error).__name__, _count("fd") - before
    return None


async def ended_and_started() -> Any:
    """Start one worker after the other, and tell what stays open."""
    launcher = ForkingLauncher(refusing)
    await _outcome(launcher.launch(0, is_first=True))
    before = _count("fd")
    for _ in range(5):
        await _outcome(launcher.launch(0, is_first=False))
    return _count("fd") - before


async def of_ids() -> Any:
    """Let forks of what has loaded a server make ids."""
    launcher = ForkingLauncher(telling_an_id)
    threads = _count("task")
    return threads, [(await _outcome(launcher.launch(number, is_first=False)))[1] for number in range(4)]


def _say(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what, default=str)}\n")
    sys.stdout.flush()


async def _outcome(worker: Worker) -> tuple[bool, int]:
    return await worker.is_ready(), await worker.ended()


def _count(what: str) -> int:
    """Return how many threads (`task`) or open files (`fd`) this process has."""
    return len(list(Path(f"/proc/self/{what}").iterdir()))


SCENARIOS: Final[dict[str, Callable[[], Awaitable[Any]]]] = {
    scenario.__name__: scenario
    for scenario in (
        terminated,
        killed,
        given_up,
        orphaned,
        refused,
        not_woken,
        not_forked,
        ended_and_started,
        of_ids,
    )
}


async def _run(name: str) -> None:
    _say(await SCENARIOS[name]())


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
