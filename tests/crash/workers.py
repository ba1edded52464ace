"""A server of several processes, whose log is read while it is written."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from runindex_server.supervisor.memory import WorkerMemory
from tests.crash.ledger import OWN_CONNECTION
from tests.crash.process import MAP_BYTES, WAIT_S

CHANNELS: Final = 24
"""So many connections that two workers without one among them would be a wonder: one in eight million."""


class WorkersProcess:
    """`runindex-server serve --workers` on a data directory, on a free port.

    Attributes:
        pid: The supervisor's.
        target: Where the workers can be called.
    """

    def __init__(self, data_dir: Path, *arguments: str, workers: int = 2) -> None:
        """Start it, and wait until it says where it listens."""
        command = [sys.executable, "-m", "runindex_server", "serve", "--address", "127.0.0.1:0"]
        options = ["--data-dir", str(data_dir), "--map-bytes", str(MAP_BYTES), "--workers", str(workers)]
        self._process = subprocess.Popen(
            [*command, *options, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self._lines: list[dict[str, Any]] = []
        self._has_lines = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        assert self._process.stdout is not None
        found = re.search(r"listens on (127\.0\.0\.1:\d+)", self._process.stdout.readline())
        if found is None:
            self.close()
            msg = f"the server did not start: {self._lines}"
            raise AssertionError(msg)
        self.target = found.group(1)

    def logged(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the lines of the log with an event and some fields."""
        wanted = {"event": event, **fields}.items()
        return [line for line in self._lines if wanted <= line.items()]

    def wait_for(self, event: str, *, times: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until something was logged so many times, and return the last of these lines."""
        with self._has_lines:
            is_there = self._has_lines.wait_for(lambda: len(self.logged(event, **fields)) >= times, WAIT_S)
        assert is_there, f"no {event} {fields} in {self._lines}"
        return self.logged(event, **fields)[times - 1]

    def worker(self, number: int, *, start: int = 1) -> int:
        """Return the process of a worker, once it was started so many times."""
        pid: int = self.wait_for("worker started", times=start, worker=number)["pid"]
        return pid

    def memory(self) -> WorkerMemory:
        """Return the memory that the supervisor shares with its workers."""
        folder = Path(f"/proc/{self.pid}/fd")
        path = next(fd for fd in folder.iterdir() if "runindex-workers" in str(fd.readlink()))
        return WorkerMemory(os.open(path, os.O_RDWR))

    def kill(self) -> None:
        """End the supervisor as the kernel would."""
        self._process.kill()
        self._process.wait(WAIT_S)

    def terminate(self) -> None:
        """Ask the supervisor to stop."""
        self._process.terminate()

    def exit_code(self) -> int:
        """Wait for the end of all processes, and return how the supervisor ended."""
        code = self._process.wait(WAIT_S)
        # Each of them could log to the end.
        self._reader.join(WAIT_S)
        assert not self._reader.is_alive(), "a worker goes on"
        return code

    def close(self) -> None:
        """See to it that all of it is gone."""
        self._process.kill()
        self._process.wait(WAIT_S)
        for line in self.logged("worker started"):
            with_pid = Path(f"/proc/{line['pid']}/cmdline")
            if with_pid.exists() and b"runindex_server" in with_pid.read_bytes():
                os.kill(line["pid"], signal.SIGKILL)
        self._reader.join(WAIT_S)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._has_lines:
                self._lines.append(json.loads(line) if line.startswith("{") else {"event": line.rstrip()})
                self._has_lines.notify_all()


@contextmanager
def serving_workers(data_dir: Path, *arguments: str, workers: int = 2) -> Iterator[WorkersProcess]:
    """Return a server of several processes that are all gone afterwards, whatever happens."""
    server = WorkersProcess(data_dir, *arguments, workers=workers)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def connections(target: str, count: int = CHANNELS) -> Iterator[list[grpc.Channel]]:
    """Return channels, each with a connection of its own, made when it is first used."""
    channels = [grpc.insecure_channel(target, options=OWN_CONNECTION) for _ in range(count)]
    try:
        yield channels
    finally:
        for channel in channels:
            channel.close()


def connected(pid: int, target: str) -> int:
    """Return how many connections to an address a process has accepted."""
    port = int(target.rpartition(":")[2])
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    sockets = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    # Local address, state (1: established), inode.
    return sum(
        row[1].endswith(f":{port:04X}") and row[3] == "01" and f"socket:[{row[9]}]" in inodes
        for row in sockets
    )
