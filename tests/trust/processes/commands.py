"""Commands of the server in processes of their own, which may be refused, and what a data directory holds."""

import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.ledger import OWN_CONNECTION
from tests.crash.process import MAP_BYTES, WAIT_S

PYTHON: Final = (sys.executable, "-m", "runindex_server")
PATIENCE_S: Final = 120.0
"""How long a command may take, with its start, on a machine that does much else."""

LISTENS: Final = re.compile(r"listens on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; None when it did not end.
        said: All that it printed, to either place.
    """

    code: int | None
    said: str


def run_to_end(*arguments: str, before: Sequence[str] = ()) -> Ended:
    """Run a command that has to end by itself, and return how it did.

    Args:
        arguments: Of `runindex-server`.
        before: A program, with its arguments, that runs it.
    """
    process = subprocess.run(
        [*before, *PYTHON, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(process.returncode, process.stdout)


def serve_arguments(data_dir: Path | str, *, address: str = "127.0.0.1:0", workers: int = 1) -> list[str]:
    """Return the arguments of a server on a data directory."""
    options = ["--data-dir", str(data_dir), "--map-bytes", str(MAP_BYTES), "--workers", str(workers)]
    return ["serve", "--address", address, *options]


def contents(data_dir: Path) -> dict[str, str]:
    """Return the files of a data directory, each with what tells whether it was changed or replaced.

    Of the engine's own lock file only which it is: readers use it all the time.
    """
    found = {}
    for path in sorted(data_dir.rglob("*")):
        status = path.stat()
        digest = ""
        if path.is_file() and path.name != "lock.mdb":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(data_dir))] = f"{status.st_ino} {oct(status.st_mode)} {digest}"
    return found


def wait_until_idle(channel: grpc.Channel) -> None:
    """Wait until no background job of a server has anything left to write."""
    stub = MaintenanceStub(channel)
    deadline = time.monotonic() + WAIT_S
    while True:
        backlog = stub.GetStatus(maintenance_pb2.GetStatusRequest(), timeout=WAIT_S).backlog
        if not any(getattr(backlog, field.name) for field in backlog.DESCRIPTOR.fields):
            return
        assert time.monotonic() < deadline, f"it never comes to rest: {backlog}"


def check_serves(target: str) -> None:
    """Check that a server answers, writes, reads what it wrote, and says that it is well."""
    with own_channel(target) as channel:
        stub = RunIndexStub(channel)
        created = stub.CreateRun(pb.CreateRunRequest(), timeout=WAIT_S).run
        assert stub.GetRun(pb.GetRunRequest(run_id=created.run_id), timeout=WAIT_S).run == created
        assert health(channel) == health_pb2.HealthCheckResponse.SERVING
        wait_until_idle(channel)


def health(channel: grpc.Channel) -> int:
    """Return what a server says of its health."""
    stub = health_pb2_grpc.HealthStub(channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S).status
    return status


def own_channel(target: str, *more: tuple[str, Any]) -> grpc.Channel:
    """Return a channel that shares its connection with no other."""
    return grpc.insecure_channel(target, options=[*OWN_CONNECTION, *more])
