"""kill -9 of what serves, again and again, while callers go on: a worker, all workers, the supervisor."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.ledger import OWN_CONNECTION
from tests.crash.workers import WorkersProcess
from tests.trust.histories.load import Load

WORKERS: Final = 3
ARGUMENTS: Final = (
    *("--map-bytes", str(1024**3)),
    # Retention would change what no caller asked to change.
    *("--retention-interval-s", "0"),
)
SERVE_S: Final = 60.0
"""How long it may take to serve again: who waits longer waits in vain."""

TRY_S: Final = 0.5
TRIES_MAX: Final = 10_000


class Victim(Enum):
    """Who is killed."""

    WORKER = "a worker"
    ALL_WORKERS = "all workers"
    SUPERVISOR = "the supervisor"


ROUND: Final = (*(Victim.WORKER,) * 8, Victim.ALL_WORKERS, Victim.SUPERVISOR)
"""Who is killed in ten rounds, in any order. A new supervisor forgets that a worker died before."""


@dataclass
class Killer:
    """Kills, and sees to it that something serves again.

    Attributes:
        server: What serves at the moment.
        seconds: For each kill how long it took until a new connection was answered.
    """

    data_dir: Path
    server: WorkersProcess
    seed: str
    seconds: list[tuple[Victim, float]] = field(default_factory=list)
    _kills: Counter[int] = field(default_factory=Counter)

    def kill_often(self, load: Load, rounds: int) -> None:
        """Kill so many times, with about the same number of operations between any two kills."""
        chance = random.Random(f"{self.seed} kills")
        load.wait_for_calm()
        pause = load.operations * 8 // 10 // max(1, rounds)
        victims: list[Victim] = []
        for _ in range(rounds):
            victims = victims or chance.sample(ROUND, len(ROUND))
            load.wait_for(pause)
            self._kill(victims.pop(), chance, load)

    def _kill(self, victim: Victim, chance: random.Random, load: Load) -> None:
        began_s = time.monotonic()
        if victim is Victim.SUPERVISOR:
            self._replace_all()
            load.tell_address(self.server.target)
        else:
            living = self._living()
            self._kill_workers([chance.choice(living)] if victim is Victim.WORKER else living)
        self.wait_until_it_serves()
        self.seconds.append((victim, time.monotonic() - began_s))

    def _kill_workers(self, numbers: list[int]) -> None:
        for number in numbers:
            self._kills[number] += 1
            os.kill(self.server.worker(number, start=self._kills[number]), signal.SIGKILL)

    def _replace_all(self) -> None:
        """Kill the supervisor, wait until its workers have ended by themselves, and start again."""
        self.server.kill()
        self.server.exit_code()
        self.server.close()
        self.server = start_server(self.data_dir)
        self._kills.clear()

    def _living(self) -> list[int]:
        """Return the numbers of the workers that serve: one of them at least, and perhaps not all again."""
        self.server.wait_for("worker started", times=self._kills.total() + 1)
        started = Counter(line["worker"] for line in self.server.logged("worker started"))
        return [number for number in range(WORKERS) if started[number] > self._kills[number]]

    def wait_until_it_serves(self) -> None:
        """Wait until a new connection is answered."""
        deadline = time.monotonic() + SERVE_S
        for _ in range(TRIES_MAX):
            with (
                suppress(grpc.RpcError),
                grpc.insecure_channel(self.server.target, options=OWN_CONNECTION) as channel,
            ):
                RunIndexStub(channel).RunExists(pb.RunExistsRequest(run_id="default"), timeout=TRY_S)
                return
            assert time.monotonic() < deadline, f"nothing serves, {SERVE_S} s after a kill"
        msg = f"nothing serves, after {TRIES_MAX} tries"
        raise AssertionError(msg)


def start_server(data_dir: Path) -> WorkersProcess:
    """Start a server of several workers."""
    return WorkersProcess(data_dir, *ARGUMENTS, workers=WORKERS)
