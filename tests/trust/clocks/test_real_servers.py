"""Real servers whose wall clock is moved under them while eight callers go on.

What is moved is what the machine tells its processes, gRPC included, so that nothing is left out that asks
for the time by itself. The monotonic clock goes on as it does on a machine whose time somebody sets.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
import pytest

from runindex.v1 import maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.process import WAIT_S, check_data_dir
from tests.crash.workers import WorkersProcess
from tests.property.model_arguments import DEFAULT, Refused
from tests.property.wire import plain
from tests.support.calls import close, create
from tests.support.tally import Tally
from tests.trust.clocks.wallclock import SECOND_US, YEAR_US, WallClock
from tests.trust.histories.judge import Beginning, judge
from tests.trust.histories.load import loading, read_at_the_end, read_history
from tests.trust.histories.recording import Operation, decoded
from tests.trust.kills.ledger import check_ledger

OPERATIONS: Final = int(os.environ.get("RUNINDEX_CLOCK_OPERATIONS", "2000"))
HOUR_US: Final = 3_600 * SECOND_US

MOVES: Final[dict[str, Callable[[WallClock], None]]] = {
    "one hour back": lambda clock: clock.jump(-HOUR_US),
    "ten years on": lambda clock: clock.jump(10 * YEAR_US),
    # By less than what callers let their calls take: it is by this clock that gRPC tells what is left.
    "a jump at each call": lambda clock: clock.leap(5 * SECOND_US),
    "1970": lambda clock: clock.jump_to(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
    "2038": lambda clock: clock.jump_to(datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)),
    "slower": lambda clock: clock.drift(-200_000),
    "faster": lambda clock: clock.drift(200_000),
    "right again": lambda clock: clock.go_right(),
}


@dataclass(frozen=True)
class Recorded:
    """What callers were told, and what the store held before and after."""

    beginning: Beginning
    history: list[Operation]
    last: list[Operation]


@contextmanager
def serving(data_dir: Path, clock: WallClock, *arguments: str) -> Iterator[WorkersProcess]:
    """Return a server of three workers that goes by a clock."""
    with clock.applied():
        server = WorkersProcess(data_dir, *arguments, workers=3)
    try:
        yield server
    finally:
        server.close()


def record(folder: Path, clock: WallClock) -> Recorded:
    """Record a history of a new store whose clock is moved all the while."""
    with serving(folder / "data", clock, "--retention-interval-s", "0") as server:
        with grpc.insecure_channel(server.target) as channel:
            born = plain(RunIndexStub(channel).GetRun(pb.GetRunRequest(run_id=DEFAULT)))
        with loading(folder, server.target, operations=OPERATIONS, seed="clocks") as load:
            for move in MOVES.values():
                load.wait_for(OPERATIONS // (len(MOVES) + 1))
                move(clock)
        last = read_at_the_end(folder, server.target)
        with grpc.insecure_channel(server.target) as channel:
            drifts = MaintenanceStub(channel).Verify(maintenance_pb2.VerifyRequest(), timeout=WAIT_S)
            assert not [part for part in drifts if part.HasField("drift")]
        server.terminate()
        assert server.exit_code() == 0
    asyncio.run(check_data_dir(folder / "data"))
    history = read_history(folder)
    ended = [decoded(len(history) + number, one) for number, one in enumerate(last)]
    return Recorded(Beginning(born["run"]["create_time"], born["revision"]), history, ended)


def test_a_history_is_strictly_serialisable_whatever_the_wall_clock_does(
    tmp_path: Path, wall_clock: WallClock, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost, nothing is applied twice, nothing is refused that would not be by a right clock."""
    began_s = time.monotonic()
    recorded = record(tmp_path, wall_clock)
    history = [*recorded.history, *recorded.last]
    verdict = judge(history, recorded.beginning)
    runs = recorded.last[0].outcome
    assert isinstance(runs, dict)
    findings = check_ledger(history, runs["runs"])
    late = [one for one in history if isinstance(one.outcome, Refused) and one.revision is None]
    wrong = [*map(str, verdict.violations), *map(str, findings), *map(str, late)]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{verdict.figures['operations']} operations, {verdict.figures['writes']} writes, "
            f"{len(MOVES)} moves of the clock, which was read {wall_clock.calls} times; "
            f"{time.monotonic() - began_s:.1f} s\n"
        )
    tally("operations under a wall clock that is moved", runs=len(history), failures=len(wrong))
    assert wrong == []
    assert wall_clock.calls > OPERATIONS, "the servers do not go by the clock"


def ended_runs(target: str, count: int) -> set[str]:
    """Make runs that have ended, and return their ids."""
    with grpc.insecure_channel(target) as channel:
        stub = RunIndexStub(channel)
        ids = {create(stub).run_id for _ in range(count)}
        for run_id in ids:
            close(stub, run_id)
        return ids


def there(target: str, ids: set[str]) -> int:
    """Return how many runs there are of some."""
    with grpc.insecure_channel(target) as channel:
        stub = RunIndexStub(channel)
        return sum(stub.RunExists(pb.RunExistsRequest(run_id=one), timeout=WAIT_S).exists for one in ids)


def passes(target: str, *, trust_clock: bool = False) -> str:
    """Ask for a pass of retention, and return why it was refused; nothing when it was not."""
    request = maintenance_pb2.CompactRequest(trust_clock=trust_clock)
    with grpc.insecure_channel(target) as channel:
        try:
            list(MaintenanceStub(channel).Compact(request, timeout=WAIT_S))
        except grpc.RpcError as error:
            return error.details() or "refused"
        return ""


def test_retention_removes_nothing_by_a_clock_that_jumped(
    tmp_path: Path, wall_clock: WallClock, tally: Tally
) -> None:
    """Passes are scheduled each second, and asked for; when the clock is trusted again, they remove."""
    policy = ("--default-retention", "delete_after=1d", "--retention-interval-s", "1")
    early = 0
    with serving(tmp_path / "data", wall_clock, *policy) as server:
        ids = ended_runs(server.target, 20)
        for years in (1, 10, 50):
            wall_clock.jump(years * YEAR_US)
            refusals = [passes(server.target) for _ in range(3)]
            assert all("The wall clock has jumped" in refusal for refusal in refusals), refusals
            early += len(ids) - there(server.target, ids)
        wall_clock.go_right()
        assert passes(server.target) == ""
        wall_clock.jump(-10 * YEAR_US)
        assert passes(server.target) == ""
        # Put right, it looks as if it had jumped: whoever knows better has to say so.
        wall_clock.go_right()
        assert "The wall clock has jumped" in passes(server.target)
        early += len(ids) - there(server.target, ids)
        server.terminate()
        assert server.exit_code() == 0
    tally("runs that a clock that jumped would have removed", runs=4 * len(ids), failures=early)
    assert early == 0
    with serving(tmp_path / "data", wall_clock, "--default-retention", "delete_after=1s") as server:
        deadline = time.monotonic() + WAIT_S
        while there(server.target, ids):
            passes(server.target, trust_clock=True)
            assert time.monotonic() < deadline, "nothing is removed any more"
        server.terminate()
        assert server.exit_code() == 0
    asyncio.run(check_data_dir(tmp_path / "data"))


def test_calls_whose_time_a_jump_takes_are_refused_and_write_nothing(
    tmp_path: Path, wall_clock: WallClock, tally: Tally
) -> None:
    """gRPC tells what is left of a call's time by the wall clock: one that jumps between takes it all."""
    outcomes: list[str] = []
    with serving(tmp_path / "data", wall_clock) as server:
        wall_clock.leap(10 * YEAR_US)
        with grpc.insecure_channel(server.target) as channel:
            stub = RunIndexStub(channel)
            made = []
            for _ in range(100):
                try:
                    made.append(stub.CreateRun(pb.CreateRunRequest(), timeout=WAIT_S).run.run_id)
                    outcomes.append("OK")
                except grpc.RpcError as error:
                    outcomes.append(f"{error.code().name} {error.details()}")
            wall_clock.go_right()
            listed = stub.ListRuns(pb.ListRunsRequest(page_size=1_000), timeout=WAIT_S).runs
        server.terminate()
        assert server.exit_code() == 0
    told = "DEADLINE_EXCEEDED The deadline passed before the call was executed. Nothing was written."
    wrong = [one for one in outcomes if one not in {"OK", told}]
    assert len(set(made)) == len(made)
    is_different = [run.run_id for run in listed] != [*reversed(made), DEFAULT]
    tally("calls within ten years of jumps", runs=len(outcomes), failures=len(wrong) + int(is_different))
    assert wrong == []
    assert not is_different
    asyncio.run(check_data_dir(tmp_path / "data"))
