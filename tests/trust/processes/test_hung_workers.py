"""Workers that hang, wherever they are stopped: others go on, and nothing that was acknowledged is lost.

Only who holds the write lock keeps others from writing, and is killed for it; whoever reads, or does nothing,
is left alone, and goes on when it is let to.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from unittest import mock

import grpc
import pytest

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.kv.lmdb_environment import READERS_MAX
from runindex_server.supervisor.watchdog import HOLD_US_MAX
from tests.crash.ledger import writing
from tests.crash.process import WAIT_S, check_data_dir, serving
from tests.crash.workers import WorkersProcess, serving_workers
from tests.support.tally import Tally
from tests.trust.processes.commands import own_channel

FAULTY: Final = Path(__file__).with_name("faulty")
CLIENTS: Final = 6
CONNECTIONS: Final = 12
"""So many that none of three workers has them all: once in a hundred thousand times."""

CALL_S: Final = 2.0
"""How long a call may wait for a worker that is perhaps stopped."""

HELD: Final = 300
"""Snapshots of one process that is killed."""

ROUNDS: Final = 5

READER: Final = """
import sys, lmdb
env = lmdb.open(sys.argv[1], create=False, max_dbs=2, max_readers=int(sys.argv[2]), lib_version=0)
held = []
try:
    while len(held) < int(sys.argv[3]):
        held.append(env.begin())
except lmdb.ReadersFullError:
    pass
print(len(held), flush=True)
sys.stdin.read()
"""


class Hangs:
    """A server of three workers, one of which hangs when the test says so."""

    def __init__(self, server: WorkersProcess, file: Path) -> None:
        """Take the server, and the file that says where one hangs."""
        self.server = server
        self._file = file

    def hang(self, how: str, provoke: Callable[[], object]) -> int:
        """Let a worker hang, and return its process."""
        draft = self._file.with_name("draft")
        draft.write_text(how)
        draft.rename(self._file)
        deadline = time.monotonic() + WAIT_S
        while not (taken := list(self._file.parent.glob(f"{self._file.name}.*"))):
            assert time.monotonic() < deadline, f"no worker was {how}"
            provoke()
        return int(taken[0].suffix[1:])

    def number_of(self, pid: int) -> int:
        """Return which worker a process is."""
        return next(number for number in range(3) if self.server.worker(number) == pid)


@contextmanager
def hanging_server(folder: Path) -> Iterator[Hangs]:
    """Return a server of three workers that can be let hang."""
    file = folder / "hang"
    path = os.pathsep.join([str(FAULTY), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (
        mock.patch.dict(os.environ, PYTHONPATH=path, RUNINDEX_HANG_FILE=str(file)),
        serving_workers(folder / "data", workers=3) as server,
    ):
        yield Hangs(server, file)


def answered(target: str, call: Callable[[grpc.Channel], object], *, wanted: int = 1) -> int:
    """Make a call over connections of their own until so many were answered, and return how many were."""
    count = 0
    for _ in range(CONNECTIONS):
        with own_channel(target) as channel, suppress(grpc.RpcError):
            call(channel)
            count += 1
            if count == wanted:
                break
    return count


def read(channel: grpc.Channel) -> object:
    """Read."""
    return RunIndexStub(channel).GetRun(pb.GetRunRequest(run_id="default"), timeout=CALL_S)


def write(channel: grpc.Channel) -> object:
    """Write."""
    return RunIndexStub(channel).CreateRun(pb.CreateRunRequest(), timeout=CALL_S)


def nothing() -> None:
    """Wait for those that write anyway."""
    time.sleep(0.01)


@pytest.mark.parametrize("how", ["stopped in a write", "locked dead in a write"])
def test_a_worker_that_hangs_with_the_write_lock_is_killed_and_others_go_on(
    tmp_path: Path, how: str, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    with hanging_server(tmp_path) as hangs:
        server = hangs.server
        with writing(server.target, how, clients=CLIENTS, enough=4 * CLIENTS) as clients:
            victim = hangs.hang(how, nothing)
            began_s = time.monotonic()
            number, reads = hangs.number_of(victim), 0
            # The others read all the while.
            while not server.logged("worker killed", worker=number):
                reads += answered(server.target, read)
                assert time.monotonic() - began_s < HOLD_US_MAX / 1_000_000 + WAIT_S, "it is not killed"
            killed_s = time.monotonic() - began_s
            server.worker(number, start=2)
            with own_channel(server.target) as channel:
                RunIndexStub(channel).CreateRun(pb.CreateRunRequest(), timeout=WAIT_S)
            server.terminate()
        assert server.exit_code() == 0
        killed = server.logged("worker killed")
    with capsys.disabled():
        sys.stdout.write(f"\n{how}: killed after {killed_s:.1f} s, in which others answered {reads} reads\n")
    failures = int(reads == 0) + int([line["worker"] for line in killed] != [number])
    tally("workers that hung", runs=1, failures=failures)
    assert [line["worker"] for line in killed] == [number]
    assert reads > 0
    asyncio.run(check_data_dir(tmp_path / "data"))
    with serving(tmp_path / "data") as again:
        for client in clients:
            client.verify(again.target)


def oldest_lag(target: str) -> int:
    """Return how many commits the oldest snapshot of any worker is behind."""
    lags = []

    def ask(channel: grpc.Channel) -> None:
        status = MaintenanceStub(channel).GetStatus(maintenance_pb2.GetStatusRequest(), timeout=CALL_S)
        lags.append(status.readers.oldest_lag_commits)

    assert answered(target, ask), "nobody tells the status"
    return lags[0]


def test_a_worker_that_is_stopped_in_a_read_keeps_nobody_from_writing(tmp_path: Path, tally: Tally) -> None:
    """It holds a snapshot, and pages with it, until it is killed: then its slot is freed."""
    with hanging_server(tmp_path) as hangs:
        server, target = hangs.server, hangs.server.target
        victim = hangs.hang("stopped in a read", lambda: answered(target, read))
        written = answered(target, write, wanted=4)
        lag = oldest_lag(target)
        assert server.logged("worker killed") == []
        os.kill(victim, signal.SIGKILL)
        server.worker(hangs.number_of(victim), start=2)
        written += answered(target, write, wanted=4)
        lag_at_the_end = oldest_lag(target)
        server.terminate()
        assert server.exit_code() == 0
    tally("workers that hung", runs=1, failures=int((written, lag_at_the_end) != (8, 0)))
    assert written == 8
    assert lag > 0
    assert lag_at_the_end == 0
    asyncio.run(check_data_dir(tmp_path / "data"))


def test_a_worker_that_is_stopped_while_it_does_nothing_goes_on_later(tmp_path: Path, tally: Tally) -> None:
    with hanging_server(tmp_path) as hangs:
        server, target = hangs.server, hangs.server.target
        # The one that runs the background jobs, and another.
        for number in range(2):
            victim = server.worker(number)
            while server.memory().holding_since_us(number):
                nothing()
            os.kill(victim, signal.SIGSTOP)
            counts = answered(target, read, wanted=2), answered(target, write, wanted=2)
            os.kill(victim, signal.SIGCONT)
            tally("workers that hung", runs=1, failures=int(counts != (2, 2)))
            assert counts == (2, 2)
        # All of them answer again.
        for _ in range(CONNECTIONS):
            with own_channel(target) as channel:
                RunIndexStub(channel).CreateRun(pb.CreateRunRequest(), timeout=WAIT_S)
        assert server.logged("worker killed") == server.logged("worker ended") == []
        server.terminate()
        assert server.exit_code() == 0
    asyncio.run(check_data_dir(tmp_path / "data"))


def test_slots_of_killed_readers_are_freed_in_hundreds(tmp_path: Path, tally: Tally) -> None:
    """More than there are: without that, nobody could read any more."""
    killed = refused = 0
    with serving(tmp_path / "data") as server, own_channel(server.target) as channel:
        for _ in range(ROUNDS):
            arguments = [str(tmp_path / "data" / "store"), str(READERS_MAX), str(HELD)]
            with subprocess.Popen(
                [sys.executable, "-c", READER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as reader:
                assert reader.stdout is not None
                killed += int(reader.stdout.readline())
                reader.kill()
            try:
                read(channel)
            except grpc.RpcError:
                refused += 1
        assert oldest_lag(server.target) == 0
    tally("snapshots of killed processes", runs=killed, failures=refused)
    assert refused == 0
    assert killed > READERS_MAX
