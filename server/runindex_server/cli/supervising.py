"""A server of several workers: what the process does that starts them and keeps them going.

All that a worker needs is loaded here and nothing of it is begun: no thread, no store, nothing of gRPC's.
So a worker is a fork.
"""

import asyncio
import os
import signal
from functools import partial

from runindex_server.cli.exits import exit_with
from runindex_server.cli.faults import fault_text
from runindex_server.cli.worker import work
from runindex_server.clock import SystemClock
from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.greeting import greet
from runindex_server.kv.guard import StoreRefused, disk_errors_told
from runindex_server.kv.lock_file import LockFile, store_identity
from runindex_server.rpc.address import AddressInUse, is_loopback
from runindex_server.settings import Settings
from runindex_server.supervisor.launcher import ForkingLauncher
from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.port import OwnedPort
from runindex_server.supervisor.supervisor import Supervisor


def supervise(settings: Settings) -> int:
    """Serve by several workers until a signal; return the exit code."""
    try:
        with disk_errors_told(settings.data_dir):
            lock = LockFile.take_directory(settings.data_dir)
        port = OwnedPort.take(settings.address)
    except (StoreRefused, AddressInUse) as error:
        exit_with(fault_text(settings.data_dir, error))
    # Both end with the last process that has them: the lock outlives a supervisor that is killed.
    try:
        return asyncio.run(_supervise(settings, port))
    finally:
        port.close()
        lock.release()


async def _supervise(settings: Settings, port: OwnedPort) -> int:
    memory = WorkerMemory.create()
    supervisor = Supervisor(
        ForkingLauncher(partial(work, settings=settings, address=port.address, memory=memory)),
        workers=settings.workers,
        memory=memory,
        store_identity=partial(store_identity, settings.data_dir),
        drain_s=settings.drain_s,
        clock=SystemClock(),
    )

    def on_signal() -> None:
        if supervisor.is_stopping:  # A second signal does not wait for anything.
            supervisor.kill()
            os._exit(EXIT_FATAL)
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return await supervisor.run(
        announce=partial(greet, port.address, settings, is_remote=not is_loopback(settings.address))
    )
