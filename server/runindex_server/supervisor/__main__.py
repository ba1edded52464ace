"""What `runindex-server serve` becomes when it has several workers; its settings are in the environment."""

import asyncio
import os
import signal
import sys
from functools import partial

from runindex_server.clock import SystemClock
from runindex_server.exit_codes import EXIT_FATAL, EXIT_REFUSED
from runindex_server.greeting import greet
from runindex_server.kv.guard import StoreRefused, disk_errors_told
from runindex_server.kv.lock_file import LockFile, store_identity
from runindex_server.logs import configure_logs
from runindex_server.rpc.address import AddressInUse, is_loopback
from runindex_server.settings import Settings
from runindex_server.supervisor.launcher import ProcessLauncher
from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.port import OwnedPort
from runindex_server.supervisor.supervisor import Supervisor


def main() -> int:
    """Serve until a signal; return the exit code."""
    settings = Settings()
    os.umask(0o077)
    configure_logs(settings.log_level, settings.log_format)
    try:
        with disk_errors_told(settings.data_dir):
            lock = LockFile.take_directory(settings.data_dir)
        port = OwnedPort.take(settings.address)
    except (StoreRefused, AddressInUse) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    # Both end with the last process that has them: the lock outlives a supervisor that is killed.
    return asyncio.run(_supervise(settings, lock, port))


async def _supervise(settings: Settings, lock: LockFile, port: OwnedPort) -> int:
    memory = WorkerMemory.create()
    launcher = ProcessLauncher(
        address=port.address, memory_fd=memory.fileno(), inherited=(lock.fileno(), memory.fileno())
    )
    supervisor = Supervisor(
        launcher,
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


if __name__ == "__main__":
    sys.exit(main())
