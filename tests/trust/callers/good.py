"""A good client, in a process of its own: it goes on calling while others misbehave, checks each answer, and
measures each call.

It makes one call at a time, over a connection of its own and now and then over a new one, with a short pause
in between, so that it takes little of the machine.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final
from unittest import mock

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.crash.ledger import OWN_CONNECTION
from tests.support.calls import struct

CALL_S: Final = 60.0
"""How long a call may take: one that takes longer hangs."""

SILENCE_S: Final = 120
"""How long the client may show no sign of life."""

PAUSE_S: Final = 0.002
TICK: Final = 10
"""Calls between two signs of life."""

RECONNECT_CALLS: Final = 200
"""One call in so many goes over a new connection."""

RUNS_KEPT: Final = 50
"""Runs that are read and changed; of older ones only newer ones are seen."""

OVERLOADED: Final = b"OVERLOADED"
TAG: Final = "good"
FAILURES_TOLD: Final = 20
FAILURE_CHARACTERS: Final = 500


@dataclass
class Calls:
    """The calls of a good client.

    Attributes:
        milliseconds: How long each took.
        failures: What was wrong with them.
        shed: How many were refused by name because there were too many of all.
    """

    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    shed: int = 0

    def percentile(self, share: float) -> float:
        """Return the time within which a share of the calls was answered; 0 for no calls."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class GoodClient:
    """The client's process, as a test sees it."""

    def __init__(self, process: Any, ticks: Any, pipe: Connection) -> None:
        """Take what `calling_well` has started."""
        self._process = process
        self._ticks = ticks
        self._pipe = pipe

    def wait_for(self, calls: int) -> None:
        """Wait until about so many more calls were answered."""
        while self._ticks.acquire(block=False):
            pass
        for _ in range(max(1, calls // TICK)):
            self._wait_for_tick()

    def _wait_for_tick(self) -> None:
        for _ in range(SILENCE_S):
            if self._ticks.acquire(timeout=1):
                return
            assert self._process.is_alive(), "the good client has ended"
        msg = "the good client is not answered"
        raise AssertionError(msg)

    def begin(self) -> None:
        """Let it forget the calls made so far."""
        self._ask("begin")

    def end(self) -> Calls:
        """Return the calls since they were begun."""
        calls: Calls = self._ask("end")
        return calls

    def _ask(self, what: str) -> Any:
        self._pipe.send(what)
        assert self._pipe.poll(SILENCE_S), f"the good client hangs, process {self._process.exitcode}"
        return self._pipe.recv()


@contextmanager
def calling_well(
    target: str,
    *,
    token: str = "",
    authority: bytes | None = None,
    pause_s: float = PAUSE_S,
    reconnects: bool = True,
) -> Iterator[GoodClient]:
    """Let a good client call, from before the beginning of the block until its end.

    Args:
        target: Where the server listens.
        token: What the client shows.
        authority: Who signed the server's certificate; None for a server in the clear.
        pause_s: Between two calls.
        reconnects: Whether it opens a new connection now and then.
    """
    spawning = multiprocessing.get_context("spawn")
    ticks = spawning.Semaphore(0)
    ours, theirs = spawning.Pipe()
    process = spawning.Process(
        target=_work, args=(target, token, authority, pause_s, reconnects, ticks, theirs)
    )
    with mock.patch.dict(os.environ, GRPC_VERBOSITY="ERROR"):
        process.start()
    theirs.close()
    client = GoodClient(process, ticks, ours)
    try:
        client.wait_for(RUNS_KEPT)
        yield client
    finally:
        ours.close()
        process.join(SILENCE_S)
        if process.is_alive():
            process.kill()
            process.join()


def _work(
    target: str,
    token: str,
    authority: bytes | None,
    pause_s: float,
    reconnects: bool,  # noqa: FBT001  # As a process takes it.
    ticks: Any,
    pipe: Connection,
) -> None:
    """Call until nobody asks any more."""
    caller, calls = _Caller(target, token, authority, reconnects=reconnects), Calls()
    count = 0
    while True:
        try:
            while pipe.poll(pause_s):
                is_begin = pipe.recv() == "begin"
                calls = Calls() if is_begin else calls
                pipe.send(calls)
        except (EOFError, ConnectionError):
            return
        begun = time.perf_counter()
        try:
            caller.call(count)
        except (grpc.RpcError, AssertionError) as fault:
            if OVERLOADED in _details(fault):
                calls.shed += 1
            elif len(calls.failures) < FAILURES_TOLD:
                calls.failures.append(f"call {count}: {fault}"[:FAILURE_CHARACTERS])
        calls.milliseconds.append((time.perf_counter() - begun) * 1_000)
        count += 1
        if count % TICK == 0:
            ticks.release()


def _details(fault: Exception) -> bytes:
    """Return the bytes of a refusal's details."""
    trailers: Any = fault.trailing_metadata() if isinstance(fault, grpc.Call) else ()
    return b"".join(value for _, value in trailers or () if isinstance(value, bytes))


class _Caller:
    """Makes the calls, and knows what each must answer."""

    def __init__(self, target: str, token: str, authority: bytes | None, *, reconnects: bool) -> None:
        self._target = target
        self._reconnects = reconnects
        self._authority = authority
        self._random = random.Random(1)
        self._options: dict[str, Any] = {"timeout": CALL_S}
        if token:
            self._options["metadata"] = (("authorization", f"Bearer {token}"),)
        self._runs: list[pb.Run] = []
        self._channel = self._connect()
        self._stub = RunIndexStub(self._channel)

    def _connect(self) -> grpc.Channel:
        if self._authority is None:
            return grpc.insecure_channel(self._target, options=OWN_CONNECTION)
        credentials = grpc.ssl_channel_credentials(self._authority)
        options = (*OWN_CONNECTION, ("grpc.ssl_target_name_override", "localhost"))
        return grpc.secure_channel(self._target, credentials, options=options)

    def call(self, number: int) -> None:
        """Make one call, and check its answer."""
        if self._reconnects and number % RECONNECT_CALLS == 0:
            self._channel.close()
            self._channel = self._connect()
            self._stub = RunIndexStub(self._channel)
        if number % 4 == 0 or not self._runs:
            self._create(number)
        elif number % 4 == 1:
            self._update(number)
        elif number % 4 == 2:
            self._get()
        else:
            self._list()

    def _create(self, number: int) -> None:
        request = pb.CreateRunRequest(tags=[TAG, f"n{number}"], metadata=struct({"step": number}))
        run = self._stub.CreateRun(request, **self._options).run
        assert (run.version, run.tags, run.state) == (1, request.tags, pb.RUN_STATE_ACTIVE), f"created {run}"
        self._runs = [*self._runs[-RUNS_KEPT:], _told(run)]

    def _get(self) -> None:
        run = self._random.choice(self._runs)
        found = self._stub.GetRun(pb.GetRunRequest(run_id=run.run_id), **self._options).run
        assert _told(found) == run, f"{found}, not {run}"

    def _update(self, number: int) -> None:
        run = self._random.choice(self._runs)
        request = pb.UpdateRunMetadataRequest(
            run_id=run.run_id, metadata=struct({"step": number}), expected_version=run.version
        )
        answer = self._stub.UpdateRunMetadata(request, **self._options)
        assert answer.version == run.version + 1, f"{answer} after {run}"
        run.version, run.revision = answer.version, answer.revision
        run.update_time.CopyFrom(answer.update_time)
        run.metadata.CopyFrom(request.metadata)

    def _list(self) -> None:
        request = pb.ListRunsRequest(page_size=20, view=pb.RUN_VIEW_FULL)
        listed = self._stub.ListRuns(request, **self._options).runs
        own = {run.run_id: run for run in self._runs}
        times = [run.create_time.ToNanoseconds() for run in listed]
        assert listed, "no runs are listed"
        assert times == sorted(times, reverse=True), f"listed in another order: {times}"
        for run in listed:
            assert run.run_id not in own or _told(run) == own[run.run_id], f"{run}, not {own[run.run_id]}"


def _told(run: pb.Run) -> pb.Run:
    """Return what is known of a run from what was answered to its writes."""
    run.ClearField("activity_time")
    return run
