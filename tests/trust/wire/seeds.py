"""Where fuzzing begins: a store with something of everything, and legal requests of every method to it."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import insights_pb2, maintenance_pb2
from runindex.v1 import run_index_pb2 as pb
from tests.support import calls, data_methods, insight_methods, methods, template_methods
from tests.support.clock import START_US
from tests.support.data_calls import draft, json_value, put, value
from tests.trust.wire.callee import Callee

RUN: Final = "0192f3a4-0000-4000-8000-000000000001"
"""A run that holds one of everything, and has a parent and a child."""

CHILD: Final = "0192f3a4-0000-4000-8000-000000000002"
FAILED: Final = "0192f3a4-0000-4000-8000-000000000003"
NEW: Final = "0192f3a4-0000-4000-8000-000000000004"
"""A run that is not there."""

QUERIES: Final = (
    "word",
    'tag:old state:active -state:failed "it broke"',
    "(created>2026-01-01 OR updated<1h) duration<=1.5h",
    "meta.a.b:wor* OR id:0192f3a4* parent:default",
    'outcome:failed tag:"a b" "q\\" \\\\" -(x OR (y z))',
    "created>=2026-03-01T12:00:30.123456Z 0192f3a4-0000",
)
POINTERS: Final = ("", "/text", "/a/0", "/a/-", "/a~1b/~0", "/list/1/k")


def furnish(stub: Any, data: Any, templates: Any) -> None:
    """Put something of everything into a new store, by the stubs of three services."""
    template_methods.target(stub, templates)
    for run_id, parent in ((RUN, template_methods.SOURCE), (CHILD, RUN), (FAILED, RUN)):
        metadata = {"text": "word", "a": {"b": ["words", 1.5, None, True]}}
        calls.create(stub, run_id=run_id, tags=["old", "a b"], metadata=metadata, parent=parent)
    calls.set_retention(stub, RUN, methods.KEEP_3)
    data_methods.give(data, RUN)
    for number in range(3):
        put(data, RUN, "k", {"list": [number, {"k": "v"}], "text": "second"})
        data.AppendEvents(
            data_methods.build("AppendEvents", RUN, events=[draft("s", number), draft("t", b"\x00\xff")])
        )
    data.SetDocument(
        data_methods.build("SetDocument", RUN, value=json_value({"a": [1, {"b": 2}], "text": "third"}))
    )
    calls.pause(stub, CHILD)
    calls.fail(stub, FAILED, "ValueError: 17 is too much")


def legal(callee: Callee) -> Iterator[tuple[str, bytes]]:
    """Yield the methods, each with legal requests to a furnished store.

    Their answers are not looked at: for those that come with pages, the token of the next page follows.
    """
    for name, request in _requests():
        yield name, request.SerializeToString()
        if "page_size" in request.DESCRIPTOR.fields_by_name:
            token = _next_page_token(callee, name, request)
            if token:
                yield name, type(request)(page_token=token).SerializeToString() + request.SerializeToString()


def _next_page_token(callee: Callee, name: str, request: Message) -> str:
    """Return the token of the second page when pages are small."""
    small = type(request)()
    small.CopyFrom(request)
    small.page_size = 1  # type: ignore[attr-defined]  # It has one.
    [answer] = callee.call(name, small.SerializeToString())
    token: str = callee.methods[name].answer_class.FromString(answer).next_page_token  # type: ignore[attr-defined]  # As above.
    return token


def _requests() -> Iterator[tuple[str, Message]]:
    yield from ((f"RunIndex.{name}", request) for name, request in _of_runs())
    yield from ((f"RunData.{name}", request) for name, request in _of_data())
    yield from ((f"RunInsights.{name}", request) for name, request in _of_insights())
    yield from ((f"RunTemplates.{name}", request) for name, request in _of_templates())
    yield "Maintenance.GetStatus", maintenance_pb2.GetStatusRequest()
    yield "Maintenance.Compact", maintenance_pb2.CompactRequest(dry_run=True)
    yield "Maintenance.Verify", maintenance_pb2.VerifyRequest()
    yield "Maintenance.Backup", maintenance_pb2.BackupRequest()


def _of_runs() -> Iterator[tuple[str, Message]]:
    for name in methods.METHODS:
        yield name, methods.build(name, CHILD if name == "ResumeRun" else RUN)
    full: dict[str, Any] = {
        "run_id": NEW,
        "tags": ["old", "new"],
        "metadata": calls.struct({"text": "word", "a": {"b": [1, None, "é"]}}),
        "request_id": "r1",
    }
    yield "CreateRun", pb.CreateRunRequest(**full)
    yield "CreateChildRun", pb.CreateChildRunRequest(parent_run_id="default", **full)
    yield "ListRuns", pb.ListRunsRequest(states=[1, 4], skip=1, page_size=2, view=pb.RUN_VIEW_BASIC)
    for query in QUERIES:
        yield "SearchRuns", pb.SearchRunsRequest(query=query, include_archived=True)
    for policy in template_methods.POLICIES:
        yield "SetRunRetention", pb.SetRunRetentionRequest(run_id=RUN, policy=policy, expected_version=2)
    for name in methods.CHANGES:
        yield name, methods.build(name, RUN, request_id="r2", expected_version=2)


def _of_data() -> Iterator[tuple[str, Message]]:
    for name in data_methods.METHODS:
        yield name, data_methods.build(name, RUN)
    for name in data_methods.VERSIONED:
        yield name, data_methods.build(name, RUN, request_id="r3", expected_version=1)
    for name in data_methods.COLLECTIONS:
        yield name, data_methods.build(name, RUN, page_size=1)
    yield "PutValue", data_methods.build("PutValue", RUN, value=value(b"\x00\x01"))
    yield "ReadEvents", data_methods.build("ReadEvents", RUN, stream="s", from_sequence=2, backwards=True)
    for pointer in POINTERS:
        for name in ("SetDocument", "GetDocument", "DeleteDocument"):
            yield name, data_methods.build(name, RUN, pointer=pointer)


def _of_insights() -> Iterator[tuple[str, Message]]:
    for name in insight_methods.METHODS:
        yield name, insight_methods.build(name, RUN)
    start = Timestamp(seconds=START_US // 1_000_000 - 7_200)
    for interval in (insights_pb2.STATS_INTERVAL_HOUR, insights_pb2.STATS_INTERVAL_DAY):
        yield "GetRunStats", insights_pb2.GetRunStatsRequest(interval=interval, start_time=start)
    yield (
        "GetRunTree",
        insight_methods.build("GetRunTree", RUN, max_depth=3, max_runs=2, include_archived=True),
    )
    yield "ListTags", insights_pb2.ListTagsRequest(prefix="o", order=insights_pb2.TAG_ORDER_COUNT)
    yield "ListStaleRuns", insights_pb2.ListStaleRunsRequest(idle_for=Duration(nanos=1_000), states=[1, 2])


def _of_templates() -> Iterator[tuple[str, Message]]:
    for name in template_methods.METHODS:
        yield name, template_methods.build(name)
    metadata = calls.struct({"text": None, "a": {"b": "c"}})
    for name in template_methods.CREATES:
        yield name, template_methods.build(name, metadata=metadata, request_id="r4")
    yield (
        "PutTemplate",
        template_methods.build("PutTemplate", metadata=metadata, retention=template_methods.KEEP_2),
    )
    yield "ListTemplates", template_methods.build("ListTemplates", prefix="t", page_size=1)


def furnished(loop: asyncio.AbstractEventLoop) -> Callee:
    """Return services over a furnished store."""
    callee = Callee(loop)
    furnish(*(callee.stub(name) for name in ("RunIndex", "RunData", "RunTemplates")))
    return callee
