"""The process behind `_recording`: it reads entries from its standard input, a socket, and makes the calls.

An entry is a line of JSON: a run that begins, a run that ends (it has a `state`), or null when all is told.
As many are taken at a time as are there, and their calls made side by side, parents beginning before their
children and ending after them. A run that begins and ends in the same batch is created whole, and so costs
two calls. An input that ends without null is that of a program that was killed, and what was under way is
cancelled. The answer is one line: how many runs were recorded, and the problem, if there was one.
"""

import itertools
import json
import socket
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc

CALL_S: Final = 5.0
"""How long one attempt of a call may take."""

RETRY_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Pauses between the attempts of a call to a server that is not there: time enough for it to start again."""

BATCH_MAX: Final = 64
"""Entries of a batch: below the streams that a server takes on one connection."""

READ_BYTES: Final = 64 * 1024

CHANNEL: Final = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1_000))

Entry = dict[str, Any]


class _Call(NamedTuple):
    """A method of the stub, and the request to call it with."""

    method: Any
    request: Any


class _Writer:
    """Turns entries into calls."""

    def __init__(self, stub: pb_grpc.RunIndexStub) -> None:
        self.recorded = 0
        self._stub = stub
        self._depths: dict[str, int] = {}
        """How many runs are above each run that is under way."""

    def record(self, batch: list[Entry]) -> None:
        """Record beginnings, then what is new about runs that end, then ends: who sees an end sees all."""
        begun = {entry["run_id"]: entry for entry in batch if "state" not in entry}
        ended = {entry["run_id"]: entry for entry in batch if "state" in entry}
        for run_id, entry in begun.items():
            self._depths[run_id] = self._depths.get(entry["parent_id"], -1) + 1
        for entries in self._by_depth(begun.values()):
            _make([self._creation(entry, ended.get(entry["run_id"])) for entry in entries])
            self.recorded += len(entries)
        late = [entry for run_id, entry in ended.items() if run_id not in begun]
        _make([call for entry in late for call in self._additions(entry)])
        for entries in reversed(self._by_depth(ended.values())):
            _make([self._ending(entry) for entry in entries])
        for run_id in ended:
            del self._depths[run_id]

    def cancel(self) -> None:
        """End what is under way."""
        tail = {"state": "CANCELLED", "tags": [], "metadata": {"reason": "the recorded program ended early"}}
        self.record([{"run_id": run_id, **tail} for run_id in self._depths])

    def _by_depth(self, entries: Iterable[Entry]) -> list[list[Entry]]:
        """Return entries by the depth of their runs, the roots first."""
        ordered = sorted(entries, key=self._depth)
        return [list(group) for _, group in itertools.groupby(ordered, key=self._depth)]

    def _depth(self, entry: Entry) -> int:
        return self._depths[entry["run_id"]]

    def _creation(self, entry: Entry, end: Entry | None) -> _Call:
        """Return the call that creates a run, with what its end adds if that is known."""
        known = end or {"tags": [], "metadata": {}}
        fields: dict[str, Any] = {
            "run_id": entry["run_id"],
            "tags": entry["tags"] + known["tags"],
            "metadata": entry["metadata"] | known["metadata"],
        }
        if entry["parent_id"] is None:
            return _Call(self._stub.CreateRun, pb.CreateRunRequest(**fields))
        child = pb.CreateChildRunRequest(parent_run_id=entry["parent_id"], **fields)
        return _Call(self._stub.CreateChildRun, child)

    def _additions(self, end: Entry) -> Iterator[_Call]:
        """Yield the calls that add to a run what its end has brought."""
        run_id = end["run_id"]
        if end["tags"]:
            yield _Call(self._stub.AddRunTags, pb.AddRunTagsRequest(run_id=run_id, tags=end["tags"]))
        update = pb.UpdateRunMetadataRequest(run_id=run_id, metadata=end["metadata"], merge=True)
        yield _Call(self._stub.UpdateRunMetadata, update)

    def _ending(self, end: Entry) -> _Call:
        """Return the call that ends a run."""
        run_id = end["run_id"]
        match end["state"]:
            case "FAILED":
                return _Call(self._stub.FailRun, pb.FailRunRequest(run_id=run_id, error=end["error"]))
            case "CANCELLED":
                return _Call(self._stub.CancelRun, pb.CancelRunRequest(run_id=run_id))
            case _:
                return _Call(self._stub.CloseRun, pb.CloseRunRequest(run_id=run_id))


def _make(calls: list[_Call]) -> None:
    """Make calls side by side; those refused with UNAVAILABLE again, each under the same request id."""
    for call in calls:
        call.request.request_id = uuid.uuid4().hex
    for pause_s in (*RETRY_PAUSES_S, None):
        answers = [(call, call.method.future(call.request, timeout=CALL_S)) for call in calls]
        calls = []
        for call, answer in answers:
            error = answer.exception()
            if error is not None and error.code() is grpc.StatusCode.UNAVAILABLE and pause_s is not None:
                calls.append(call)
            elif error is not None:
                raise error
        if not calls:
            return
        time.sleep(pause_s or 0)


def _batches(source: socket.socket) -> Iterator[list[Entry | None]]:
    """Yield what there is to read, until the input ends."""
    rest = b""
    while data := source.recv(READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for start in range(0, len(lines), BATCH_MAX):
            yield [json.loads(line) for line in lines[start : start + BATCH_MAX]]


def _record(writer: _Writer, source: socket.socket) -> str:
    """Record what is read; return why not all of it, empty when it is all."""
    told_all = False
    try:
        for batch in _batches(source):
            told_all = batch[-1] is None
            writer.record([entry for entry in batch if entry is not None])
        if not told_all:
            writer.cancel()
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    except Exception as fault:  # noqa: BLE001  # Told where somebody reads it.
        return f"{type(fault).__name__}: {fault}"
    return ""


def main(address: str) -> None:
    """Record what standard input tells, at an address, and answer there."""
    with socket.socket(fileno=0) as source:
        with grpc.insecure_channel(address, CHANNEL) as channel:
            writer = _Writer(pb_grpc.RunIndexStub(channel))
            problem = _record(writer, source)
        while source.recv(READ_BYTES):
            pass  # Nobody reads it any more, but who writes must not be told so in the middle.
        with suppress(OSError):  # Nobody is there if the program was killed.
            source.sendall(json.dumps({"recorded": writer.recorded, "problem": problem}).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
