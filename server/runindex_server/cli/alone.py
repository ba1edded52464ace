"""A server of one process."""

import asyncio
import os
import signal
from collections.abc import Callable

import uvloop

from runindex_server.cli.exits import exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.serving import FAULTS, Part, Stopping, serve_until_asked
from runindex_server.clock import SystemClock
from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.greeting import greet
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.rpc.address import is_loopback
from runindex_server.rpc.server import Server
from runindex_server.runs.bootstrap import initialise
from runindex_server.settings import Settings


def serve_alone(settings: Settings) -> int:
    """Serve until a signal or a fatal fault; return the exit code."""
    try:
        return uvloop.run(_serve(settings))
    except FAULTS as error:
        exit_with(fault_text(settings.data_dir, error))


async def _serve(settings: Settings) -> int:
    stopping = Stopping()

    def open_store(on_fatal: Callable[[], None]) -> LmdbStore:
        return open_lmdb(
            settings.data_dir,
            clock=SystemClock(),
            map_bytes=settings.map_bytes,
            initialise=initialise,
            on_fatal=on_fatal,
        )

    def on_signal() -> None:
        if stopping.is_asked:  # A second signal does not wait for anything.
            os._exit(EXIT_FATAL)
        stopping.ask()

    def on_ready(server: Server) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        greet(server.address, settings, is_remote=not is_loopback(settings.address))

    return await serve_until_asked(open_store, settings, Part(address=settings.address), stopping, on_ready)
