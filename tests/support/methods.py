"""The 24 methods as a table, and for each a call that does something: what tests over all methods run on."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from runindex.v1 import run_index_pb2 as pb
from tests.support import calls
from tests.support.calls import Stub

SERVICE: Final = "runindex.v1.RunIndex"

READS: Final = (
    "GetRun",
    "ListRuns",
    "RunExists",
    "QueryRunsByState",
    "QueryRunsByTag",
    "CountRuns",
    "SearchRuns",
    "GetRunTags",
    "GetChildRuns",
    "GetParentRun",
    "GetRunRetention",
)
CREATES: Final = ("CreateRun", "CreateChildRun")
CHANGES: Final = (
    "UpdateRunMetadata",
    "CloseRun",
    "PauseRun",
    "ResumeRun",
    "FailRun",
    "CancelRun",
    "ArchiveRun",
    "DeleteRun",
    "AddRunTags",
    "RemoveRunTags",
    "SetRunRetention",
)
"""Mutations of a run that exists: those with `expected_version`."""

LIFECYCLE: Final = ("CloseRun", "PauseRun", "ResumeRun", "FailRun", "CancelRun", "ArchiveRun")
IDLE_ABLE: Final = ("UpdateRunMetadata", "AddRunTags", "RemoveRunTags", "SetRunRetention")
"""Mutations that may find nothing to change."""

MUTATIONS: Final = (*CREATES, *CHANGES)
METHODS: Final = (*READS, *MUTATIONS)
COLLECTIONS: Final = ("ListRuns", "QueryRunsByState", "QueryRunsByTag", "SearchRuns", "GetChildRuns")
OF_ONE_RUN: Final = (
    "GetRun",
    "RunExists",
    "GetRunTags",
    "GetChildRuns",
    "GetParentRun",
    "GetRunRetention",
    *CHANGES,
)
"""Methods whose `run_id` names a run."""

NEEDS_THE_RUN: Final = tuple(name for name in OF_ONE_RUN if name not in {"RunExists", "GetChildRuns"})
"""Methods that refuse a run that does not exist."""

KEEP_3: Final = pb.RetentionPolicy(keep_latest_n=3)

_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "QueryRunsByState": {"state": pb.RUN_STATE_ACTIVE},
    "QueryRunsByTag": {"tag": "old"},
    "SearchRuns": {"query": "word"},
    "UpdateRunMetadata": {"metadata": calls.struct({"text": "another"})},
    "FailRun": {"error": "it broke"},
    "AddRunTags": {"tags": ["new"]},
    "RemoveRunTags": {"tags": ["old"]},
    "SetRunRetention": {"policy": pb.RetentionPolicy(keep_duration=Duration(seconds=1))},
}
"""What a request needs beside the run."""

_IDLE: Final[Mapping[str, Mapping[str, Any]]] = {
    "UpdateRunMetadata": {"metadata": calls.struct({"text": "word"})},
    "AddRunTags": {"tags": ["old"]},
    "RemoveRunTags": {"tags": ["absent"]},
    "SetRunRetention": {"policy": KEEP_3},
}
"""The same, finding nothing to change in a run made by `target`."""


def request_type(name: str) -> Callable[..., Any]:
    """Return a method's request message."""
    kind: Callable[..., Any] = getattr(pb, f"{name}Request")
    return kind


def build(name: str, run_id: str, /, **fields: Any) -> Any:
    """Return a request that is right for a run, with further fields set or replaced."""
    given: dict[str, Any] = dict(_FIELDS.get(name, {}))
    if name in OF_ONE_RUN:
        given["run_id"] = run_id
    elif name == "CreateChildRun":
        given["parent_run_id"] = run_id
    return request_type(name)(**(given | fields))


def build_idle(name: str, run_id: str, /, **fields: Any) -> Any:
    """Return a mutation that finds nothing to change in a run made by `target`."""
    return build(name, run_id, **(dict(_IDLE[name]) | fields))


def target(stub: Stub, name: str = "") -> str:
    """Create a run on which the method succeeds, and in which it changes something; return its id."""
    run_id = calls.create(stub, tags=["old"], metadata={"text": "word"}).run_id
    calls.set_retention(stub, run_id, KEEP_3)
    if name == "ResumeRun":
        calls.pause(stub, run_id)
    return run_id


def call(stub: Stub, name: str, request: Message) -> Any:
    """Call a method by its name."""
    return getattr(stub, name)(request)


def raw(channel: grpc.Channel, name: str) -> Callable[[bytes], Any]:
    """Return what sends bytes as the request of a method, and decodes the answer."""
    answer = getattr(pb, f"{name}Response")
    return channel.unary_unary(
        f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=answer.FromString
    )
