"""One of several processes that serve a store: forked by the supervisor, never started by hand.

It says that it serves, and drains when it is told to or when the supervisor is gone.
"""

import asyncio
import signal
import sys
from collections.abc import Callable

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
from runindex_server.supervisor.task import WorkerTask


def work(task: WorkerTask, *, settings: Settings, address: str, memory: WorkerMemory) -> int:
    """Serve as one of several; return the exit code.

    Args:
        task: What the supervisor asks.
        settings: The server's.
        address: Where all of them listen.
        memory: What they share with the supervisor.
    """
    configure_logs(settings.log_level, settings.log_format, worker=task.worker)
    try:
        return uvloop.run(_serve(task, settings, address, memory))
    except FAULTS as error:
        sys.stderr.write(f"{fault_text(settings.data_dir, error)}\n")
        return EXIT_REFUSED


async def _serve(task: WorkerTask, settings: Settings, address: str, memory: WorkerMemory) -> int:
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
        task.say_ready()

    def on_supervisor_gone() -> None:
        loop.remove_reader(task.supervisor_fd)
        stopping.ask()

    loop.add_reader(task.supervisor_fd, on_supervisor_gone)
    return await serve_until_asked(open_store, settings, part_of(task, address, memory), stopping, on_ready)


def part_of(task: WorkerTask, address: str, memory: WorkerMemory) -> Part:
    """Return what a worker does of all that the server does."""
    return Part(
        address=address,
        worker=task.worker,
        migrates=task.is_first,
        runs_jobs=task.worker == 0,
        shares_port=True,
        board=Board(memory.board),
    )
