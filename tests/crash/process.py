"""A server in a process of its own, as an operator starts it, so that it can be killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runindex_server.clock import SystemClock
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.runs.bootstrap import initialise
from tests.support.consistency import check_store

WAIT_S: Final = 30.0
MAP_BYTES: Final = 256 * 1024 * 1024


class ServerProcess:
    """`runindex-server serve` on a data directory, on a free port.

    Attributes:
        pid: Of its process.
        target: Where it can be called.
    """

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        """Start it, and wait until it says where it listens."""
        command = [sys.executable, "-m", "runindex_server", "serve", "--address", "127.0.0.1:0"]
        options = ["--data-dir", str(data_dir), "--map-bytes", str(MAP_BYTES), "--log-level", "warning"]
        self._log = (data_dir.parent / f"{data_dir.name}.log").open("a+")
        self._process = subprocess.Popen(
            [*command, *options, *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            found = re.search(r"listens on (127\.0\.0\.1:\d+)", line)
            if found:
                self.target = found.group(1)
                return
        msg = f"the server did not start: {said} {self.logged()}"
        self.close()
        raise AssertionError(msg)

    def logged(self) -> str:
        """Return what it logged."""
        self._log.seek(0)
        return self._log.read()

    def kill(self) -> None:
        """End it as the kernel would, between any two instructions."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(WAIT_S)

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait for its end and return how it ended."""
        return self._process.wait(WAIT_S)

    def stop(self) -> None:
        """See to it that it is gone."""
        if self._process.poll() is None:
            self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def close(self) -> None:
        """Stop it and close what belongs to it."""
        self.stop()
        self._log.close()


@contextmanager
def serving(data_dir: Path, *arguments: str) -> Iterator[ServerProcess]:
    """Return a server that is gone afterwards, whatever happens."""
    server = ServerProcess(data_dir, *arguments)
    try:
        yield server
    finally:
        server.close()


async def check_data_dir(data_dir: Path) -> None:
    """Check the store of a data directory that no server has open.

    Raises:
        AssertionError: Something in it does not follow from the records.
    """
    store = open_lmdb(
        data_dir,
        clock=SystemClock(),
        map_bytes=MAP_BYTES,
        initialise=initialise,
        on_fatal=lambda: None,
    )
    try:
        await check_store(store)
    finally:
        await store.close()
