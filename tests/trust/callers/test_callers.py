"""Hostile and unlucky callers: whatever they do, a good client is served, and nothing is lost or done twice.

How fast it is served is told and not judged here; `python -m tests.trust.callers` does both, at length.
"""

import asyncio
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.ledger import OWN_CONNECTION
from tests.crash.process import serving
from tests.crash.workers import connections
from tests.property.machine import MEMORY_DIR
from tests.support.tally import Tally
from tests.trust.callers import cuts, setup
from tests.trust.callers.attacks import ATTACKS
from tests.trust.callers.floods import AT_ONCE
from tests.trust.callers.good import CALL_S
from tests.trust.callers.scene import Scene
from tests.trust.callers.table import row_of
from tests.trust.callers.trial import Attack, tried

BURST: Final = AT_ONCE
"""Calls under way at once, on one connection, of a caller that means no harm."""

BURSTS: Final = 2_048 // BURST
"""At the same time. gRPC begins to end calls that wait at 1,000."""

LARGE_BURST: Final = 3_000
"""Calls over one channel, of which most wait in the caller."""

FEW_CUTS: Final = 100
TWICE: Final = ("and then", "was to come", "never acknowledged")
"""How a write is told that took place twice: by its repetition, by a number, by a run too many."""


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Return a folder in memory, where there is such: what a disk does is another test's matter."""
    with tempfile.TemporaryDirectory(prefix="runindex-callers-", dir=MEMORY_DIR) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def many_files() -> None:
    """Let this process have as many connections as it may: each is a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_good_client_is_served_meanwhile(
    memory_path: Path, attack: Attack, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = tried(attack, memory_path, attack.cases)
    with capsys.disabled():
        sys.stdout.write(f"\n{row_of(trial)} {trial.notes}\n")
    tally(f"cases of {attack.name}", runs=attack.cases, failures=len(trial.failures))
    tally("calls of a good client meanwhile", runs=len(trial.calls.milliseconds))
    assert trial.failures == []


@pytest.mark.parametrize("run", [cuts.cut, cuts.cut_and_not_repeated])
def test_a_server_that_forgets_request_ids_is_found_out(
    memory_path: Path, run: Callable[[Scene, int], Coroutine[Any, Any, None]], tally: Tally
) -> None:
    forgetful = Attack("cut connections", run, FEW_CUTS, FEW_CUTS, setup.forgetful)
    trial = tried(forgetful, memory_path, forgetful.cases)
    tally("planted faults of callers' tests", runs=1, failures=int(not trial.failures))
    assert any(told in failure for failure in trial.failures for told in TWICE), trial


def test_a_burst_over_one_channel_is_all_answered(memory_path: Path, tally: Tally) -> None:
    """Unless streams that have ended have room, gRPC resets those that a channel begins in their place."""

    async def burst(target: str) -> Counter[grpc.StatusCode]:
        # Nor does gRPC try again, which would hide some.
        options = (*OWN_CONNECTION, ("grpc.enable_retries", 0))
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            create = RunIndexStub(channel).CreateRun
            calls = [create(pb.CreateRunRequest(), timeout=CALL_S) for _ in range(LARGE_BURST)]
            return Counter([await call.code() for call in calls])

    with serving(memory_path / "data") as server:
        ends = asyncio.run(burst(server.target))
    failures = LARGE_BURST - ends[grpc.StatusCode.OK]
    tally("calls at once over one channel", runs=LARGE_BURST, failures=failures)
    assert ends == {grpc.StatusCode.OK: LARGE_BURST}


def test_calls_that_come_at_the_same_time_are_all_answered(memory_path: Path, tally: Tally) -> None:
    """Beyond a bound of its own, gRPC ends calls that wait: at random, and without a reason."""
    with serving(memory_path / "data") as server, connections(server.target, BURSTS) as channels:
        stubs = [RunIndexStub(channel) for channel in channels]
        for stub in stubs:
            stub.RunExists(pb.RunExistsRequest(run_id="default"), timeout=CALL_S)
        request = pb.CreateRunRequest()
        calls = [stub.CreateRun.future(request, timeout=CALL_S) for stub in stubs for _ in range(BURST)]
        ends = Counter(call.code() for call in calls)
    tally("calls that come at the same time", runs=len(calls), failures=len(calls) - ends[grpc.StatusCode.OK])
    assert ends == {grpc.StatusCode.OK: BURSTS * BURST}
