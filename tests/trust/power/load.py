"""Clients that write runs and what they hold, many at a time, and note what they asked for and were told."""

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import UUID

import grpc

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.support.calls import struct
from tests.trust.power.ledger import Items, Ledger, View
from tests.trust.power.trace import Kind, mark

CLIENTS: Final = 12
WAIT_S: Final = 60.0
RUNS_EACH: Final = 4
"""Living runs of a client, so that the store stays small."""
LARGE_BYTES: Final = 5_000
"""More than a page: the engine keeps it in pages of its own."""

ACTIVE: Final = pb.RUN_STATE_ACTIVE


@dataclass(slots=True)
class Living:
    """A run that is there, as its client knows it.

    Attributes:
        view: What it is.
        versions: Of each value and cell its last version, deleted ones included.
    """

    view: View
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A call, and what its run is afterwards.

    Attributes:
        stub: Which service.
        method: Its method.
        request: What is sent.
        after: What the run is then; None for gone.
        version: What the answer tells; None when it tells none.
    """

    stub: str
    method: str
    request: Any
    after: View | None
    version: int | None = None


Change: TypeAlias = Callable[["Client", str, Living], Call]


class Client:
    """Makes calls, one at a time, on runs of its own."""

    def __init__(self, number: int, seed: int) -> None:
        self.numbers = random.Random(f"{seed} {number}")
        self.runs: dict[str, Living] = {}
        self._gone: list[str] = []
        self._name = number
        self._requests = 0

    def next_call(self) -> tuple[str, Call]:
        """Return a call that its run's state allows, always with an effect; and the run."""
        if len(self.runs) < 2 or (len(self.runs) < RUNS_EACH and self.numbers.random() < 0.3):
            return self._create()
        run_id = self.numbers.choice(list(self.runs))
        run = self.runs[run_id]
        if run.view.state == pb.RUN_STATE_ARCHIVED:
            return run_id, delete(self, run_id, run)
        possible = [(change, weight) for change, weight, may in CHANGES if may(run)]
        (change,) = self.numbers.choices(*zip(*possible, strict=True))
        return run_id, change(self, run_id, run)

    def _create(self) -> tuple[str, Call]:
        again = self._gone and self.numbers.random() < 0.4
        run_id = self._gone.pop(0) if again else str(UUID(int=self.numbers.getrandbits(128), version=4))
        tags = ["all", f"n{self.numbers.randrange(3)}"]
        request = pb.CreateRunRequest(
            run_id=run_id, tags=tags, metadata=struct({"step": 0, "name": "a name"}), **self.request_id()
        )
        after = View(version=1, state=ACTIVE, tags=tuple(tags), step=0)
        return run_id, Call("index", "CreateRun", request, after)

    def settle(self, run_id: str, call: Call) -> None:
        """Take note of what a run is after a call."""
        if call.after is None:
            del self.runs[run_id]
            self._gone.append(run_id)
        elif run_id in self.runs:
            self.runs[run_id].view = call.after
        else:
            self.runs[run_id] = Living(call.after)

    def request_id(self) -> dict[str, str]:
        """Return a request id, or none."""
        self._requests += 1
        return {"request_id": f"{self._name}-{self._requests}"} if self.numbers.random() < 0.3 else {}

    def content(self) -> bytes:
        """Return something to write, now and then something large."""
        return self.numbers.randbytes(LARGE_BYTES if self.numbers.random() < 0.1 else 20)


def _put_item(items: Items, name: str, version: int, content: bytes | None) -> Items:
    others = [item for item in items if item[0] != name]
    return tuple(sorted([*others, *([] if content is None else [(name, version, content)])]))


def delete(client: Client, run_id: str, run: Living) -> Call:
    """Delete a run."""
    request = pb.DeleteRunRequest(run_id=run_id, **client.request_id())
    return Call("index", "DeleteRun", request, None)


def put_value(client: Client, run_id: str, run: Living) -> Call:
    """Write a value."""
    key, content = f"k{client.numbers.randrange(4)}", client.content()
    version = run.versions[key] = run.versions.get(key, 0) + 1
    request = data_pb.PutValueRequest(
        run_id=run_id, key=key, value=data_pb.DataValue(binary=content), **client.request_id()
    )
    values = _put_item(run.view.values, key, version, content)
    return Call("data", "PutValue", request, run.view._replace(values=values), version)


def delete_value(client: Client, run_id: str, run: Living) -> Call:
    """Delete a value."""
    key = client.numbers.choice(run.view.values)[0]
    version = run.versions[key] = run.versions[key] + 1
    request = data_pb.DeleteValueRequest(run_id=run_id, key=key)
    values = _put_item(run.view.values, key, 0, None)
    return Call("data", "DeleteValue", request, run.view._replace(values=values), version)


def set_state(client: Client, run_id: str, run: Living) -> Call:
    """Write a cell."""
    version = run.versions["cell"] = run.versions.get("cell", 0) + 1
    content = client.content()
    request = data_pb.SetStateRequest(
        run_id=run_id, cell="cell", value=data_pb.DataValue(binary=content), **client.request_id()
    )
    cells = (("cell", version, content),)
    return Call("data", "SetState", request, run.view._replace(cells=cells), version)


def append_events(client: Client, run_id: str, run: Living) -> Call:
    """Append two events."""
    contents = client.numbers.randbytes(9), client.numbers.randbytes(9)
    drafts = [
        data_pb.EventDraft(stream=stream, value=data_pb.DataValue(binary=content))
        for stream, content in zip("ab", contents, strict=True)
    ]
    request = data_pb.AppendEventsRequest(run_id=run_id, events=drafts, **client.request_id())
    return Call("data", "AppendEvents", request, run.view._replace(events=(*run.view.events, *contents)))


def _changed(method: str, request: Any, view: View, **fields: Any) -> Call:
    after = view._replace(version=view.version + 1, **fields)
    return Call("index", method, request, after, after.version)


def tag(client: Client, run_id: str, run: Living) -> Call:
    """Add a tag."""
    new = f"v{run.view.version}"
    request = pb.AddRunTagsRequest(run_id=run_id, tags=[new], **client.request_id())
    return _changed("AddRunTags", request, run.view, tags=(*run.view.tags, new))


def step(client: Client, run_id: str, run: Living) -> Call:
    """Change the metadata."""
    after = run.view.step + 1
    request = pb.UpdateRunMetadataRequest(
        run_id=run_id, metadata=struct({"step": after}), **client.request_id()
    )
    return _changed("UpdateRunMetadata", request, run.view, step=after)


def _transition(method: str, state: int, **fields: Any) -> Change:
    def change(client: Client, run_id: str, run: Living) -> Call:
        request = getattr(pb, f"{method}Request")(run_id=run_id, **fields, **client.request_id())
        return _changed(method, request, run.view, state=state)

    return change


def _always(_: Living) -> bool:
    return True


def _is_in(state: int) -> Callable[[Living], bool]:
    return lambda run: run.view.state == state


CHANGES: Final[tuple[tuple[Change, int, Callable[[Living], bool]], ...]] = (
    (put_value, 24, _always),
    (delete_value, 6, lambda run: bool(run.view.values)),
    (set_state, 9, _always),
    (append_events, 14, _always),
    (tag, 10, lambda run: len(run.view.tags) < 12),
    (step, 10, _always),
    (_transition("CloseRun", pb.RUN_STATE_COMPLETED), 4, _is_in(ACTIVE)),
    (_transition("FailRun", pb.RUN_STATE_FAILED, error="it broke"), 3, _is_in(ACTIVE)),
    (_transition("PauseRun", pb.RUN_STATE_PAUSED), 4, _is_in(ACTIVE)),
    (_transition("ResumeRun", ACTIVE), 4, _is_in(pb.RUN_STATE_PAUSED)),
    (_transition("ArchiveRun", pb.RUN_STATE_ARCHIVED), 3, _always),
    (delete, 10, _always),
)
"""What is done to a run, how often, and to which."""


class Load:
    """The clients of a recording.

    Attributes:
        ledger: What they asked for.
    """

    def __init__(self, target: str, log: int, *, calls: int, seed: int) -> None:
        """Make them.

        Args:
            target: The server.
            log: A descriptor of the recording's log, to append to.
            calls: How many calls all of them make together.
            seed: Of what they do.
        """
        self.ledger = Ledger()
        self._target = target
        self._log = log
        self._calls = calls
        self._seed = seed
        self._lock = threading.Lock()

    def run(self) -> None:
        """Let them work until all calls are answered."""
        with (
            grpc.insecure_channel(self._target) as channel,
            ThreadPoolExecutor(CLIENTS, thread_name_prefix="client") as threads,
        ):
            stubs = {"index": RunIndexStub(channel), "data": RunDataStub(channel)}
            working = [threads.submit(self._work, number, stubs) for number in range(CLIENTS)]
            for each in working:
                each.result(WAIT_S)

    def _work(self, number: int, stubs: dict[str, Any]) -> None:
        client = Client(number, self._seed)
        while True:
            run_id, call = client.next_call()
            with self._lock:
                if len(self.ledger.calls) >= self._calls:
                    return
                history = self.ledger.histories.setdefault(UUID(run_id).bytes, [None])
                place = len(self.ledger.calls)
                self.ledger.calls.append((UUID(run_id).bytes, len(history)))
                history.append(call.after)
                os.write(self._log, mark(Kind.BEGUN, place))
            answer = getattr(stubs[call.stub], call.method)(call.request, timeout=WAIT_S)
            os.write(self._log, mark(Kind.ACKNOWLEDGED, place))
            if call.version is not None:
                assert answer.version == call.version, f"{call}: version {answer.version}"
            client.settle(run_id, call)
