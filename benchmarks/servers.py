"""Servers in processes of their own: RunIndex on a store, and the empty handler."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf.message import Message

from benchmarks import accounting
from benchmarks.wire import Connection
from runindex.v1 import maintenance_pb2 as maintenance
from runindex_server.access.caller import Role
from runindex_server.access.token_file import add_token
from runindex_server.access.tokens import new_token

M = TypeVar("M", bound=Message)

END_S: Final = 60.0
DRAIN_S_MAX: Final = 300.0
"""How long the background work that writes have caused may take."""

POLL_S: Final = 0.1


class ServerFailed(Exception):
    """A server did not start, or did not do its background work."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What runs code.

    Attributes:
        python: The interpreter, which has the libraries that the code imports.
        variables: Further ones for its processes, such that it imports the code; none for this code.
    """

    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)


OURS: Final = Environment()


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens on loopback.

    Attributes:
        port: Where.
        pid: The process that was started, and may have started others.
        token: What its callers send; empty where nobody is asked.
    """

    port: int
    pid: int
    token: str = ""

    @property
    def address(self) -> str:
        """Where it listens, as callers write it."""
        return f"127.0.0.1:{self.port}"

    def connect(self) -> Connection:
        """Return a new connection to it."""
        return Connection("127.0.0.1", self.port, token=self.token)

    def pids(self) -> list[int]:
        """Return the processes that it has now."""
        return accounting.family(self.pid)


@contextmanager
def serving(data_dir: Path, *flags: str, environment: Environment = OURS) -> Iterator[Server]:
    """Serve a store with the command, and its defaults.

    Args:
        data_dir: Where the store is.
        flags: Further ones of the command.
        environment: What runs it, for instance such that other code is served.
    """
    flags = ("serve", "--address", "127.0.0.1:0", "--data-dir", str(data_dir), "--log-level", "error", *flags)
    with _process("runindex_server", *flags, environment=environment) as server:
        yield server


@contextmanager
def serving_known(data_dir: Path, *, environment: Environment = OURS) -> Iterator[Server]:
    """Serve a store to callers who are known by a token, which each call then carries; else as `serving`."""
    token, text = new_token("benchmark", Role.ADMIN, now=datetime.now(UTC), expire_time=None)
    file = data_dir.with_name(f"{data_dir.name}-tokens.json")
    add_token(file, token)
    with serving(data_dir, "--tokens-file", str(file), environment=environment) as server:
        yield replace(server, token=text)


@contextmanager
def serving_without_jobs(data_dir: Path) -> Iterator[Server]:
    """Serve a store, and do none of the background work."""
    with _process("benchmarks.jobless_server", str(data_dir)) as server:
        yield server


@contextmanager
def serving_empty() -> Iterator[Server]:
    """Serve the empty handler."""
    with _process("benchmarks.empty_server") as server:
        yield server


@contextmanager
def _process(*command: str, environment: Environment = OURS) -> Iterator[Server]:
    """Run a module that says on which port it listens; end it afterwards."""
    # Whatever the settings of whoever measures are.
    own = {name: value for name, value in os.environ.items() if not name.startswith("RUNINDEX_")}
    with subprocess.Popen(
        [environment.python, "-u", "-m", *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**own, **environment.variables},
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            port = re.search(r"^(?:.* listens on \S+:)?(\d+)\b", said)
            if port is None:
                msg = f"{' '.join(command)} said {said!r}"
                raise ServerFailed(msg)
            yield Server(int(port[1]), process.pid)
        finally:
            process.terminate()
            process.wait(timeout=END_S)


def ask(connection: Connection, path: str, request: Message, kind: type[M]) -> M:
    """Make one call on a connection that has none under way, and return its answer."""
    stream = connection.call(path, request.SerializeToString())
    connection.flush()
    answers: list[tuple[int, bytes]] = []
    while not answers:
        answers = connection.receive()
        connection.flush()
    assert answers[0][0] == stream
    return kind.FromString(answers[0][1])


def status(connection: Connection) -> maintenance.GetStatusResponse:
    """Return what a server tells of its store, on a connection that has no call under way."""
    path = "/runindex.v1.Maintenance/GetStatus"
    return ask(connection, path, maintenance.GetStatusRequest(), maintenance.GetStatusResponse)


def status_of(server: Server) -> maintenance.GetStatusResponse:
    """Return the same on a connection of its own: one that is idle for long is closed."""
    with closing(server.connect()) as connection:
        return status(connection)


def drain(server: Server) -> float:
    """Wait until the background work that writes have caused is done; return what asking for it cost.

    Returns:
        The CPU time that the server used while it was asked, in seconds.

    Raises:
        ServerFailed: It takes too long.
    """
    pids, asking_s, end = server.pids(), 0.0, time.monotonic() + DRAIN_S_MAX
    while True:
        before_s = accounting.cpu_s(pids)
        backlog = status_of(server).backlog
        asking_s += accounting.cpu_s(pids) - before_s
        if not backlog.unmerged_changes and not backlog.erasing_runs:
            return asking_s
        if time.monotonic() > end:
            msg = f"after {DRAIN_S_MAX} s there still is {backlog}"
            raise ServerFailed(msg)
        time.sleep(POLL_S)
