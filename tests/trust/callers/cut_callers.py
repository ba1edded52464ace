"""Callers whose connections are cut: each sends a write again, with its request id, until it learns what came
of it, and writes that down; what it is told must be what one single application would have told.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc

from runindex import Client, RetryPolicy
from runindex import RunIndexError as CallError
from runindex.v1 import run_data_pb2
from runindex.v1 import run_index_pb2 as pb
from tests.crash.ledger import OWN_CONNECTION
from tests.property.wire import Stubs
from tests.support.calls import struct
from tests.trust.callers.expected import DEFAULT, KEY, STREAM, Expected, told_number

ATTEMPT_S: Final = 3.0
"""How long one attempt may take before it counts as lost."""

ATTEMPTS_MAX: Final = 400
CALL_S: Final = 120.0
LIVING_MAX: Final = 3
WRITES_OF_A_RUN: Final = 12
LOST_CODES: Final = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
)
"""How a call ends whose connection is cut, or swallows what it is given."""

CONNECTION: Final = (
    *OWN_CONNECTION,
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
)
LIFECYCLE: Final[dict[int, tuple[str, ...]]] = {
    pb.RUN_STATE_ACTIVE: ("PauseRun", "CloseRun"),
    pb.RUN_STATE_PAUSED: ("ResumeRun",),
}
CHANGES: Final = ("AddRunTags", "UpdateRunMetadata", "AppendEvents", "AppendEvents", "PutValue")


class Sender(Protocol):
    """Sends a write until its outcome is known.

    Attributes:
        lost: How many attempts came to nothing, by how they ended.
    """

    lost: Counter[str]

    def send(self, method: str, request: Any) -> Any:
        """Return the answer."""

    def close(self) -> None:
        """End the connection."""


class StubSender:
    """The generated stub, over a connection that is made anew after each loss.

    Attributes:
        late: Writes that had taken place although their first answer was lost.
    """

    def __init__(self, target: str, direct: Stubs) -> None:
        """Take where to send, and what tells the truth."""
        self.lost: Counter[str] = Counter()
        self.late = 0
        self._target = target
        self._direct = direct
        self._channel: grpc.Channel | None = None

    def send(self, method: str, request: Any) -> Any:
        """Return the answer."""
        revision = 0
        for _ in range(ATTEMPTS_MAX):
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._target, options=CONNECTION)
            try:
                answer = call_of(Stubs(self._channel), method)(request, timeout=ATTEMPT_S)
            except grpc.RpcError as error:
                if error.code() not in LOST_CODES:
                    raise
                self.lost[error.code().name] += 1
                self.close()
                revision = self._direct.index.GetRun(pb.GetRunRequest(run_id=DEFAULT)).revision
            else:
                self.late += 0 < answer.revision <= revision
                return answer
        msg = f"no answer in {ATTEMPTS_MAX} attempts: {method} {request}"
        raise AssertionError(msg)

    def close(self) -> None:
        """End the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


class ClientSender:
    """`runindex.Client`, which repeats by itself."""

    late = 0

    def __init__(self, target: str, seed: str) -> None:
        """Take where to send."""
        self.lost: Counter[str] = Counter()
        self._chance = random.Random(seed)
        # It asks for a number before each repetition, and at no other time.
        policy = RetryPolicy(retries=ATTEMPTS_MAX, pause_s=0.02, pause_max_s=0.2, random=self._count)
        self._client = Client(target, timeout_s=CALL_S, retries=policy)

    def _count(self) -> float:
        self.lost["repeated by the client"] += 1
        return self._chance.random()

    def send(self, method: str, request: Any) -> Any:
        """Return the answer."""
        module = run_data_pb2 if hasattr(run_data_pb2, f"{method}Response") else pb
        return self._client._calls.unary(lambda: request, getattr(module, f"{method}Response"))

    def close(self) -> None:
        """End the connection."""
        self._client.close()


@dataclass
class CutCaller:
    """A caller with runs of its own.

    Attributes:
        name: Begins its request ids.
        sender: Sends what it writes.
        direct: Calls over a connection that nobody cuts.
        repeats: Whether each write is repeated once more when its outcome is known.
        runs: What is to be there in the end.
        wrong: What was wrong, told.
    """

    name: str
    sender: StubSender | ClientSender
    direct: Stubs
    seed: str
    repeats: bool
    runs: dict[str, Expected] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    writes: int = 0
    _written: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Begin."""
        self._random = random.Random(f"{self.seed} {self.name}")

    def work(self, may_go_on: Callable[[], bool]) -> None:
        """Write while that may go on and nothing is wrong. Runs in a thread of its own."""
        try:
            while not self.wrong and may_go_on():
                self._write(*self._next())
        except (grpc.RpcError, CallError, AssertionError) as fault:
            self.wrong.append(f"{self.name}, write {self.writes}: {fault}")
        finally:
            self.sender.close()

    def _next(self) -> tuple[str, str, Any]:
        """Return the next write: its method, its run and its request."""
        self.writes += 1
        living = [run_id for run_id in self.runs if self._written[run_id] < WRITES_OF_A_RUN]
        if len(living) < LIVING_MAX:
            metadata = struct({"step": self.writes})
            if living and self._random.random() < 0.5:
                parent = self._random.choice(living)
                return (
                    "CreateChildRun",
                    parent,
                    pb.CreateChildRunRequest(parent_run_id=parent, metadata=metadata),
                )
            return "CreateRun", "", pb.CreateRunRequest(metadata=metadata)
        run_id = self._random.choice(living)
        states = LIFECYCLE.get(self.runs[run_id].states[-1], ())
        method = self._random.choice((*CHANGES, *states))
        if self._written[run_id] == WRITES_OF_A_RUN - 1:
            method = self._random.choice(("ArchiveRun", "DeleteRun"))
        return method, run_id, request_of(method, run_id, self.writes)

    def _write(self, method: str, run_id: str, request: Any) -> None:
        """Make a write, and hold its answer to what was before."""
        request.request_id = f"{self.name}-{self.writes}"
        answer = self.sender.send(method, request)
        self._note(method, run_id, answer)
        if self.repeats:
            self._repeat(method, request, answer)

    def _repeat(self, method: str, request: Any, answer: Any) -> None:
        again = call_of(self.direct, method)(request, timeout=CALL_S)
        if again != answer:
            self.wrong.append(f"{method} {request.request_id} answered {answer} and then {again}")

    def _note(self, method: str, run_id: str, answer: Any) -> None:
        if method in {"CreateRun", "CreateChildRun"}:
            self.runs[answer.run.run_id] = Expected(parent=run_id, step=self.writes)
            self._expect(method, answer.run.version, 1)
        elif method == "DeleteRun":
            del self.runs[run_id]
        else:
            self._written[run_id] += 1
            number = self.runs[run_id].apply(method, self.writes)
            self._expect(method, told_number(method, answer), number)

    def _expect(self, method: str, told: int, expected: int) -> None:
        if told != expected:
            self.wrong.append(f"{self.name}: {method} told {told} where {expected} was to come")


def request_of(method: str, run_id: str, number: int) -> Any:
    """Return the request for a write; its number is part of what is written."""
    match method:
        case "AppendEvents":
            draft = run_data_pb2.EventDraft(stream=STREAM, value=_value(number))
            return run_data_pb2.AppendEventsRequest(run_id=run_id, events=[draft])
        case "PutValue":
            return run_data_pb2.PutValueRequest(run_id=run_id, key=KEY, value=_value(number))
        case "AddRunTags":
            return pb.AddRunTagsRequest(run_id=run_id, tags=[f"t{number}"])
        case "UpdateRunMetadata":
            return pb.UpdateRunMetadataRequest(run_id=run_id, metadata=struct({"step": number}))
    return getattr(pb, f"{method}Request")(run_id=run_id)


def call_of(stubs: Stubs, method: str) -> Any:
    """Return what makes the calls of a method."""
    return getattr(stubs.data if hasattr(run_data_pb2, f"{method}Request") else stubs.index, method)


def _value(number: int) -> run_data_pb2.DataValue:
    value = run_data_pb2.DataValue()
    value.json.number_value = number
    return value
