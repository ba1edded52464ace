"""Backup: the pieces of a snapshot, what becomes of it when nobody listens, the store that is made of it."""

import hashlib
import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from grpc import StatusCode as Code
from typer.testing import CliRunner

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server import limits
from runindex_server.cli.app import app
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.lmdb_restore import REVISIONS_SKIPPED
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from tests.support.answers import answers
from tests.support.calls import Stub, check_refused
from tests.support.clock import ManualClock
from tests.support.data_calls import Data, put
from tests.support.history import NAMES, RUN_IDS, Write, repeat, send, writes
from tests.support.server import WAIT_S, LoopThread, OpenStore, RunningServer, StartServer
from tests.support.stores import ON_DISK

MEANWHILE = 60
"""Writes while a backup is taken."""


@pytest.fixture
def maintenance(channel: grpc.Channel) -> MaintenanceStub:
    return MaintenanceStub(channel)


def backup(maintenance: MaintenanceStub) -> list[pb.BackupResponse]:
    return list(maintenance.Backup(pb.BackupRequest()))


def content(pieces: list[pb.BackupResponse]) -> bytes:
    return b"".join(piece.chunk for piece in pieces)


def test_it_is_a_header_then_chunks_then_a_trailer(
    maintenance: MaintenanceStub, stub: Stub, clock: ManualClock
) -> None:
    revision = stub.CreateRun(index_pb.CreateRunRequest()).revision
    pieces = backup(maintenance)
    kinds = [piece.WhichOneof("piece") for piece in pieces]

    assert kinds == ["header", *["chunk"] * (len(pieces) - 2), "trailer"]
    assert {piece.revision for piece in pieces} == {revision}
    header = pieces[0].header
    assert header.store == maintenance.GetStatus(pb.GetStatusRequest()).store
    assert header.create_time.ToMicroseconds() == clock.now_us()
    assert header.total_bytes == len(content(pieces)) > 0
    assert pieces[-1].trailer.sha256 == hashlib.sha256(content(pieces)).digest()


def test_chunks_are_as_large_as_they_may_be(maintenance: MaintenanceStub, stub: Stub, data: Data) -> None:
    run_id = stub.CreateRun(index_pb.CreateRunRequest()).run.run_id
    for number in range(12):
        put(data, run_id, f"{number}", os.urandom(limits.DATA_VALUE_BYTES_MAX - 100))
    _, *chunks, last, _ = backup(maintenance)

    assert {len(piece.chunk) for piece in chunks} == {limits.BACKUP_CHUNK_BYTES}
    assert 0 < len(last.chunk) <= limits.BACKUP_CHUNK_BYTES


def test_two_backups_at_a_time_are_both_whole(maintenance: MaintenanceStub, stub: Stub) -> None:
    stub.CreateRun(index_pb.CreateRunRequest())
    first, second = (maintenance.Backup(pb.BackupRequest()) for _ in range(2))
    pieces = [list(both) for both in zip(*itertools.zip_longest(first, second), strict=True)]

    assert pieces[0][1:] == pieces[1][1:]


def copies_open() -> list[str]:
    """Return the files of this process, where the server runs too, that are copies of stores."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(fd.readlink()))
        except FileNotFoundError:
            continue
    return [path for path in found if "copy.unfinished" in path]


@ON_DISK
def test_the_copy_is_given_up_when_the_caller_goes_away(
    maintenance: MaintenanceStub, stub: Stub, data: Data
) -> None:
    run_id = stub.CreateRun(index_pb.CreateRunRequest()).run.run_id
    for number in range(100):
        # More than gRPC holds on the way: the server has to wait.
        put(data, run_id, f"{number}", os.urandom(limits.DATA_VALUE_BYTES_MAX - 100))
    pieces = maintenance.Backup(pb.BackupRequest())
    next(iter(pieces))
    assert copies_open() != []
    pieces.cancel()

    waited = threading.Event()
    for _ in range(1_000):
        if not copies_open():
            break
        waited.wait(0.01)
    assert copies_open() == []


@ON_DISK
def test_it_is_refused_where_there_is_no_room(
    maintenance: MaintenanceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4_096))
    check_refused(lambda: backup(maintenance), Code.RESOURCE_EXHAUSTED, "STORE_FULL")


# A differential check: what a restored backup answers, the original answered at that revision.


class Writer:
    """Writes on a thread of its own, until it is told to stop.

    Attributes:
        made: What was written, in order.
    """

    def __init__(self, target: str, seed: int) -> None:
        self.made: list[Write] = []
        self._target = target
        self._history = writes(seed)
        self._is_told_to_stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._progress = threading.Condition()

    def write(self, count: int) -> None:
        """Make some writes on this thread."""
        with grpc.insecure_channel(self._target) as channel:
            while len(self.made) < count:
                self._write_one(channel)

    def start(self) -> None:
        """Begin to write on the other thread."""
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Wait until so many more writes were made."""
        with self._progress:
            enough = len(self.made) + count
            assert self._progress.wait_for(lambda: len(self.made) >= enough, WAIT_S)

    def stop(self) -> None:
        """Wait for the last write."""
        self._is_told_to_stop.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def _write(self) -> None:
        with grpc.insecure_channel(self._target) as channel:
            while not self._is_told_to_stop.is_set():
                self._write_one(channel)

    def _write_one(self, channel: grpc.Channel) -> None:
        made = send(channel, *next(self._history))
        if made is not None:
            with self._progress:
                self.made.append(made)
                self._progress.notify_all()


def back_up_meanwhile(channel: grpc.Channel, writer: Writer) -> Iterator[pb.BackupResponse]:
    """Yield a backup that is taken while a writer goes on before, during and after it."""
    writer.wait_for(MEANWHILE)
    for piece in MaintenanceStub(channel).Backup(pb.BackupRequest()):
        writer.wait_for(MEANWHILE // 4)
        yield piece
    writer.wait_for(MEANWHILE)


def new_memory_store(clock: ManualClock) -> OpenStore:
    """Return what opens a new store in memory."""

    async def open_memory() -> MaintainedStore:
        return MemoryStore(clock=clock, initialise=initialise)

    return open_memory


@ON_DISK
@pytest.mark.parametrize("seed", [1, 2])
def test_a_restored_backup_answers_as_the_original_did(
    start: StartServer,
    loop: LoopThread,
    clock: ManualClock,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    seed: int,
) -> None:
    original = start()
    writer = Writer(original.target, seed)
    writer.write(200)
    original.run_jobs()
    writer.start()
    with grpc.insecure_channel(original.target) as channel:
        pieces = list(back_up_meanwhile(channel, writer))
        writer.stop()
        first_page = original.stub().ListRuns(index_pb.ListRunsRequest(page_size=1))
    through = pieces[0].revision
    assert writer.made[200].revision < through < writer.made[-1].revision

    # The next server that starts finds what was restored.
    (tmp_path / "backup").write_bytes(content(pieces))
    command = ["restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "store-1")]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stderr) == (0, "")
    restored = start()
    # Which answers the same on any store.
    repeated = RunningServer(loop, new_memory_store(clock), clock=clock)
    request.addfinalizer(repeated.stop)

    with grpc.insecure_channel(restored.target) as here, grpc.insecure_channel(repeated.target) as there:
        repeat(there, writer.made, through=through)
        run_ids = ("default", *RUN_IDS)
        found, expected = answers(here, run_ids, NAMES), answers(there, run_ids, NAMES)
        assert [name for name in expected if found[name] != expected[name]] == []
        statuses = [MaintenanceStub(each).GetStatus(pb.GetStatusRequest()) for each in (here, there)]

    assert statuses[0].revision == through + REVISIONS_SKIPPED
    assert list(statuses[0].runs) == list(statuses[1].runs)
    assert statuses[0].store.store_id == pieces[0].header.store.store_id
    assert statuses[0].store.epoch != pieces[0].header.store.epoch
    # Nothing of another history is taken for its own.
    next_page = index_pb.ListRunsRequest(page_size=1, page_token=first_page.next_page_token)
    check_refused(lambda: restored.stub().ListRuns(next_page), Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    revision = restored.stub().CreateRun(index_pb.CreateRunRequest()).revision
    assert revision > writer.made[-1].revision
