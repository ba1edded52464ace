"""Several processes over one store: they see each other, are replaced when they die, and end together."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.exit_codes import EXIT_FATAL
from tests.crash.ledger import LedgerClient, writing
from tests.crash.process import WAIT_S, check_data_dir, serving
from tests.crash.workers import connected, connections, serving_workers

CLIENTS: Final = 20
"""So many that none of two workers is left out: once in a million times."""


def check_all(data_dir: Path, clients: list[LedgerClient]) -> None:
    """Check that a store is sound, and holds what was acknowledged."""
    asyncio.run(check_data_dir(data_dir))
    with serving(data_dir) as server:
        for client in clients:
            client.verify(server.target)


def test_workers_see_each_others_writes_at_once(tmp_path: Path) -> None:
    with serving_workers(tmp_path / "data", workers=3) as server, connections(server.target) as channels:
        stubs = [RunIndexStub(channel) for channel in channels]
        for writer, reader in zip(stubs, stubs[1:] + stubs[:1], strict=True):
            created = writer.CreateRun(pb.CreateRunRequest(tags=["seen"]))
            found = reader.GetRun(pb.GetRunRequest(run_id=created.run.run_id))
            assert found.run == created.run
            assert found.revision == created.revision
            closed = reader.CloseRun(pb.CloseRunRequest(run_id=created.run.run_id, expected_version=1))
            assert writer.GetRun(pb.GetRunRequest(run_id=created.run.run_id)).run.version == closed.version
        listed = stubs[0].QueryRunsByTag(pb.QueryRunsByTagRequest(tag="seen"))
        assert len(listed.runs) == len(stubs)

        accepted = [connected(server.worker(number), server.target) for number in range(3)]
        assert sum(accepted) == len(stubs)
        assert sum(count > 0 for count in accepted) >= 2


def test_every_worker_tells_its_health_and_the_same_status(tmp_path: Path) -> None:
    with serving_workers(tmp_path / "data") as server, connections(server.target) as channels:
        statuses = []
        for channel in channels:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            statuses.append(MaintenanceStub(channel).GetStatus(maintenance_pb2.GetStatusRequest()))
        told = [(status.store, status.sizes.map_bytes, status.revision) for status in statuses]
        assert all(one == told[0] for one in told)
        times = [status.retention.next_time.ToDatetime() for status in statuses]
        assert (max(times) - min(times)).total_seconds() < 1


def test_workers_make_copies_at_the_same_time(tmp_path: Path) -> None:
    def back_up(channel: grpc.Channel) -> int:
        pieces = MaintenanceStub(channel).Backup(maintenance_pb2.BackupRequest(), timeout=WAIT_S)
        return sum(len(piece.chunk) for piece in pieces)

    with (
        serving_workers(tmp_path / "data") as server,
        connections(server.target) as channels,
        ThreadPoolExecutor(len(channels)) as pool,
    ):
        copies = list(pool.map(back_up, channels))
    assert all(copies)
    assert {path.name for path in (tmp_path / "data" / "store").iterdir()} == {"data.mdb", "lock.mdb"}


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_is_killed_loses_nothing_and_comes_back(tmp_path: Path, number: int) -> None:
    data_dir = tmp_path / "data"
    with serving_workers(data_dir) as server:
        with writing(server.target, f"killed {number}", clients=CLIENTS, enough=100) as clients:
            os.kill(server.worker(number), signal.SIGKILL)
            assert server.wait_for("worker ended", worker=number)["by"] == "SIGKILL"
            replacement = server.worker(number, start=2)
            server.terminate()
        assert server.exit_code() == 0
        # It stopped with the others, and its lines carry its number.
        assert [line["code"] for line in server.logged("stopped", worker=number)] == [0]
        assert replacement != server.worker(number)
    check_all(data_dir, clients)


def unmerged(stub: MaintenanceStub) -> int:
    return stub.GetStatus(maintenance_pb2.GetStatusRequest()).backlog.unmerged_changes


def test_the_background_jobs_go_on_when_their_worker_dies(tmp_path: Path) -> None:
    with serving_workers(tmp_path / "data") as server:
        victim = server.worker(0)
        os.kill(victim, signal.SIGKILL)
        server.wait_for("worker ended", worker=0)
        with connections(server.target, 1) as [channel]:
            stub = RunIndexStub(channel)
            for _ in range(20):
                stub.CreateRun(pb.CreateRunRequest(tags=["waits"]), wait_for_ready=True)
            deadline = time.monotonic() + WAIT_S
            while unmerged(MaintenanceStub(channel)):
                assert time.monotonic() < deadline
        assert server.worker(0, start=2) != victim


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving_workers(data_dir) as server:
        os.kill(server.worker(1), signal.SIGSTOP)
        server.kill()
        server.wait_for("stopped", worker=0)
        # One of them has not noticed: the store is still held, by whom the refusal names.
        refusal = rf"is held by process(es \d+,)? {server.worker(1)};"
        with pytest.raises(AssertionError, match=refusal), serving(data_dir):
            pytest.fail("it serves")
        os.kill(server.worker(1), signal.SIGCONT)
        server.exit_code()
        assert {line["worker"] for line in server.logged("stopped", code=0)} == {0, 1}
    check_all(data_dir, [])


@pytest.mark.parametrize("reaches_all", [False, True])
def test_sigterm_drains_all_workers_and_exits_0(tmp_path: Path, *, reaches_all: bool) -> None:
    data_dir = tmp_path / "data"
    with serving_workers(data_dir) as server:
        with writing(server.target, "drain", clients=CLIENTS, enough=100) as clients:
            server.terminate()
            # A service manager sends it to every process that there is, and the supervisor passes it on.
            for number in range(2 if reaches_all else 0):
                with suppress(ProcessLookupError):
                    os.kill(server.worker(number), signal.SIGTERM)
        assert server.exit_code() == 0
        assert {line.get("worker") for line in server.logged("stopped", code=0)} == {0, 1, None}
        # Calls under way were finished, later ones refused: none was cut off.
        assert {client.lost_code for client in clients} == {grpc.StatusCode.UNAVAILABLE}
    check_all(data_dir, clients)


def test_a_second_signal_ends_all_of_it_at_once(tmp_path: Path) -> None:
    with serving_workers(tmp_path / "data") as server:
        os.kill(server.worker(1), signal.SIGSTOP)
        server.terminate()
        server.wait_for("stopped", worker=0)
        server.terminate()
        assert server.exit_code() == EXIT_FATAL


def test_a_store_whose_lock_file_was_replaced_is_not_joined(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving_workers(data_dir) as server:
        with writing(server.target, "replaced", clients=CLIENTS, enough=100) as clients:
            (data_dir / "store" / "lock.mdb").rename(tmp_path / "lock.mdb")
            os.kill(server.worker(1), signal.SIGKILL)
        assert server.exit_code() == EXIT_FATAL
        assert len(server.logged("worker started")) == 2
    check_all(data_dir, clients)


def begun(pid: int) -> tuple[bool, bool]:
    """Return whether a process has the store open, and whether it has more than one thread."""
    mapped = "data.mdb" in Path(f"/proc/{pid}/maps").read_text()
    return mapped, len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def test_the_supervisor_begins_nothing_of_what_its_forks_do(tmp_path: Path) -> None:
    with serving_workers(tmp_path / "data") as server:
        assert begun(server.worker(0)) == (True, True)
        assert begun(server.pid) == (False, False)
