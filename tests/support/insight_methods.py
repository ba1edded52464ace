"""The 6 methods of RunInsights as a table, and for each a call that finds something: as `methods`."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import insights_pb2_grpc as pb_grpc
from tests.support import calls
from tests.support.calls import Stub

Insights = pb_grpc.RunInsightsStub

SERVICE: Final = "runindex.v1.RunInsights"

METHODS: Final = ("GetRunStats", "GetRunHistory", "GetRunTree", "ListTags", "ListStaleRuns", "ListErrors")
"""All of them are reads."""

COLLECTIONS: Final[Mapping[str, str]] = {
    "GetRunHistory": "transitions",
    "ListTags": "tags",
    "ListStaleRuns": "runs",
    "ListErrors": "errors",
}
"""Methods that answer with pages, and what these hold."""

OF_ONE_RUN: Final = ("GetRunHistory", "GetRunTree")
"""Methods whose `run_id` names a run. They refuse one that does not exist."""

VIEWED: Final = ("GetRunTree", "ListStaleRuns", "ListErrors")
"""Methods that return runs, cut to a view."""

_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "GetRunStats": {"tag": "old"},
    "ListStaleRuns": {"idle_for": Duration(nanos=1_000)},
}
"""What a request needs beside the run."""


def request_type(name: str) -> Callable[..., Any]:
    """Return a method's request message."""
    kind: Callable[..., Any] = getattr(pb, f"{name}Request")
    return kind


def build(name: str, run_id: str, /, **fields: Any) -> Any:
    """Return a request that is right for a run, with further fields set or replaced.

    A field that is None is left out.
    """
    given: dict[str, Any] = dict(_FIELDS.get(name, {}))
    if name in OF_ONE_RUN:
        given["run_id"] = run_id
    return request_type(name)(**(given | fields))


def target(stub: Stub) -> str:
    """Create a failed run with a tag, a parent and a child; return its id."""
    parent = calls.create(stub).run_id
    run_id = calls.create(stub, parent=parent, tags=["old"], metadata={"text": "word"}).run_id
    calls.create(stub, parent=run_id)
    calls.fail(stub, run_id)
    return run_id


def call(insights: Insights, name: str, request: Message) -> Any:
    """Call a method by its name."""
    return getattr(insights, name)(request)


def raw(channel: grpc.Channel, name: str) -> Callable[[bytes], Any]:
    """Return what sends bytes as the request of a method, and decodes the answer."""
    answer = getattr(pb, f"{name}Response")
    return channel.unary_unary(
        f"/{SERVICE}/{name}", request_serializer=bytes, response_deserializer=answer.FromString
    )
