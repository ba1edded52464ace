"""A full disk costs nothing that was acknowledged, and stops neither reads nor deletes.

A real server, of one process and of two workers, on a small disk of its own that is filled and freed ten
times: with room, writes go on.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.ledger import OWN_CONNECTION
from tests.crash.offline import use_store
from tests.crash.process import serving
from tests.crash.workers import serving_workers
from tests.support.calls import struct
from tests.support.consistency import check_store
from tests.support.tally import Tally
from tests.trust.disk.failing import reason_of

ROUNDS: Final = 10
DISK_MIB: Final = 8
GROWN_MIB: Final = 12
WAIT_S: Final = 60.0
CREATES_MAX: Final = 5_000
TRIES_MAX: Final = 2_000
"""More than what is erased in the background needs to become room again."""

VALUE: Final = data_pb.DataValue(binary=b"v" * 80_000)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")

Serving = Callable[[Path], AbstractContextManager[Any]]


@contextmanager
def one(data_dir: Path) -> Iterator[Any]:
    with serving(data_dir) as server:
        yield server


@contextmanager
def two(data_dir: Path) -> Iterator[Any]:
    with serving_workers(data_dir, workers=2) as server:
        yield server


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small disk, which is empty."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=WAIT_S)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=WAIT_S)


@dataclass
class Filler:
    """A caller that fills a disk, and keeps what was acknowledged.

    Attributes:
        acknowledged: What the server said is there: run, and the number that its metadata holds.
        refusals: How often it was refused.
    """

    channel: grpc.Channel
    acknowledged: dict[str, int] = field(default_factory=dict)
    refusals: int = 0
    _runs: int = 0

    def __post_init__(self) -> None:
        self.index = RunIndexStub(self.channel)
        self.data = RunDataStub(self.channel)

    def create(self) -> None:
        """Create a run that holds something large.

        Raises:
            grpc.RpcError: It is refused.
        """
        number = self._runs
        run_id = str(UUID(int=number << 64 | 1, version=4))
        request = pb.CreateRunRequest(
            run_id=run_id, tags=["full"], metadata=struct({"number": number}), request_id=f"c{number}"
        )
        self.index.CreateRun(request, timeout=WAIT_S)
        self._runs += 1
        self.acknowledged[run_id] = -1
        put = data_pb.PutValueRequest(run_id=run_id, key="large", value=VALUE, request_id=f"p{number}")
        self.data.PutValue(put, timeout=WAIT_S)
        self.acknowledged[run_id] = number

    def fill(self) -> None:
        """Create runs until one is refused because the disk is full."""
        for _ in range(CREATES_MAX):
            try:
                self.create()
            except grpc.RpcError as error:
                self.refusals += 1
                check_full(error)
                return
        pytest.fail("the disk is never full")

    def read_all(self) -> list[str]:
        """Read all that was acknowledged; return what is wrong."""
        wrong = []
        for run_id, number in self.acknowledged.items():
            run = self.index.GetRun(pb.GetRunRequest(run_id=run_id), timeout=WAIT_S).run
            if number >= 0 and int(run.metadata["number"]) != number:
                wrong.append(f"{run_id} is {run}")
            if number >= 0:
                request = data_pb.GetValueRequest(run_id=run_id, key="large")
                if self.data.GetValue(request, timeout=WAIT_S).item.value != VALUE:
                    wrong.append(f"{run_id} holds something else")
        listed = self.index.CountRuns(pb.CountRunsRequest(), timeout=WAIT_S).count
        # And the default run.
        if listed != len(self.acknowledged) + 1:
            wrong.append(f"{listed} runs, not {len(self.acknowledged) + 1}")
        return wrong

    def delete(self, share: int) -> None:
        """Delete one of so many runs."""
        for run_id in list(self.acknowledged)[::share]:
            self.index.DeleteRun(pb.DeleteRunRequest(run_id=run_id), timeout=WAIT_S)
            del self.acknowledged[run_id]

    def write_again(self) -> int:
        """Create a run, as soon as there is room; return after how many refusals."""
        for refusals in range(TRIES_MAX):
            try:
                self.create()
            except grpc.RpcError as error:
                check_full(error)
            else:
                return refusals
        pytest.fail("writes do not go on")


def check_full(error: grpc.RpcError) -> None:
    """Check that a call was refused because the disk is full."""
    status = refusal_of(error)
    assert status == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_FULL"), status


def refusal_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    return error.code(), reason_of(error)


def connected(target: str) -> grpc.Channel:
    """Return a channel over a connection of its own."""
    return grpc.insecure_channel(target, options=OWN_CONNECTION)


def health_of(channel: grpc.Channel) -> "HealthCheckResponse.ServingStatus.ValueType":
    return HealthStub(channel).Check(HealthCheckRequest(), timeout=WAIT_S).status


def refuse_until_told(channel: grpc.Channel, filler: Filler) -> None:
    """Go on writing in vain until health tells it: what the server itself writes may work."""
    deadline = time.monotonic() + WAIT_S
    while health_of(channel) == HealthCheckResponse.SERVING:
        filler.fill()
        assert time.monotonic() < deadline, "health does not tell that the disk is full"


def await_health(channel: grpc.Channel, wanted: "HealthCheckResponse.ServingStatus.ValueType") -> None:
    """Wait until the server tells that health: it looks every two seconds."""
    watching = HealthStub(channel).Watch(HealthCheckRequest(), timeout=WAIT_S)
    for told in watching:
        if told.status == wanted:
            watching.cancel()
            return
    pytest.fail("health does not change")


@pytest.mark.parametrize("start", [one, two])
def test_ten_times_full_and_free_without_a_restart(disk: Path, start: Serving, tally: Tally) -> None:
    data_dir = disk  # So that the log of the server is not on it.
    wrong: list[str] = []
    rounds = 0
    with start(data_dir) as server, connected(server.target) as channel:
        filler = Filler(channel)
        for _ in range(ROUNDS):
            rounds += 1
            filler.fill()
            wrong += filler.read_all()
            filler.delete(2)
            wrong += filler.read_all()
            filler.write_again()
            wrong += filler.read_all()
        server.terminate()
        code = server.exit_code()
    tally("rounds of filling a disk", runs=rounds, failures=len(wrong))
    assert wrong == []
    assert code == 0
    assert filler.refusals == ROUNDS
    check_afterwards(data_dir, filler)


@pytest.mark.parametrize("start", [one, two])
def test_a_disk_that_grows_is_used_without_a_restart(disk: Path, start: Serving, tally: Tally) -> None:
    data_dir = disk  # So that the log of the server is not on it.
    with start(data_dir) as server, connected(server.target) as channel:
        filler = Filler(channel)
        assert health_of(channel) == HealthCheckResponse.SERVING
        filler.fill()
        take_all_room(disk)
        refuse_until_told(channel, filler)
        wrong = filler.read_all()
        mount("-o", f"remount,size={GROWN_MIB}m", str(disk))
        await_health(channel, HealthCheckResponse.SERVING)
        filler.create()
        wrong += filler.read_all()
        server.terminate()
        code = server.exit_code()
    tally("disks that grow", runs=1, failures=len(wrong))
    assert wrong == []
    assert code == 0


def take_all_room(disk: Path) -> None:
    """Take what is left of a disk, as somebody else's files do."""
    with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(DISK_MIB * 1024):
            file.write(bytes(1024))


def check_afterwards(data_dir: Path, filler: Filler) -> None:
    """Check a store that was closed: everything follows from its records."""
    use_store(data_dir, check_store)
