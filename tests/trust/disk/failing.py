"""Clients of a server whose disk fails: what they were told is held against what is there afterwards.

Each has runs of its own, makes one call at a time, and each call has a request id. A call that was refused
because the disk is full is made again; any other that was not acknowledged ends its client, and is made again
once the disk is well and the store was opened anew.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from lmdb import verify as lmdb_verify

from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.clock import SystemClock
from runindex_server.errors import RunIndexError
from runindex_server.kv.guard import StoreRefused
from runindex_server.maintenance.verify.findings import Drift
from runindex_server.maintenance.verify.verification import verify
from tests.crash.ledger import OWN_CONNECTION
from tests.trust.disk.faulty import WAIT_S
from tests.trust.disk.served import Served, opened
from tests.trust.power.ledger import Contents, View, read_contents
from tests.trust.power.load import Call, Client

CLIENTS: Final = 3
CALLS_EACH: Final = 7
TRIES: Final = 3

GONE: Final = "the connection is gone"
UNKNOWN: Final = frozenset({"COMMIT_OUTCOME_UNKNOWN", "STORE_CLOSED", "SHUTTING_DOWN", GONE})
"""How a call may end that may have been applied, or whose server stops."""

FULL: Final = "STORE_FULL"


class Caller(Client):
    """A client whose every call has a request id."""

    def __init__(self, number: int, seed: int) -> None:
        super().__init__(number, seed)
        self.runs_ever: dict[str, View | None] = {}
        self.pending: tuple[str, Call] | None = None
        self.acknowledged: list[tuple[str, Call, Any]] = []
        self.refusals: list[str] = []

    def next_call(self) -> tuple[str, Call]:
        """Return a call, with a request id always."""
        run_id, call = super().next_call()
        self._requests += 1
        call.request.request_id = f"{self._name}-{self._requests}"
        return run_id, call

    def work(self, target: str, calls: int) -> None:
        """Make so many calls, or fewer when one of them is lost."""
        with grpc.insecure_channel(target, options=OWN_CONNECTION) as channel:
            stubs = {"index": RunIndexStub(channel), "data": RunDataStub(channel)}
            for _ in range(calls):
                self.pending = self.next_call()
                if not self._make(stubs, *self.pending):
                    return
                self.pending = None

    def _make(self, stubs: dict[str, Any], run_id: str, call: Call) -> bool:
        """Make a call, again where the disk was full, and tell whether it was acknowledged."""
        for _ in range(TRIES):
            try:
                answer = getattr(stubs[call.stub], call.method)(call.request, timeout=WAIT_S)
            except grpc.RpcError as error:
                self.refusals.append(reason_of(error))
                if self.refusals[-1] != FULL:
                    return False
            else:
                self.acknowledge(run_id, call, answer)
                return True
        return False

    def acknowledge(self, run_id: str, call: Call, answer: Any) -> None:
        """Take note of an answer."""
        if call.version is not None:
            assert answer.version == call.version, f"{call}: version {answer.version}"
        self.acknowledged.append((run_id, call, answer))
        self.runs_ever[run_id] = call.after
        self.settle(run_id, call)


def reason_of(error: grpc.RpcError) -> str:
    """Return the reason of a refusal; GONE for none."""
    status = rpc_status.from_call(error)
    if status is None:
        return GONE if error.code() is grpc.StatusCode.UNAVAILABLE else f"{error.code()}: {error.details()}"
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


@dataclass(slots=True)
class Crowd:
    """The clients of one server."""

    seed: int
    callers: list[Caller] = field(default_factory=list)

    def work(self, target: str, calls: int) -> None:
        """Let all of them work at once."""
        self.callers = self.callers or [Caller(number, self.seed) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as threads:
            for working in [threads.submit(caller.work, target, calls) for caller in self.callers]:
                working.result(2 * WAIT_S)

    def strange_refusals(self) -> list[str]:
        """Return refusals that no fault of the disk explains."""
        told = {refusal for caller in self.callers for refusal in caller.refusals}
        return [f"refused with {reason}" for reason in sorted(told - UNKNOWN - {FULL})]

    def check(self, data_dir: Path) -> list[str]:
        """Open the store on a disk that is well; return what is wrong with it, or with what callers learn."""
        try:
            return asyncio.run(self._check(data_dir))
        except StoreRefused as error:
            return [f"the store is refused: {error}"]

    async def _check(self, data_dir: Path) -> list[str]:
        problems = []
        with opened(data_dir, SystemClock()) as store:
            problems += [str(piece) async for piece in verify(store) if isinstance(piece, Drift)]
            problems += self._differences(await store.read(read_contents))
            served = await Served.over(store, SystemClock())
            for caller in self.callers:
                problems += await _repeat(caller, served)
            problems += self._differences(await store.read(read_contents))
            problems += [str(piece) async for piece in verify(store) if isinstance(piece, Drift)]
        return problems + [f"pages: {problem}" for problem in lmdb_verify.verify(str(data_dir / "store"))]

    def _differences(self, contents: Contents) -> list[str]:
        """Return how a store differs from what was acknowledged, and from that with what was not."""
        problems = []
        left = dict(contents)
        for caller in self.callers:
            expected = {run_id: [view] for run_id, view in caller.runs_ever.items()}
            if caller.pending is not None:
                run_id, call = caller.pending
                expected.setdefault(run_id, [None]).append(call.after)
            for run_id, views in expected.items():
                found = left.pop(UUID(run_id).bytes, None)
                if found not in views:
                    problems.append(f"run {run_id} is {found}, not one of {views}")
        return [*problems, *(f"run {run_id.hex()} is there, and nobody asked for it" for run_id in left)]


async def _repeat(caller: Caller, served: Served) -> list[str]:
    """Repeat a caller's calls with their request ids; return what is wrong with the answers."""
    problems = []
    for _, call, answer in caller.acknowledged:
        again = type(answer).FromString(await served.call(call.method, call.request))
        if again != answer:
            problems.append(f"{call} was answered {answer}, and now {again}")
    if caller.pending is None:
        return problems
    run_id, call = caller.pending
    try:
        first, second = [await served.call(call.method, call.request) for _ in range(2)]
    except RunIndexError as error:
        return [*problems, f"{call} was not acknowledged, and is refused now: {error!r}"]
    if first != second:
        problems.append(f"{call} was answered {first!r}, and then {second!r}")
    caller.runs_ever[run_id] = call.after
    caller.pending = None
    return problems
