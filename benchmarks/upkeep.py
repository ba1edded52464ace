"""What upkeep of a store costs: compacting, verifying, backing up, restoring and shrinking one of many runs.

    python -m benchmarks.upkeep [--runs 200000]

A store is filled with finished runs: one in ten holds values, cells and events of which something is
superseded, and is trimmed by its policy; one in twenty has expired. Then a server is started on it, and each
piece of work is done once, timed, and its answer checked. Times are also told as a multiple of the plainest
thing that could be done with so many bytes: copying the data file and syncing the copy, in the same run.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.struct_pb2 import Struct, Value

from benchmarks.servers import serving
from runindex.v1 import maintenance_pb2, run_data_pb2, run_index_pb2
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.clock import SystemClock
from runindex_server.data import events, states, values
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.rpc.server import new_run_id
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.mutation import Conditions, minute_of
from runindex_server.schema import metadata
from runindex_server.schema.derive import write_run
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, Run, RunId, RunState

T = TypeVar("T")

RUNS = 200_000
RUNS_PER_WRITE = 100
HOLDING_EVERY = 10
EXPIRED_EVERY = 20
OVERWRITES = 4
EVENTS = 20
DAY_US = 86_400 * 1_000_000
MAP_BYTES = 64 * 1024**3
ANY = Conditions()
NO_SCHEDULE = ("--retention-interval-s", "86400")
"""Nothing is compacted but what is measured."""


class PastClock(SystemClock):
    """The machine's clock two days ago, so that what is written is old when the server looks at it."""

    def now_us(self) -> int:
        """Return the wall-clock time of two days ago."""
        return super().now_us() - 2 * DAY_US


@dataclass
class Figure:
    """What a piece of work took.

    Attributes:
        name: Of the work.
        seconds: How long.
        bytes: What it wrote, or removed; None where that says nothing.
        note: What it came to.
    """

    name: str
    seconds: float
    bytes: int | None
    note: str


def fill(txn: WriteTxn, *, first: int, count: int) -> None:
    """Write some finished runs."""
    for number in range(first, first + count):
        run = finished_run(txn, number)
        write_run(txn, None, run, revision=run.revision)
        if number % HOLDING_EVERY == 1:
            hold(txn, run.run_id, number)


def finished_run(txn: WriteTxn, number: int) -> Run:
    """Return a run as it is after it was created, and closed or failed."""
    ordinal, now_us = txn.next_ordinal(), txn.issue_time_us(strictly_later=True)
    has_failed = number % 7 == 0
    outcome = RunState.FAILED if has_failed else RunState.COMPLETED
    return Run(
        run_id=new_run_id(),
        ordinal=ordinal,
        generation=ordinal,
        state=outcome,
        version=2,
        revision=txn.next_revision(),
        create_us=now_us,
        update_us=now_us,
        end_us=now_us,
        error="rate limited by the provider" if has_failed else None,
        tags=("bench", f"shard-{number % 50}", "nightly" if number % 3 else "weekly"),
        outcome=outcome,
        metadata=metadata_of(number),
        activity_us=minute_of(now_us),
        retention=policy_of(number),
    )


def policy_of(number: int) -> RetentionPolicy | None:
    """Return a run's retention policy."""
    if number % EXPIRED_EVERY == 0:
        return RetentionPolicy(delete_after_us=DAY_US)
    return RetentionPolicy(keep_latest_n=1) if number % HOLDING_EVERY == 1 else None


def hold(txn: WriteTxn, run_id: RunId, number: int) -> None:
    """Let a run hold values, a cell and events."""
    encoded = run_data_pb2.DataValue(json=Value(string_value=f"value {number} " * 8)).SerializeToString()
    for turn in range(OVERWRITES + 1):
        values.put_value(txn, run_id, "config/model", encoded, ANY, default_policy=KEEP_ALL)
        if turn % 2:
            states.set_state(txn, run_id, "progress", encoded, ANY, default_policy=KEEP_ALL)
    drafts = [events.EventDraft("log", encoded)] * EVENTS
    events.append_events(txn, run_id, drafts, None, default_policy=KEEP_ALL)


def metadata_of(number: int) -> bytes:
    """Return some 150 bytes of metadata."""
    fields = Struct()
    fields.update(
        {
            "model": f"gpt-{number % 9}",
            "task": "summarise the weekly report for the operations team",
            "attempt": number % 4,
            "dataset": {"name": f"reports-{number % 1000}", "rows": number},
        }
    )
    return metadata.encode(fields)


async def build(data_dir: Path, runs: int) -> None:
    """Fill a store, and merge its index."""
    store = open_lmdb(
        data_dir, clock=PastClock(), map_bytes=MAP_BYTES, initialise=initialise, on_fatal=sys.exit
    )
    for first in range(0, runs, RUNS_PER_WRITE):
        await store.write(partial(fill, first=first, count=min(RUNS_PER_WRITE, runs - first)))
        if first // RUNS_PER_WRITE % 50 == 49:
            while await merge_step(store):
                pass
            print(f"\r{first + RUNS_PER_WRITE:,} runs written", end="", file=sys.stderr, flush=True)
    while await merge_step(store):
        pass
    print(file=sys.stderr)
    await store.close()


def command_line(*arguments: str) -> None:
    """Run a command of the server's."""
    subprocess.run(
        [sys.executable, "-m", "runindex_server", *arguments], check=True, stdout=subprocess.DEVNULL
    )


def peak_memory_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) * 1024


def timed(figures: list[Figure], name: str, work: Callable[[], tuple[int | None, str, T]]) -> T:
    """Do a piece of work, and note how long it took; it returns its bytes, what it came to, and a result."""
    begin = time.monotonic()
    size, note, result = work()
    figures.append(Figure(name, time.monotonic() - begin, size, note))
    print(f"{name} done", file=sys.stderr)
    return result


def compact(stub: MaintenanceStub, *, dry_run: bool) -> tuple[int, str, tuple[int, ...]]:
    """Compact, or tell what would go, and check that the pieces come to the summary."""
    pieces = list(stub.Compact(maintenance_pb2.CompactRequest(dry_run=dry_run)))
    summary, runs = pieces[-1].summary, [piece.run for piece in pieces[:-1]]
    assert summary.runs_deleted == sum(run.run_deleted for run in runs)
    assert summary.versions == sum(run.versions for run in runs)
    assert summary.events == sum(run.events for run in runs)
    note = f"{summary.runs_deleted:,} runs, {summary.versions:,} versions, {summary.events:,} events"
    return summary.bytes, note, (summary.runs_deleted, summary.versions, summary.events, summary.bytes)


def expected_compaction(runs: int) -> tuple[int, int, int]:
    """Return the runs, versions and events that have to go."""
    expired = len(range(0, runs, EXPIRED_EVERY))
    holding = len(range(1, runs, HOLDING_EVERY))
    return expired, holding * (OVERWRITES + OVERWRITES // 2 - 1), holding * (EVENTS - 1)


def verify(stub: MaintenanceStub) -> tuple[None, str, None]:
    """Verify the store; nothing may have drifted."""
    pieces = list(stub.Verify(maintenance_pb2.VerifyRequest()))
    summary = pieces[-1].summary
    assert summary.drifts == 0, [piece.drift for piece in pieces if piece.HasField("drift")][:5]
    return None, f"{summary.rows:,} rows of {summary.runs:,} runs, no drift", None


def backup(stub: MaintenanceStub, file: Path) -> tuple[int, str, None]:
    """Receive a backup into a file, and check it."""
    digest, size = hashlib.sha256(), 0
    with file.open("wb") as out:
        for piece in stub.Backup(maintenance_pb2.BackupRequest()):
            digest.update(piece.chunk)
            size += out.write(piece.chunk)
            trailer = piece.trailer
        os.fsync(out.fileno())
    assert trailer.sha256 == digest.digest()
    return size, "checked by its digest", None


def copy_plainly(data_file: Path, target: Path) -> tuple[int, str, None]:
    """Copy a file, and sync the copy."""
    with data_file.open("rb") as source, target.open("wb") as out:
        while chunk := source.read(1024 * 1024):
            out.write(chunk)
        os.fsync(out.fileno())
    return target.stat().st_size, "read, written, synced", None


def count(address: str) -> dict[int, int]:
    """Return the runs of each state."""
    with grpc.insecure_channel(address) as channel:
        answer = RunIndexStub(channel).CountRuns(run_index_pb2.CountRunsRequest(include_archived=True))
    return {row.state: row.count for row in answer.by_state}


def measure(work_dir: Path, runs: int) -> list[Figure]:
    """Return what each piece of work took on a store of so many runs."""
    figures: list[Figure] = []
    data_dir, file, restored = work_dir / "data", work_dir / "runs.backup", work_dir / "restored"
    data_file = data_dir / "store" / "data.mdb"
    timed(figures, "copy the file", partial(copy_plainly, data_file, work_dir / "copy"))
    (work_dir / "copy").unlink()
    with serving(data_dir, *NO_SCHEDULE) as server, grpc.insecure_channel(server.address) as channel:
        stub = MaintenanceStub(channel)
        previewed = timed(figures, "compact --dry-run", partial(compact, stub, dry_run=True))
        compacted = timed(figures, "compact", partial(compact, stub, dry_run=False))
        assert previewed == compacted
        assert compacted[:3] == expected_compaction(runs), compacted
        timed(figures, "verify", partial(verify, stub))
        timed(figures, "backup", partial(backup, stub, file))
        counts = count(server.address)
        figures.append(
            Figure(
                "server, resident",
                0.0,
                peak_memory_bytes(server.pid),
                "at its most, pages of the file included",
            )
        )

    def restore() -> tuple[int, str, None]:
        command_line("restore", str(file), "--data-dir", str(restored))
        return (restored / "store" / "data.mdb").stat().st_size, "verified, then a store", None

    def shrink() -> tuple[int, str, None]:
        before = data_file.stat().st_size
        command_line("shrink", "--data-dir", str(data_dir))
        return before - data_file.stat().st_size, "given back to the disk", None

    timed(figures, "restore", restore)
    timed(figures, "shrink", shrink)
    for served in (data_dir, restored):
        with serving(served, *NO_SCHEDULE) as server:
            assert count(server.address) == counts
    return figures


def table(figures: Iterable[Figure], *, runs: int, data_bytes: int) -> str:
    """Return the figures as a table in Markdown."""
    rows = list(figures)
    plain = rows[0].seconds
    lines = [
        f"{runs:,} runs, a data file of {data_bytes / 1e6:,.0f} MB.",
        "",
        "| work | seconds | x copying the file | MB | what |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        size = "" if row.bytes is None else f"{row.bytes / 1e6:,.1f}"
        took, ratio = (f"{row.seconds:.1f}", f"{row.seconds / plain:.1f}") if row.seconds else ("", "")
        lines.append(f"| {row.name} | {took} | {ratio} | {size} | {row.note} |")
    return "\n".join(lines)


def main() -> None:
    """Build, measure, and print the figures; a line of JSON for programs at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=RUNS, help="how many runs the store is to hold")
    parser.add_argument(
        "--dir", type=Path, default=None, help="the disk to measure on; a folder in it is used"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runindex-upkeep-", dir=arguments.dir) as scratch:
        work_dir = Path(scratch)
        asyncio.run(build(work_dir / "data", arguments.runs))
        data_bytes = (work_dir / "data" / "store" / "data.mdb").stat().st_size
        figures = measure(work_dir, arguments.runs)
    print(table(figures, runs=arguments.runs, data_bytes=data_bytes))
    print(json.dumps({figure.name: [round(figure.seconds, 2), figure.bytes] for figure in figures}))


if __name__ == "__main__":
    main()
