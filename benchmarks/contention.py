"""What writers notice of each other: of merging beside them, and of other workers."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import cases_read, cases_write
from benchmarks.cases_write import Pools
from benchmarks.load import Caller, Load, run_closed, run_steady
from benchmarks.measure import Cost, Subject, connected, fill, measured_round
from benchmarks.servers import Server, drain, serving, serving_without_jobs

WRITERS: Final = 16
ROUNDS: Final = 3
STEADY_S: Final = 2.0
STEADY_SHARE: Final = 0.5
"""Of the creates in a second that the server does when each caller sends the next one at once."""

CALLERS_MAX: Final = 256
WORKERS: Final = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Steady:
    """Creates at a steady rate.

    Attributes:
        rate_per_s: How many in a second.
        merging: On a server that merges meanwhile.
        alone: On one that does not.
    """

    rate_per_s: float
    merging: Load
    alone: Load


def measure_steady(merging_dir: Path, alone_dir: Path, runs: int) -> Steady:
    """Create runs at a steady rate on two stores, in turn; on one of them nothing is merged."""
    with serving(merging_dir) as merging, serving_without_jobs(alone_dir) as alone:
        callers = {server.port: _creating(runs) for server in (merging, alone)}
        rate_per_s = _rate(merging, callers[merging.port][:WRITERS]) * STEADY_SHARE
        steady = Steady(rate_per_s, Load(), Load())
        for _ in range(ROUNDS):
            for server, load in ((merging, steady.merging), (alone, steady.alone)):
                with connected(server, callers[server.port]) as (line,):
                    load.add(run_steady(line, rate_per_s, STEADY_S))
            drain(merging)
        return steady


def _creating(runs: int) -> list[Caller]:
    """Return callers that create runs."""
    return list(map(Caller, cases_write.scripts("CreateRun", Pools(runs), CALLERS_MAX)))


def _rate(server: Server, callers: list[Caller]) -> float:
    """Return how many creates in a second a server does, merging included."""
    with connected(server, callers) as all_lines:
        load = run_closed(all_lines, STEADY_S)
    drain(server)
    return load.calls / load.seconds


@dataclass(frozen=True, slots=True)
class Workers:
    """What a server with some workers costs.

    Attributes:
        workers: How many.
        writes: 16 writers, each on a run of its own.
        reads: 16 readers.
    """

    workers: int
    writes: Cost
    reads: Cost


def can_have_workers() -> bool:
    """Tell whether the server can have several workers."""
    help_text = subprocess.run(
        [sys.executable, "-m", "runindex_server", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout
    return "--workers" in help_text


def measure_workers(data_dirs: Sequence[Path], runs: int) -> list[Workers]:
    """Measure servers with 1, 2 and 4 workers in turn, each on a store of its own, with 16 connections."""
    with ExitStack() as stack:
        teams = [
            _Team(count, stack.enter_context(serving(data_dir, "--workers", str(count))), runs)
            for count, data_dir in zip(WORKERS, data_dirs, strict=True)
        ]
        for _ in range(ROUNDS):
            for team in teams:
                team.run_round()
        return [team.measured for team in teams]


class _Team:
    """A server with some workers that is being measured."""

    def __init__(self, workers: int, server: Server, runs: int) -> None:
        self.measured = Workers(workers, Cost(), Cost())
        self._server = server
        pools = Pools(runs)
        fill(Subject(runs, server, pools), "active", WRITERS)
        self._writers: list[Caller] = []
        for _ in range(WRITERS):
            own = Pools(runs)
            own["active"].append(pools["active"].popleft())
            self._writers += map(Caller, cases_write.scripts("UpdateRunMetadata", own, 1))
        self._readers = list(map(Caller, cases_read.scripts("GetRun", runs, WRITERS)))

    def run_round(self) -> None:
        """Measure writes, then reads. Each round's connections come to other workers."""
        writes = measured_round(self._server, self._writers, is_write=True, connections=WRITERS)
        reads = measured_round(self._server, self._readers, is_write=False, connections=WRITERS)
        self.measured.writes.rounds.append(writes)
        self.measured.reads.rounds.append(reads)
