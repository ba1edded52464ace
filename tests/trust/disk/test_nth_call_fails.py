"""Each call to the disk fails in turn, and nothing that was acknowledged is lost, or told wrongly.

A server creates a store and serves callers, restores a backup, or backs up a store, while the n-th call that
writes, syncs, truncates, renames or opens for writing fails: for n = 1, 2, ... until none is left; once
and from then on; because the disk is broken or full, is interrupted, or writes only half. Then the disk is
well again. The store has to open and be sound, hold what was acknowledged, and of each other call all or
nothing; and who repeats it under its request id learns the truth.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.crash.workers import serving_workers
from tests.support.tally import Tally
from tests.trust.disk.failing import Crowd
from tests.trust.disk.faulty import MAP_BYTES, Fault, Nursery, Plan, PlanFile, build_shim

PARTS: Final = 2
WAIT_S: Final = 900.0

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc to compile what fails")

CASES: Final = (
    *(("serve", fault, ()) for fault in Fault),
    *(("restore", fault, ()) for fault in (Fault.EIO, Fault.ENOSPC, Fault.SHORT)),
    *(("backup", fault, ()) for fault in (Fault.EIO, Fault.ENOSPC)),
    *(("serve", fault, ("--lasting",)) for fault in (Fault.EIO, Fault.ENOSPC)),
    ("restore", Fault.ENOSPC, ("--lasting",)),
)
CALLS_MIN: Final = {"serve": 60, "restore": 15, "backup": 8}
"""How many calls to the disk each of them makes at least: fewer, and they would not be seen."""


@pytest.mark.parametrize(("subject", "fault", "options"), CASES)
def test_every_call_fails_in_turn(subject: str, fault: Fault, options: tuple[str, ...], tally: Tally) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.trust.disk.nth",
        subject,
        fault.name,
        *options,
        "--parts",
        str(PARTS),
    ]
    running = [
        subprocess.Popen([*command, "--part", str(part)], stdout=subprocess.PIPE, text=True)
        for part in range(PARTS)
    ]
    try:
        trials = [
            json.loads(line)
            for process in running
            for line in process.communicate(timeout=WAIT_S)[0].splitlines()
        ]
    finally:
        for process in running:
            process.kill()
            process.wait()
    failed = [trial for trial in trials if trial["problems"]]
    tally("calls to the disk that failed", runs=len(trials), failures=len(failed))

    assert [process.returncode for process in running] == [0] * PARTS
    assert failed == []
    assert len(trials) >= CALLS_MIN[subject]
    # Each part went on until nothing was left to fail.
    assert sum(trial["failed"] == 0 for trial in trials) == PARTS


class Stand:
    """A server whose disk can be made to fail, and a crowd of callers."""

    def __init__(self, folder: Path) -> None:
        self.plan = PlanFile(folder / "plan")
        self.nursery = Nursery(self.plan, build_shim(folder))
        self.root = folder / "root"
        self.root.mkdir()
        self.crowd = Crowd(1)

    def serve(self, plan: Plan) -> int:
        """Let the crowd write while the disk fails by a plan; return how the server ended."""
        command = self.nursery.start(
            self.root, "serve", "--address", "127.0.0.1:0", "--data-dir", str(self.root / "data"),
            "--map-bytes", str(MAP_BYTES),
        )  # fmt: skip
        target = command.target()
        assert target is not None, command.logged()
        self.plan.set(plan)
        self.crowd.work(target, 4)
        command.terminate()
        return command.exit_code()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    stand.nursery.close()


def test_a_lost_acknowledgement_is_found(stand: Stand, tally: Tally) -> None:
    """Were a server to acknowledge what it did not keep, the ledger of the callers would show it."""
    assert stand.serve(Plan()) == 0
    data_dir = stand.root / "data"
    shutil.copytree(data_dir, stand.root / "before")
    assert stand.crowd.check(data_dir) == []
    assert stand.serve(Plan()) == 0
    # All that was acknowledged since is gone.
    problems = stand.crowd.check(stand.root / "before")
    tally("planted losses", runs=1, failures=int(not problems))
    assert any("not one of" in problem for problem in problems)


def test_a_write_that_nobody_asked_for_is_found(stand: Stand, tally: Tally) -> None:
    assert stand.serve(Plan()) == 0
    forgotten: Any = stand.crowd.callers.pop()
    problems = stand.crowd.check(stand.root / "data")
    tally("planted writes", runs=1, failures=int(not problems))
    assert forgotten.runs_ever
    assert any("nobody asked for it" in problem for problem in problems)


def test_after_an_unknown_outcome_the_server_ends_and_the_next_one_tells(stand: Stand, tally: Tally) -> None:
    """Nothing more is acknowledged, the process exits with 70, and each caller learns the truth later."""
    code = stand.serve(Plan(Fault.EIO, first=3))
    refusals = {refusal for caller in stand.crowd.callers for refusal in caller.refusals}
    problems = stand.crowd.check(stand.root / "data")
    tally("commits whose outcome was unknown", runs=1, failures=len(problems))
    assert code == 70
    assert "COMMIT_OUTCOME_UNKNOWN" in refusals
    assert problems == []


@pytest.mark.parametrize("first", range(1, 5))
def test_of_two_workers_one_ends_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, tally: Tally
) -> None:
    """Whichever call of a commit fails, the worker whose commit it was ends, and the other one goes on."""
    plan, root = PlanFile(tmp_path / "plan"), tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("LD_PRELOAD", str(build_shim(tmp_path)))
    monkeypatch.setenv("DISK_ROOT", str(root))
    monkeypatch.setenv("DISK_PLAN", str(plan.path))
    crowd = Crowd(first)
    with serving_workers(root / "data") as server:
        plan.set(Plan(Fault.EIO, first))
        crowd.work(server.target, 4)
        # The third start is that of the worker that takes the place of the one that ended.
        server.wait_for("worker started", times=3)
        ended = server.logged("worker ended", by="exit code 70")
        server.terminate()
        code = server.exit_code()
    problems = crowd.check(root / "data") + crowd.strange_refusals()
    tally("workers whose disk failed", runs=1, failures=len(problems))
    assert problems == []
    assert len(ended) == 1
    assert code == 0
