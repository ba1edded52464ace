"""A sequence of writes that is the same each time, and can be repeated up to a revision."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import grpc

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.support.calls import struct
from tests.support.data_calls import draft, json_value, value

RUNS: Final = 30
RUN_IDS: Final = tuple(str(UUID(int=number, version=4)) for number in range(1, RUNS + 1))
NAMES: Final = ("a", "b")
REFUSED: Final = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
)
"""How a write may end whose run, or what it holds, is in another state."""


@dataclass(frozen=True)
class Write:
    """A write that was made, or refused, and the store's revision after it."""

    method: str
    request: Any
    revision: int


def send(channel: grpc.Channel, method: str, request: Any) -> Write | None:
    """Make a write, and return it; None when it was refused."""
    index, data = RunIndexStub(channel), RunDataStub(channel)
    try:
        answer = getattr(index if hasattr(index, method) else data, method)(request)
    except grpc.RpcError as error:
        if error.code() not in REFUSED:
            raise
        return None
    return Write(method, request, answer.revision)


def repeat(channel: grpc.Channel, writes: Sequence[Write], *, through: int) -> None:
    """Make the writes again that came to a revision or before."""
    for write in writes:
        if write.revision <= through:
            again = send(channel, write.method, write.request)
            assert again is not None
            assert again.revision == write.revision


def writes(seed: int) -> Iterator[tuple[str, Any]]:
    """Yield methods with requests, for ever: runs first, then whatever may come."""
    numbers = random.Random(seed)
    for number, run_id in enumerate(RUN_IDS):
        yield _create(numbers, number, run_id)
    while True:
        run_id = numbers.choice(RUN_IDS)
        if numbers.random() < 0.5:
            yield _change(numbers, run_id)
        else:
            yield _write_data(numbers, run_id)


def _create(numbers: random.Random, number: int, run_id: str) -> tuple[str, Any]:
    fields = {
        "run_id": run_id,
        "tags": ["all", f"tag{number % 3}"],
        "metadata": struct({"number": number, "name": f"run {number}"}),
    }
    if number % 4:
        return "CreateRun", pb.CreateRunRequest(**fields)
    parent = "default" if number == 0 else RUN_IDS[numbers.randrange(number)]
    return "CreateChildRun", pb.CreateChildRunRequest(parent_run_id=parent, **fields)


def _change(numbers: random.Random, run_id: str) -> tuple[str, Any]:
    method = numbers.choice(
        [
            "PauseRun",
            "ResumeRun",
            "CloseRun",
            "FailRun",
            "CancelRun",
            "ArchiveRun",
            "DeleteRun",
            "AddRunTags",
            "RemoveRunTags",
            "UpdateRunMetadata",
            "SetRunRetention",
            "CreateRun",
        ]
    )
    match method:
        case "FailRun":
            fields: dict[str, Any] = {"error": "it broke"}
        case "AddRunTags" | "RemoveRunTags":
            fields = {"tags": [f"tag{numbers.randrange(4)}"]}
        case "UpdateRunMetadata":
            fields = {"metadata": struct({"number": numbers.randrange(100)}), "merge": True}
        case "SetRunRetention":
            fields = {"policy": pb.RetentionPolicy(keep_latest_n=numbers.randint(1, 3))}
        case _:
            fields = {}
    return method, getattr(pb, f"{method}Request")(run_id=run_id, **fields)


def _write_data(numbers: random.Random, run_id: str) -> tuple[str, Any]:
    name, held = numbers.choice(NAMES), numbers.randrange(1_000)
    requests: list[Any] = [
        data_pb.PutValueRequest(run_id=run_id, key=name, value=value({"held": held})),
        data_pb.DeleteValueRequest(run_id=run_id, key=name),
        data_pb.AppendEventsRequest(run_id=run_id, events=[draft(name, held), draft("a", b"more")]),
        data_pb.SetStateRequest(run_id=run_id, cell=name, value=value(held)),
        data_pb.SetDocumentRequest(run_id=run_id, document=name, value=json_value({"held": [held]})),
        data_pb.MergeDocumentRequest(run_id=run_id, document=name, patch=json_value({"more": held})),
        data_pb.DeleteDocumentRequest(run_id=run_id, document=name),
    ]
    request = numbers.choice(requests)
    return type(request).__name__.removesuffix("Request"), request
