"""What operators do through the client: status, compaction, verification, backup."""

import asyncio
import gc
import hashlib
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

import runindex
from runindex import (
    AsyncClient,
    Backlog,
    BackupProgress,
    ClockJump,
    CompactedRun,
    CompactionSummary,
    DeleteAfter,
    Drift,
    KeepLatest,
    RetentionStatus,
    RunState,
    StoreIdentity,
    StoreReaders,
    StoreSizes,
    StoreStatus,
    VerifyProgress,
)
from runindex.v1 import maintenance_pb2 as pb
from tests.clients.python.faulty import FaultyServer, refusal
from tests.support.clock import MINUTE_US, ManualClock
from tests.support.server import LoopThread

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
MINUTE = timedelta(minutes=1)

Connect = Callable[..., Any]
Faulty = Callable[..., FaultyServer]


def test_status(client: Any) -> None:
    client.close_run(client.create())
    status = client.maintenance.status()

    assert status.runs == {
        RunState.ACTIVE: 1,
        RunState.PAUSED: 0,
        RunState.COMPLETED: 1,
        RunState.FAILED: 0,
        RunState.CANCELLED: 0,
        RunState.ARCHIVED: 0,
    }
    assert (len(status.store.store_id), len(status.store.epoch)) == (32, 16)
    assert status.store.create_time.tzinfo is UTC
    assert status.sizes.used_bytes > 0
    assert status.backlog == Backlog(erasing_runs=0, unmerged_changes=3, due_runs=0)
    assert status.retention.default_policy is status.retention.last is status.retention.clock_jump is None
    assert status.revision == client.get("default").revision + 2


def test_compact(client: Any, clock: ManualClock) -> None:
    trimmed, deleted = client.create(), client.create()
    for value in range(5):
        client.data(trimmed).put("key", value)
    client.set_retention(trimmed, KeepLatest(2))
    client.set_retention(deleted, DeleteAfter(MINUTE))
    client.close_run(deleted)
    end_time = client.get(deleted).end_time
    clock.advance(2 * MINUTE_US)

    told = list(client.maintenance.compact(dry_run=True))
    assert client.exists(deleted)
    work = client.maintenance.compact()
    assert list(work) == told
    summary = work.result()

    first, second = sorted(told, key=lambda run: run.run_deleted)
    assert first == CompactedRun(
        run_id=trimmed.run_id,
        policy=KeepLatest(2),
        is_default_policy=False,
        run_deleted=False,
        versions=3,
        events=0,
        data_bytes=first.data_bytes,
        end_time=None,
    )
    assert first.data_bytes > 0
    assert (second.run_id, second.run_deleted, second.end_time) == (deleted.run_id, True, end_time)
    assert (summary.runs_deleted, summary.runs_trimmed, summary.versions) == (1, 1, 3)
    assert summary.data_bytes == first.data_bytes + second.data_bytes
    assert not client.exists(deleted)
    assert client.maintenance.status().retention.last == summary


def test_compact_without_looking_at_the_runs(client: Any) -> None:
    summary = client.maintenance.compact(dry_run=True).result()

    assert (summary.dry_run, summary.runs_deleted, summary.runs_trimmed) == (True, 0, 0)


def test_a_compaction_that_is_refused(client: Any) -> None:
    work = client.maintenance.compact(dry_run=True, trust_clock=True)

    with pytest.raises(runindex.InvalidField) as caught:
        work.result()

    assert caught.value.field == "trust_clock"


def test_verify(client: Any) -> None:
    client.create()
    work = client.maintenance.verify()

    pieces = list(work)
    summary = work.result()

    assert {type(piece) for piece in pieces} == {VerifyProgress}
    assert {piece.phase for piece in pieces} <= {"index rows", "copy", "search terms", "data", "counters"}
    assert (summary.runs, summary.drifts) == (2, 0)
    assert summary.rows > 2


def test_backup(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "runs.backup"
    work = client.maintenance.backup(file)

    progress = list(work)
    backup = work.result()

    assert progress[0] == BackupProgress(0, backup.total_bytes)
    assert progress[-1] == BackupProgress(backup.total_bytes, backup.total_bytes)
    assert (backup.file, backup.total_bytes) == (file, file.stat().st_size)
    assert backup.store == client.maintenance.status().store
    assert backup.revision == client.get("default").revision
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_backup_is_not_overwritten(client: Any, tmp_path: Path) -> None:
    (tmp_path / "runs.backup").write_text("mine")

    with pytest.raises(FileExistsError, match="not overwritten"):
        client.maintenance.backup(str(tmp_path / "runs.backup")).result()

    assert (tmp_path / "runs.backup").read_text() == "mine"


HEADER = pb.BackupResponse(header=pb.BackupHeader(total_bytes=4))
CHUNK = pb.BackupResponse(chunk=b"1234")
TRAILER = pb.BackupResponse(trailer=pb.BackupTrailer(sha256=hashlib.sha256(b"1234").digest()))


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        ([CHUNK], "it begins without a header"),
        ([HEADER, TRAILER], "it has 0 bytes instead of 4"),
        ([HEADER, CHUNK, CHUNK, TRAILER], "it has 8 bytes instead of 4"),
        ([HEADER, pb.BackupResponse(chunk=b"1235"), TRAILER], "it was changed on its way"),
        ([HEADER, CHUNK], "backup ended without telling what it came to"),
        ([], "backup ended without telling what it came to"),
    ],
)
def test_a_backup_that_is_not_whole_leaves_no_file(
    connect: Connect, faulty: Faulty, tmp_path: Path, pieces: list[pb.BackupResponse], problem: str
) -> None:
    client = connect(faulty(pieces).target)

    with pytest.raises(runindex.DataLoss) as caught:
        client.maintenance.backup(tmp_path / "runs.backup").result()

    assert caught.value.message.endswith(problem)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_breaks_off_leaves_no_file(
    connect: Connect, faulty: Faulty, sleeps: list[float], tmp_path: Path
) -> None:
    server = faulty([HEADER, CHUNK, UNAVAILABLE])

    with pytest.raises(runindex.Unavailable):
        connect(server.target).maintenance.backup(tmp_path / "runs.backup").result()

    assert (len(server.calls), sleeps) == (1, [])
    assert list(tmp_path.iterdir()) == []


def test_a_backup_that_is_whole_has_all_that_was_sent(
    connect: Connect, faulty: Faulty, tmp_path: Path
) -> None:
    server = faulty([HEADER, CHUNK, TRAILER])

    backup = connect(server.target).maintenance.backup(tmp_path / "runs.backup").result()

    assert backup.file.read_bytes() == b"1234"


def test_what_has_told_nothing_yet_is_made_again(
    connect: Connect, faulty: Faulty, sleeps: list[float]
) -> None:
    server = faulty(
        [UNAVAILABLE], [refusal(UNAVAILABLE, "MIGRATING")], [pb.VerifyResponse(summary={"runs": 7})]
    )

    assert connect(server.target, token="secret").maintenance.verify().result().runs == 7

    assert len(server.calls) == 3
    assert len(sleeps) == 2
    assert [call["authorization"] for call in server.metadata] == ["Bearer secret"] * 3


def test_it_is_not_made_again_for_ever(connect: Connect, faulty: Faulty, sleeps: list[float]) -> None:
    server = faulty([UNAVAILABLE])

    with pytest.raises(runindex.Unavailable):
        connect(server.target, retries=2).maintenance.verify().result()

    assert (len(server.calls), len(sleeps)) == (3, 2)


def test_drifts_are_told_and_what_is_newer_is_passed_over(connect: Connect, faulty: Faulty) -> None:
    drift = pb.Drift(subspace="tags", key="00ff", problem="is there twice")
    server = faulty(
        [
            pb.VerifyResponse(drift=drift),
            pb.VerifyResponse(),
            pb.VerifyResponse(progress=pb.VerifyProgress(phase="copy", rows=3)),
            pb.VerifyResponse(summary=pb.VerifySummary(drifts=1)),
        ]
    )
    work = connect(server.target).maintenance.verify()

    assert list(work) == [Drift("tags", "00ff", "is there twice"), VerifyProgress("copy", 3)]
    assert work.result().drifts == 1


def test_every_field_of_a_status(connect: Connect, faulty: Faulty) -> None:
    status = pb.GetStatusResponse(
        store={"store_id": "s", "epoch": "e", "storage_version": 2, "server_version": "0.1"},
        sizes={"used_bytes": 1, "free_bytes": 2, "disk_bytes": 3, "map_bytes": 4},
        readers={"count": 5, "oldest_lag_commits": 6},
        backlog={"erasing_runs": 7, "unmerged_changes": 8, "due_runs": 9},
        retention={"last": {"dry_run": False, "runs_deleted": 1, "runs_trimmed": 2, "versions": 3}},
        revision=10,
    )
    status.retention.default_policy.delete_after.FromSeconds(60)
    status.retention.next_time.FromSeconds(120)
    status.retention.clock_jump.ahead.FromSeconds(3600)
    status.retention.clock_jump.resume_time.FromSeconds(7200)
    status.retention.last.MergeFrom(pb.CompactionSummary(events=4, bytes=5))
    status.retention.last.duration.FromSeconds(6)
    begin = datetime(1970, 1, 1, tzinfo=UTC)

    assert connect(faulty(status).target).maintenance.status() == StoreStatus(
        StoreIdentity("s", "e", 2, begin, "0.1"),
        StoreSizes(used_bytes=1, free_bytes=2, disk_bytes=3, map_bytes=4),
        StoreReaders(count=5, oldest_lag_commits=6),
        {},
        Backlog(erasing_runs=7, unmerged_changes=8, due_runs=9),
        RetentionStatus(
            default_policy=DeleteAfter(MINUTE),
            last=CompactionSummary(
                start_time=begin,
                duration=timedelta(seconds=6),
                dry_run=False,
                runs_deleted=1,
                runs_trimmed=2,
                versions=3,
                events=4,
                data_bytes=5,
            ),
            next_time=begin + 2 * MINUTE,
            clock_jump=ClockJump(ahead=timedelta(hours=1), resume_time=begin + timedelta(hours=2)),
        ),
        10,
    )


def test_work_is_for_one_time(client: Any) -> None:
    work = client.maintenance.verify()
    first = work.result()

    assert work.result() is first
    with pytest.raises(RuntimeError, match=r"^verify\(\) is for one time: call it again$"):
        list(work)


def test_work_that_was_left_has_no_result(client: Any) -> None:
    work = client.maintenance.verify()
    for _ in work:
        break

    with pytest.raises(RuntimeError, match="one time"):
        work.result()


def test_work_that_was_never_begun_warns(client: Any) -> None:
    def forget() -> None:
        client.maintenance.compact()
        gc.collect()

    with pytest.warns(RuntimeWarning, match=r"^compact\(\) was never begun: iterate over it"):
        forget()


def test_to_leave_the_loop_ends_the_call(connect: Connect, faulty: Faulty) -> None:
    may_go_on = threading.Event()

    def wait() -> pb.VerifyResponse:
        may_go_on.wait(30)
        return pb.VerifyResponse()

    server = faulty([pb.VerifyResponse(progress=pb.VerifyProgress()), wait])

    for _ in connect(server.target).maintenance.verify():
        break

    has_ended = server.has_ended.wait(10)
    may_go_on.set()
    assert has_ended


def test_a_task_that_is_cancelled_leaves_no_file(faulty: Faulty, loop: LoopThread, tmp_path: Path) -> None:
    may_go_on = threading.Event()

    def wait() -> pb.BackupResponse:
        may_go_on.wait(30)
        return TRAILER

    def suffixes() -> list[str]:
        return [file.suffix for file in tmp_path.iterdir()]

    server = faulty([HEADER, CHUNK, wait])

    async def main() -> None:
        async with AsyncClient(server.target) as client:
            has_begun = asyncio.Event()

            async def work() -> None:
                async for _ in client.maintenance.backup(tmp_path / "runs.backup"):
                    has_begun.set()

            task = asyncio.create_task(work())
            await has_begun.wait()
            assert suffixes() == [".partial"]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    loop.run(main())
    may_go_on.set()

    assert server.has_ended.wait(10)
    assert suffixes() == []


def test_a_closed_client(client: Any) -> None:
    work = client.maintenance.verify()
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        work.result()
