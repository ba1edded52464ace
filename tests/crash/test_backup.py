"""Kill -9 while a backup is taken: the command leaves no half backup, and the server nothing of its copy."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex_server.cli.exits import EXIT_REFUSED
from tests.crash.process import ServerProcess, check_data_dir, serving
from tests.crash.steps import STEPS_MAX, run_until

VALUES: Final = 80
VALUE_BYTES: Final = 250_000
"""Twenty megabytes together: more than gRPC holds on the way, so that a server that is gone is missed."""

MIDDLE: Final = 9
"""A step at which some chunks have come, and more are to come."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "backups"
    path.mkdir()
    return path


@pytest.fixture
def server(data_dir: Path) -> Iterator[ServerProcess]:
    """Return a server over a new store."""
    with serving(data_dir) as server:
        yield server


@pytest.fixture
def large_server(server: ServerProcess) -> ServerProcess:
    """Return a server whose store is large."""
    with grpc.insecure_channel(server.target) as channel:
        data = RunDataStub(channel)
        for number in range(VALUES):
            value = data_pb.DataValue(binary=os.urandom(VALUE_BYTES))
            data.PutValue(data_pb.PutValueRequest(run_id="default", key=f"{number}", value=value))
    return server


def backup(file: Path, server: ServerProcess) -> list[str]:
    """Return the command that takes a backup."""
    return ["backup", str(file), "--address", server.target]


def check_backup(file: Path) -> None:
    """Check that a backup is whole and sound, and that nothing is beside it."""
    assert names(file.parent) == [file.name]
    assert run_until(["verify", "--file", str(file)], STEPS_MAX) == 0


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_a_command_that_is_killed_leaves_no_half_backup(server: ServerProcess, folder: Path) -> None:
    unfinished = complete = 0
    for step in range(1, STEPS_MAX):
        file = folder / f"{step}" / "one"
        file.parent.mkdir()
        code = run_until(backup(file, server), step)
        assert code in {0, -signal.SIGKILL}
        if file.exists():
            complete += 1
        else:
            unfinished += 1
            assert names(file.parent) == ["one.partial"]
            # It is written over.
            assert run_until(backup(file, server), STEPS_MAX) == 0
        check_backup(file)
        if code == 0:
            break
    else:
        pytest.fail("it has too many steps")
    # It was killed on both sides of the moment that counts.
    assert unfinished > 4
    assert complete > 2


def test_a_command_that_is_killed_in_the_middle_leaves_no_half_backup(
    large_server: ServerProcess, folder: Path
) -> None:
    assert run_until(backup(folder / "one", large_server), MIDDLE) == -signal.SIGKILL
    assert names(folder) == ["one.partial"]
    assert (folder / "one.partial").stat().st_size < VALUES * VALUE_BYTES

    assert run_until(backup(folder / "one", large_server), STEPS_MAX) == 0
    check_backup(folder / "one")


def test_a_server_that_is_killed_leaves_nothing_of_its_copy(
    large_server: ServerProcess, data_dir: Path, folder: Path
) -> None:
    victim = large_server._process.pid
    code = run_until(backup(folder / "one", large_server), MIDDLE, victim=victim)

    assert (code, names(folder)) == (EXIT_REFUSED, [])
    large_server.stop()
    assert names(data_dir / "store") == ["data.mdb", "lock.mdb"]
    asyncio.run(check_data_dir(data_dir))
    with serving(data_dir) as again:
        assert run_until(backup(folder / "one", again), STEPS_MAX) == 0
    check_backup(folder / "one")
