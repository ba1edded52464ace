"""What a call costs the server, as a ratio to an empty handler with messages of the same size: a first look.

    make ratio

Two servers run side by side, this one on a fresh store, the other empty. Each method is called in short
rounds, in turn with the empty handler, 16 calls in flight; each answer is checked. The cost is the server's
own CPU time, as the kernel accounts it. It takes about a minute and decides nothing.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc

IN_FLIGHT = 16
ROUNDS = 3
ROUND_S = 0.6
RUNS = 1_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Case:
    """A method to measure.

    Attributes:
        name: Of the row.
        call: Makes the n-th call.
        request_bytes: The size of a request.
        check: Whether an answer is right.
    """

    name: str
    call: Callable[[int], Awaitable[Message]]
    request_bytes: int
    check: Callable[[Any], bool]


@dataclass
class Cost:
    """What some calls cost.

    Attributes:
        calls: How many.
        cpu_s: The server's CPU time.
        wall_s: How long they took.
    """

    calls: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def cpu_us(self) -> float:
        """The server's CPU time for one call, in microseconds."""
        return self.cpu_s / self.calls * 1e6

    @property
    def calls_per_s(self) -> float:
        """Calls in a second."""
        return self.calls / self.wall_s


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python module beside this one, and end it."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.terminate()
            started.wait(timeout=30)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def load(
    call: Callable[[int], Awaitable[Any]], check: Callable[[Any], bool], pid: int, cost: Cost
) -> None:
    """Make calls for a round, and add what they cost."""
    end = time.monotonic() + ROUND_S
    made = 0

    async def caller() -> None:
        nonlocal made
        while time.monotonic() < end:
            made += 1
            answer = await call(cost.calls + made)
            if not check(answer):
                msg = f"wrong answer: {answer}"
                raise AssertionError(msg)

    cpu_before, wall_before = cpu_s(pid), time.monotonic()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    cost.cpu_s += cpu_s(pid) - cpu_before
    cost.wall_s += time.monotonic() - wall_before
    cost.calls += made


def cases(stub: "pb_grpc.RunIndexAsyncStub", run_ids: list[str]) -> list[Case]:
    """Return the methods to measure, on a store of active runs that all carry the tag `all`."""
    return [*point_cases(stub, run_ids), *page_cases(stub), *write_cases(stub, run_ids)]


def point_cases(stub: "pb_grpc.RunIndexAsyncStub", run_ids: list[str]) -> list[Case]:
    """Return the reads of one run, or of none."""
    size = pb.GetRunRequest(run_id=run_ids[0]).ByteSize()

    def get(number: int) -> Awaitable[Message]:
        return stub.GetRun(pb.GetRunRequest(run_id=run_ids[number % len(run_ids)]))

    def exists(number: int) -> Awaitable[Message]:
        return stub.RunExists(pb.RunExistsRequest(run_id=run_ids[number % len(run_ids)]))

    def count(_: int) -> Awaitable[Message]:
        return stub.CountRuns(pb.CountRunsRequest())

    return [
        Case("GetRun", get, size, lambda answer: answer.run.version >= 1),
        Case("RunExists", exists, size, lambda answer: answer.exists),
        Case("CountRuns", count, 0, lambda answer: answer.count > RUNS),
    ]


def page_cases(stub: "pb_grpc.RunIndexAsyncStub") -> list[Case]:
    """Return the reads of a page."""
    by_tag, search = pb.QueryRunsByTagRequest(tag="all"), pb.SearchRunsRequest(query="tag:all nightly")

    def list_all(_: int) -> Awaitable[Message]:
        return stub.ListRuns(pb.ListRunsRequest())

    def list_tagged(_: int) -> Awaitable[Message]:
        return stub.QueryRunsByTag(by_tag)

    def find(_: int) -> Awaitable[Message]:
        return stub.SearchRuns(search)

    return [
        Case("ListRuns, 100", list_all, 0, lambda answer: len(answer.runs) == 100),
        Case("QueryRunsByTag, 100", list_tagged, by_tag.ByteSize(), lambda answer: len(answer.runs) == 100),
        Case("SearchRuns, 10", find, search.ByteSize(), lambda answer: len(answer.runs) == 10),
    ]


def write_cases(stub: "pb_grpc.RunIndexAsyncStub", run_ids: list[str]) -> list[Case]:
    """Return the writes."""
    metadata = sample_metadata()

    def create(number: int) -> Awaitable[Message]:
        tags = ["bench", f"shard-{number % 50}", "nightly"]
        return stub.CreateRun(pb.CreateRunRequest(metadata=metadata, tags=tags))

    def tag(number: int) -> Awaitable[Message]:
        turn, place = divmod(number, len(run_ids))
        return stub.AddRunTags(pb.AddRunTagsRequest(run_id=run_ids[place], tags=[f"t{turn % 60}"]))

    return [
        Case("CreateRun", create, metadata.ByteSize() + 40, lambda answer: answer.run.version == 1),
        Case("AddRunTags", tag, 48, lambda answer: answer.version > 1),
    ]


def sample_metadata() -> Struct:
    """Return some 300 bytes of metadata."""
    metadata = Struct()
    metadata.update(
        {
            "model": "gpt-4o",
            "task": "summarise the weekly report for the operations team",
            "attempt": 3,
            "temperature": 0.7,
            "dataset": {"name": "reports", "split": "validation", "rows": 1200},
            "owner": "team-search",
            "notes": "started by the nightly schedule",
        }
    )
    return metadata


def fixed(call: Callable[[bytes], Awaitable[bytes]], payload: bytes) -> Callable[[int], Awaitable[bytes]]:
    """Return what makes the same call each time."""
    return lambda _: call(payload)


def sized(size: int) -> Callable[[bytes], bool]:
    """Return what tells whether an answer has a size."""
    return lambda answer: len(answer) == size


async def measure(address: str, pid: int, empty_port: int, empty_pid: int) -> list[tuple[str, Cost, Cost]]:
    """Return what each method and, in the same rounds, the empty handler cost."""
    rows = []
    async with (
        grpc.aio.insecure_channel(address) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{empty_port}") as empty_channel,
    ):
        stub: Any = pb_grpc.RunIndexStub(channel)
        empty: Any = empty_channel.unary_unary("/empty.Empty/Call", None, None)
        request = pb.CreateRunRequest(metadata=sample_metadata(), tags=["all", "bench"])
        created = [await stub.CreateRun(request) for _ in range(RUNS)]
        for case in cases(stub, [answer.run.run_id for answer in created]):
            size = (await case.call(0)).ByteSize()
            payload = size.to_bytes(8, "big") + bytes(max(0, case.request_bytes - 8))
            cost, empty_cost = Cost(), Cost()
            for _ in range(ROUNDS):
                await load(case.call, case.check, pid, cost)
                await load(fixed(empty, payload), sized(size), empty_pid, empty_cost)
            rows.append((case.name, cost, empty_cost))
    return rows


def main() -> None:
    """Start both servers, measure, and print a table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        process("benchmarks.empty_server") as empty,
        process(
            "runindex_server",
            "serve",
            "--address",
            "127.0.0.1:0",
            "--data-dir",
            folder,
            "--log-level",
            "error",
        ) as server,
    ):
        assert empty.stdout is not None and server.stdout is not None  # noqa: PT018  # Both are pipes.
        empty_port = int(empty.stdout.readline())
        address = server.stdout.readline().split(" listens on ")[1].split(";")[0]
        rows = asyncio.run(measure(address, server.pid, empty_port, empty.pid))
    print("| method | CPU of a call, us | empty handler, us | ratio | calls a second | empty handler |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, cost, empty_cost in rows:
        print(
            f"| {name} | {cost.cpu_us:.0f} | {empty_cost.cpu_us:.0f} | {cost.cpu_us / empty_cost.cpu_us:.2f} "
            f"| {cost.calls_per_s:.0f} | {empty_cost.calls_per_s:.0f} |"
        )


if __name__ == "__main__":
    main()
