"""A client that writes down what was acknowledged, and holds a server to it afterwards."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.support.calls import struct

WAIT_S: Final = 30.0
OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
"""For a channel that does not share the connection of others to the same address."""

LOST_CODES: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)
"""How a call ends whose server is gone."""


@dataclass
class Expected:
    """What a run must be, by the acknowledgements."""

    version: int = 0
    state: int = pb.RUN_STATE_ACTIVE
    tags: list[str] = field(default_factory=list)
    step: int = 0
    is_deleted: bool = False


@dataclass(frozen=True)
class Call:
    """A write that was sent, with its request id."""

    method: str
    run_id: str
    request: Any


class Acknowledgements:
    """Counts the acknowledgements of all clients, and tells when so many have come."""

    def __init__(self, enough: int) -> None:
        self.count = 0
        self._enough = enough
        self._reached = threading.Event()
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count one."""
        with self._lock:
            self.count += 1
            if self.count == self._enough:
                self._reached.set()

    def wait(self) -> None:
        """Wait until there are enough."""
        assert self._reached.wait(WAIT_S), f"only {self.count} of {self._enough} acknowledgements"


class LedgerClient:
    """Writes runs of its own, one call at a time, until its server is gone.

    Attributes:
        runs: What each run must be.
        pending: The call whose outcome is not known; None when there is none.
        lost_code: How it ended.
    """

    def __init__(self, name: int, seed: str) -> None:
        self.runs: dict[str, Expected] = {}
        self.pending: Call | None = None
        self.lost_code: grpc.StatusCode | None = None
        self._name = name
        self._numbers = random.Random(f"{seed} {name}")
        self._requests = 0

    def work(self, target: str, acknowledgements: Acknowledgements) -> None:
        """Write until a call is lost. Runs in a thread of its own, over a connection of its own."""
        with grpc.insecure_channel(target, options=OWN_CONNECTION) as channel:
            stub = RunIndexStub(channel)
            while True:
                self.pending = self._next()
                try:
                    self._send(stub, self.pending)
                except grpc.RpcError as error:
                    self.lost_code = error.code()
                    if self.lost_code in LOST_CODES:
                        return
                    raise
                self.pending = None
                acknowledgements.add()

    def verify(self, target: str) -> None:
        """Hold a server to the ledger, and settle the call that was lost.

        Raises:
            AssertionError: Something acknowledged is gone, or something is there that was never asked for.
        """
        with grpc.insecure_channel(target) as channel:
            stub = RunIndexStub(channel)
            unsettled = None if self.pending is None else self.pending.run_id
            for run_id, expected in self.runs.items():
                if run_id != unsettled:
                    check_run(stub, run_id, expected)
            if self.pending is not None:
                # Whether it was applied before or is now: with its request id it is applied once.
                self._send(stub, self.pending)
                check_run(stub, self.pending.run_id, self.runs[self.pending.run_id])
                self.pending = None

    def _next(self) -> Call:
        """Return the next call: a new run, or the next of the life of one."""
        self._requests += 1
        request_id = f"{self._name}-{self._requests}"
        living = [run_id for run_id, run in self.runs.items() if not run.is_deleted]
        if len(living) < 3 or self._numbers.random() < 0.2:
            run_id = str(UUID(int=self._numbers.getrandbits(128), version=4))
            return Call(
                "CreateRun",
                run_id,
                pb.CreateRunRequest(
                    run_id=run_id, tags=["new"], metadata=struct({"step": 0}), request_id=request_id
                ),
            )
        run_id = self._numbers.choice(living)
        method, fields = self._change(self.runs[run_id])
        request = getattr(pb, f"{method}Request")(run_id=run_id, request_id=request_id, **fields)
        return Call(method, run_id, request)

    def _change(self, run: Expected) -> tuple[str, dict[str, Any]]:
        """Return a change that a run's state allows, always with an effect."""
        number = self._numbers.random()
        if run.state == pb.RUN_STATE_ARCHIVED or number < 0.1:
            return "DeleteRun", {}
        if number < 0.2:
            return "ArchiveRun", {}
        if run.state == pb.RUN_STATE_ACTIVE and number < 0.35:
            return "CloseRun", {}
        if number < 0.7:
            return "AddRunTags", {"tags": [f"v{run.version}"]}
        return "UpdateRunMetadata", {"metadata": struct({"step": run.step + 1})}

    def _send(self, stub: RunIndexStub, call: Call) -> None:
        """Make a call, and write down what was acknowledged."""
        answer = getattr(stub, call.method)(call.request, timeout=WAIT_S)
        run = self.runs.setdefault(call.run_id, Expected())
        match call.method:
            case "CreateRun":
                run.tags = ["new"]
            case "DeleteRun":
                run.is_deleted = True
            case "CloseRun":
                run.state = pb.RUN_STATE_COMPLETED
            case "ArchiveRun":
                run.state = pb.RUN_STATE_ARCHIVED
            case "AddRunTags":
                run.tags += call.request.tags
            case "UpdateRunMetadata":
                run.step += 1
        if not run.is_deleted:
            run.version += 1
            version = answer.run.version if call.method == "CreateRun" else answer.version
            assert version == run.version, f"{call}: version {version}, not {run.version}"


def check_run(stub: RunIndexStub, run_id: str, expected: Expected) -> None:
    """Check that a run is what it must be.

    Raises:
        AssertionError: It is not.
    """
    if expected.is_deleted:
        assert not stub.RunExists(pb.RunExistsRequest(run_id=run_id)).exists, f"{run_id} came back"
        return
    run = stub.GetRun(pb.GetRunRequest(run_id=run_id)).run
    found = Expected(
        version=run.version, state=run.state, tags=list(run.tags), step=int(run.metadata["step"])
    )
    assert found == expected, f"{run_id}: {found}, not {expected}"


@contextmanager
def writing(target: str, name: str, *, clients: int, enough: int) -> Iterator[list[LedgerClient]]:
    """Let clients write, each over a connection of its own, until their server is gone.

    Args:
        target: The server.
        name: Of the test, for their request ids.
        clients: How many.
        enough: How many acknowledgements there are before the block begins.
    """
    all_clients = [LedgerClient(number, name) for number in range(clients)]
    acknowledgements = Acknowledgements(enough)
    threads = [
        threading.Thread(target=client.work, args=(target, acknowledgements), daemon=True)
        for client in all_clients
    ]
    for thread in threads:
        thread.start()
    acknowledgements.wait()
    yield all_clients
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a client's server goes on"
