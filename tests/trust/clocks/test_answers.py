"""The same calls under every clock: but for the times in them, all answers are the same.

So ids, versions, revisions and orders do not depend on the wall clock. The times themselves are held to what
is promised of them: none goes back, create times strictly increase, no duration is negative.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.lmdb_store import open_lmdb
from runindex_server.kv.write_buffer import WriteBuffer
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.run import RunId
from tests.crash.process import MAP_BYTES
from tests.property.model_arguments import DEFAULT, Refused, Request
from tests.property.wire import message_of, plain
from tests.support.consistency import find_differences
from tests.support.server import WAIT_S, LoopThread, RunningServer
from tests.support.tally import Tally
from tests.trust.clocks.nemesis import NEMESES, SUDDEN, Nemesis, NemesisClock, backwards, steady
from tests.trust.histories.callers import STATUS_KEY
from tests.trust.histories.judge import Beginning, judge
from tests.trust.histories.mix import Mix
from tests.trust.histories.recording import Operation, Recorded, answer_type, decoded, path_of

CALLS: Final = 500
JOBS_EVERY: Final = 50
TIMES: Final = frozenset(
    (
        *("create_time", "update_time", "end_time", "activity_time", "write_time", "append_time"),
        *("duration", "time", "start_time", "expire_time", "first_time", "last_time", "next_page_token"),
        *("page_token", "duration_p50", "duration_p95", "duration_mean", "durations"),
    )
)
"""Fields that tell times, and tokens, which no two stores share."""


@contextmanager
def serving(loop: LoopThread, clock: NemesisClock, data_dir: Path) -> Iterator[RunningServer]:
    """Return a server over a store on disk, by a clock; its ids are numbers."""
    numbers = count(1)

    async def open_store() -> MaintainedStore:
        return open_lmdb(
            data_dir, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None
        )

    def new_run_id() -> RunId:
        return RunId((0xA << 120 | 7 << 76 | 8 << 60 | next(numbers)).to_bytes(16))

    server = RunningServer(loop, open_store, clock=clock, new_run_id=new_run_id, retention_interval_s=0)
    try:
        yield server
    finally:
        server.stop()


def histories(server: RunningServer, channel: grpc.Channel) -> list[Operation]:
    """Return what came of the calls of one caller, with the jobs in between."""
    mix, recorded = Mix("clocks", 0), []
    for number in range(CALLS):
        if number % JOBS_EVERY == 0:
            server.run_jobs()
        recorded.append(call(channel, mix, *mix.next()))
    return [decoded(number, one) for number, one in enumerate(recorded)]


def call(channel: grpc.Channel, mix: Mix, method: str, request: Request) -> Recorded:
    """Make a call, and write down what came of it."""
    send = channel.unary_unary(path_of(method), request_serializer=None, response_deserializer=None)
    begin_ns = time.monotonic_ns()
    try:
        answer: bytes = send(message_of(method, request).SerializeToString(), timeout=WAIT_S)
    except grpc.RpcError as error:
        details: dict[str, Any] = dict(error.trailing_metadata() or ())
        status = details[STATUS_KEY]
        mix.note_refusal(request, status)
        return Recorded(0, method, request, begin_ns, time.monotonic_ns(), None, status, error.code().name)
    mix.note(method, request, answer_type(method).FromString(answer))
    return Recorded(0, method, request, begin_ns, time.monotonic_ns(), answer, None, "")


def timeless(value: Any) -> Any:
    """Return an answer without what tells times."""
    if isinstance(value, dict):
        return {key: key if key in TIMES else timeless(one) for key, one in value.items()}
    if isinstance(value, list):
        return [timeless(one) for one in value]
    return value


def told(operation: Operation) -> tuple[Any, ...]:
    """Return what an operation came to, without times."""
    outcome = operation.outcome
    if isinstance(outcome, Refused):
        return operation.method, timeless(operation.request), str(outcome)
    return operation.method, timeless(operation.request), timeless(outcome)


def wrong_times(runs: list[pb.Run]) -> list[str]:
    """Return what is wrong with the times of runs, as they are listed: newest first."""
    found = []
    for run in runs:
        if run.update_time.ToMicroseconds() < run.create_time.ToMicroseconds():
            found.append(f"{run.run_id} was changed before it was created")
        if run.HasField("duration") and run.duration.ToMicroseconds() < 0:
            found.append(f"{run.run_id} ended before it was created")
    created = [run.create_time.ToMicroseconds() for run in runs]
    if any(newer <= older for newer, older in pairwise(created)):
        found.append("create times do not strictly increase")
    return found


def wrong_searches(stub: RunIndexStub, runs: list[pb.Run]) -> list[str]:
    """Return where a search by time does not find what the records tell."""
    found = []
    for run in runs[:: max(1, len(runs) // 5)]:
        day = run.create_time.ToDatetime().date().isoformat()
        query = f"created>={day}"
        request = pb.SearchRunsRequest(query=query, include_archived=True, page_size=1_000)
        ids = [one.run_id for one in stub.SearchRuns(request, timeout=WAIT_S).runs]
        if ids != [one.run_id for one in runs if one.create_time.ToDatetime().date().isoformat() >= day]:
            found.append(query)
    return found


def faults(
    server: RunningServer, channel: grpc.Channel, history: list[Operation], born: Request
) -> list[str]:
    """Return all that is wrong after a history."""
    stub = RunIndexStub(channel)
    listing = pb.ListRunsRequest(include_archived=True, page_size=1_000)
    runs = list(stub.ListRuns(listing, timeout=WAIT_S).runs)
    beginning = Beginning(born["run"]["create_time"], born["revision"])
    drifts = [
        part.drift
        for part in MaintenanceStub(channel).Verify(maintenance_pb2.VerifyRequest(), timeout=WAIT_S)
        if part.HasField("drift")
    ]
    return [
        *map(str, judge(history, beginning).violations),
        *map(str, drifts),
        *wrong_times(runs),
        *wrong_searches(stub, runs),
    ]


def outcome_of(loop: LoopThread, nemesis: Nemesis, folder: Path) -> tuple[list[Any], list[str]]:
    """Return what the calls came to under a clock, without times, and all that is wrong."""
    clock = NemesisClock(nemesis)
    with serving(loop, clock, folder / nemesis.__name__) as server:
        with grpc.insecure_channel(server.target) as channel:
            stub = RunIndexStub(channel)
            born = plain(stub.GetRun(pb.GetRunRequest(run_id=DEFAULT)))
            history = histories(server, channel)
            wrong = faults(server, channel, history, born)
        wrong += loop.run(server.store.read(find_differences))
    assert clock.looks > 2 * SUDDEN, "the clock was hardly looked at"
    return [told(one) for one in history], wrong


@pytest.fixture(scope="module")
def expected(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return what the calls come to under a clock that goes right."""
    outcomes, wrong = outcome_of(loop, steady, tmp_path_factory.mktemp("steady"))
    assert wrong == []
    return outcomes


@pytest.mark.parametrize("nemesis", NEMESES, ids=lambda one: one.__name__)
def test_answers_do_not_depend_on_the_wall_clock(
    loop: LoopThread, tmp_path: Path, nemesis: Nemesis, expected: list[Any], tally: Tally
) -> None:
    outcomes, wrong = outcome_of(loop, nemesis, tmp_path)
    different = [pair for pair in zip(expected, outcomes, strict=True) if pair[0] != pair[1]]
    tally("calls under a clock that jumps", runs=CALLS, failures=len(different) + len(wrong))
    assert wrong == []
    assert different == []


def test_times_that_follow_the_wall_clock_are_found(
    loop: LoopThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: a store that issues the wall clock's time, and not one that only grows."""

    def issue(self: WriteBuffer, *, strictly_later: bool = False) -> int:
        return max(0, self._clock.now_us())

    monkeypatch.setattr(WriteBuffer, "issue_time_us", issue)
    _, wrong = outcome_of(loop, backwards, tmp_path)
    assert "create times do not strictly increase" in wrong
    assert len(wrong) > 1
