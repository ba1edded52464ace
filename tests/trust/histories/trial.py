"""A trial: a server of three workers, eight callers, kills, and the verdict on what they were told."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.process import check_data_dir
from tests.property.model_arguments import DEFAULT
from tests.property.wire import plain
from tests.trust.histories.judge import Beginning, Verdict, judge
from tests.trust.histories.load import loading, read_at_the_end, read_history
from tests.trust.histories.recording import Operation, decoded
from tests.trust.kills.killer import Killer, Victim, start_server
from tests.trust.kills.ledger import Finding, check_ledger


@dataclass(frozen=True)
class Recording:
    """A history, what was before it, and what the store held after it."""

    beginning: Beginning
    history: list[Operation]
    last_runs: list[dict[str, Any]]
    seconds: float
    kills: list[tuple[Victim, float]]


@dataclass(frozen=True)
class Trial:
    """What came of a history.

    Attributes:
        kills: Who was killed, and how many seconds it took until something served again.
        figures: What is worth telling, by name.
    """

    verdict: Verdict
    findings: list[Finding]
    kills: list[tuple[Victim, float]]
    figures: dict[str, Any]

    def wrong(self) -> list[str]:
        """Return what is wrong, told."""
        return [*map(str, self.verdict.violations), *map(str, self.findings)]


def record(folder: Path, *, operations: int, kills: int, seed: str) -> Recording:
    """Record a history of a new store, with kills going on."""
    killer = Killer(folder / "data", start_server(folder / "data"), seed)
    try:
        beginning = _beginning(killer.server.target)
        began_s = time.monotonic()
        with loading(folder, killer.server.target, operations=operations, seed=seed) as load:
            killer.kill_often(load, kills)
        seconds = time.monotonic() - began_s
        last = read_at_the_end(folder, killer.server.target)
        killer.server.terminate()
        assert killer.server.exit_code() == 0
    finally:
        killer.server.close()
    asyncio.run(check_data_dir(folder / "data"))
    history = read_history(folder)
    history += [decoded(len(history) + number, one) for number, one in enumerate(last)]
    last_runs = history[-len(last)].outcome["runs"]
    return Recording(beginning, history, last_runs, seconds, killer.seconds)


def judged(recording: Recording) -> Trial:
    """Judge a history."""
    began_s = time.monotonic()
    verdict = judge(recording.history, recording.beginning)
    findings = check_ledger(recording.history, recording.last_runs)
    figures = {
        **verdict.figures,
        "violations": len(verdict.violations),
        "findings of the ledger": len(findings),
        "seconds of load": round(recording.seconds, 1),
        "operations a second": round(verdict.figures["operations"] / recording.seconds),
        "seconds of judging": round(time.monotonic() - began_s, 1),
        "kills": {victim.value: _times(recording.kills, victim) for victim in Victim},
    }
    return Trial(verdict, findings, recording.kills, figures)


def told(figures: dict[str, Any]) -> str:
    """Return figures as text."""
    return json.dumps(figures, indent=2)


def _beginning(target: str) -> Beginning:
    with grpc.insecure_channel(target) as channel:
        default = plain(RunIndexStub(channel).GetRun(pb.GetRunRequest(run_id=DEFAULT)))
    return Beginning(default["run"]["create_time"], default["revision"])


def _times(kills: list[tuple[Victim, float]], victim: Victim) -> dict[str, float]:
    """Return how often somebody was killed, and how long it took until something served again."""
    seconds = sorted(taken for killed, taken in kills if killed is victim)
    if not seconds:
        return {"kills": 0}
    half, most = seconds[len(seconds) // 2], seconds[-1]
    return {"kills": len(seconds), "p50 s": round(half, 3), "longest s": round(most, 3)}
