"""One of several processes that serve a store: started by the supervisor, never by hand.

It takes its task from standard input, says on standard output that it serves, and drains when it is told to
or when the supervisor is gone.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import uvloop

from runindex_server.cli.faults import fault_text
from runindex_server.cli.serving import FAULTS, Part, Stopping, serve_until_asked
from runindex_server.clock import SystemClock
from runindex_server.exit_codes import EXIT_REFUSED
from runindex_server.jobs.retention.board import Board
from runindex_server.kv.lmdb_store import LmdbStore, join_lmdb, open_held_lmdb
from runindex_server.logs import configure_logs
from runindex_server.rpc.server import Server
from runindex_server.runs.bootstrap import initialise
from runindex_server.settings import Settings
from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.task import READY, WorkerTask


def main() -> int:
    """Serve; return the exit code."""
    report = _take_output()
    line = sys.stdin.buffer.readline()
    if not line:  # The supervisor is gone already.
        return 0
    task = WorkerTask.of_line(line)
    settings = Settings()
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format, worker=task.worker)
    try:
        return uvloop.run(_serve(task, settings, report))
    except FAULTS as error:
        sys.stderr.write(f"{fault_text(settings.data_dir, error)}\n")
        return EXIT_REFUSED


def _take_output() -> int:
    """Return a descriptor of standard output, and let whatever is printed go where the log goes."""
    report = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return report


async def _serve(task: WorkerTask, settings: Settings, report: int) -> int:
    memory = WorkerMemory(task.memory_fd)
    loop, stopping = asyncio.get_running_loop(), Stopping()

    def open_store(on_fatal: Callable[[], None]) -> LmdbStore:
        clock = SystemClock()
        map_bytes, watch = settings.map_bytes, memory.slot(task.worker, clock)
        if task.is_first:
            return open_held_lmdb(
                settings.data_dir,
                clock=clock,
                map_bytes=map_bytes,
                initialise=initialise,
                on_fatal=on_fatal,
                watch=watch,
            )
        return join_lmdb(settings.data_dir, clock=clock, map_bytes=map_bytes, on_fatal=on_fatal, watch=watch)

    def on_ready(_: Server) -> None:
        # The supervisor may forward what everybody was sent; whoever does not want to wait kills.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.ask)
        with suppress(BrokenPipeError):  # The supervisor is gone, which is learnt soon.
            os.write(report, READY)

    def on_input() -> None:
        # Nothing more is ever written there: it has ended, and the supervisor with it.
        loop.remove_reader(sys.stdin.fileno())
        stopping.ask()

    loop.add_reader(sys.stdin.fileno(), on_input)
    return await serve_until_asked(open_store, settings, part_of(task, memory), stopping, on_ready)


def part_of(task: WorkerTask, memory: WorkerMemory) -> Part:
    """Return what a worker does of all that the server does."""
    return Part(
        address=task.address,
        worker=task.worker,
        migrates=task.is_first,
        runs_jobs=task.worker == 0,
        shares_port=True,
        board=Board(memory.board),
    )


if __name__ == "__main__":
    sys.exit(main())
