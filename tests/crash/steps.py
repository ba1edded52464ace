"""A command in a process that kills itself at one of its steps: before or after it touches the disk."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

WAIT_S: Final = 60.0
STEPS_MAX: Final = 200
"""More than any command has."""

_CALLS: Final = ("fsync", "ftruncate", "mkdir", "rename", "replace", "rmdir", "unlink")
"""What of `os` touches the disk, but for plain reading and writing."""

_FORKING: Final = multiprocessing.get_context("forkserver")


def run_until(arguments: list[str], step: int, *, victim: int | None = None) -> int:
    """Run `runindex-server` in a process that is killed at a step.

    Args:
        arguments: Of the command.
        step: Counted from 1: odd ones are before, even ones after what touches the disk.
        victim: The process that is killed instead; this one then goes on.

    Returns:
        The exit code; `-SIGKILL` when it came to the step.
    """
    _FORKING.set_forkserver_preload(["runindex_server.cli"])
    process = _FORKING.Process(target=_run, args=(arguments, step, victim))
    process.start()
    process.join(WAIT_S)
    assert process.exitcode is not None, "the command hangs"
    code = process.exitcode
    process.close()
    return code


def _run(arguments: list[str], step: int, victim: int | None) -> None:
    # Not before: what is loaded here is loaded into the tests, too.
    from runindex_server.cli.app import app  # noqa: PLC0415
    from runindex_server.cli.progress import _Lines  # noqa: PLC0415
    from runindex_server.kv.lmdb_environment import LmdbEnvironment  # noqa: PLC0415
    from tests.support.loading import load_commands  # noqa: PLC0415

    # Nor later: steps are those of the command, and not of loading it.
    load_commands()
    counted = _Counted(step, os.getpid() if victim is None else victim)
    for name in _CALLS:
        setattr(os, name, counted.around(getattr(os, name)))
    for name in ("write", "write_together", "copy_to"):
        setattr(LmdbEnvironment, name, counted.around(getattr(LmdbEnvironment, name)))
    # Of what comes through the network.
    _Lines.tell = counted.around(_Lines.tell)  # type: ignore[method-assign]  # As above.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    app(arguments)
    sys.exit(0)


class _Counted:
    """Counts what touches the disk, and ends a process at one count as the kernel would."""

    def __init__(self, step: int, victim: int) -> None:
        self._left = step
        self._victim = victim

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._count()
            result = function(*arguments, **options)
            self._count()
            return result

        return call

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(self._victim, signal.SIGKILL)
