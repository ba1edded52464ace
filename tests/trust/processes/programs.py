"""Commands of the server in processes of their own that have loaded everything before they begin.

Loading takes a hundred times as long as being refused, and comes between two that are to start together.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

from tests.support.loading import COMMAND_MODULES
from tests.trust.processes.commands import LISTENS, PATIENCE_S, Ended

LOOK_S: Final = 0.01

_FORKING: Final = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class _Order:
    """What a process is to do; see `programs`."""

    arguments: tuple[str, ...]
    log: Path
    folder: Path | None
    plant: Callable[[], None]
    barrier: Barrier


def nothing() -> None:
    """Plant no fault."""


class Program:
    """`runindex-server` with some arguments, which begins when all begin that belong together.

    Attributes:
        target: Where it can be called, once it serves.
    """

    def __init__(self, order: "_Order") -> None:
        """Start its process."""
        order.log.touch()
        self._log = order.log
        self._process = _FORKING.Process(target=_run, args=(order,))
        self._process.start()
        self.target = ""

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def serves(self) -> bool:
        """Wait until it serves, or has ended, and tell which."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            has_ended = not self._process.is_alive()
            if found := LISTENS.search(self.said):
                self.target = found.group(1)
                return True
            if has_ended:
                return False
            assert time.monotonic() < deadline, "it neither serves nor ends"
            self._process.join(LOOK_S)

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.exitcode

    def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join(PATIENCE_S)
        self._process.close()


@contextmanager
def programs(
    arguments: Sequence[Sequence[str]],
    logs: Path,
    *,
    folder: Path | None = None,
    plant: Callable[[], None] = nothing,
) -> Iterator[list[Program]]:
    """Return programs that begin at the same instant; they are gone afterwards.

    Args:
        arguments: Of each.
        logs: Where what they print goes, in files.
        folder: Where they run.
        plant: Plants a fault into each.
    """
    _FORKING.set_forkserver_preload(list(COMMAND_MODULES))
    barrier = _FORKING.Barrier(len(arguments))
    logs.mkdir(exist_ok=True)
    started: list[Program] = []
    try:
        for one in arguments:
            log = logs / f"{len(list(logs.iterdir()))}.log"
            started.append(Program(_Order(tuple(one), log, folder, plant, barrier)))
        yield started
    finally:
        for program in started:
            program.close()


def ended(arguments: Sequence[str], logs: Path, *, folder: Path | None = None) -> Ended:
    """Run a program that has to end by itself, and return how it did; one that serves has no exit code.

    Args:
        arguments: Of it.
        logs: As for `programs`.
        folder: As for `programs`.
    """
    with programs([arguments], logs, folder=folder) as [program]:
        program.serves()
        return Ended(program.code, program.said)


def _run(order: _Order) -> None:
    # Not before: what is loaded here is loaded into the tests, too.
    from runindex_server.cli.app import app  # noqa: PLC0415

    output = os.open(order.log, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    if order.folder is not None:
        os.chdir(order.folder)
    order.plant()
    order.barrier.wait(PATIENCE_S)
    sys.argv[1:] = order.arguments
    app(order.arguments)
