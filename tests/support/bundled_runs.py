"""Runs of all kinds, and all that a server answers about a run: what a bundle has to carry."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from runindex.v1 import insights_pb2, run_data_pb2
from runindex.v1 import insights_pb2_grpc as insights_grpc
from runindex.v1 import run_index_pb2 as pb
from tests.support import calls, data_calls
from tests.support.calls import Stub
from tests.support.clock import MINUTE_US, ManualClock
from tests.support.data_calls import Data

Insights = insights_grpc.RunInsightsStub

ENDED: Final = (pb.RUN_STATE_COMPLETED, pb.RUN_STATE_FAILED, pb.RUN_STATE_CANCELLED, pb.RUN_STATE_ARCHIVED)
POLICIES: Final = (
    None,
    pb.RetentionPolicy(keep_all=pb.KeepAll()),
    pb.RetentionPolicy(keep_latest_n=2),
    pb.RetentionPolicy(keep_duration=Duration(seconds=3600)),
    pb.RetentionPolicy(delete_after=Duration(seconds=315_576_000)),
)


def fill(stub: Stub, data: Data, clock: ManualClock) -> list[str]:
    """Create ended runs of all kinds, and return their ids, the oldest first."""
    run_ids: list[str] = []
    for number, state in enumerate(ENDED * len(POLICIES)):
        clock.advance(MINUTE_US + number)
        run = calls.create(
            stub,
            tags=("all", f"tag{number % 3}", "é ü")[: number % 4],
            metadata={"number": number, "nested": {"list": [None, True, "words to find"]}}
            if number % 2
            else None,
            parent=run_ids[-1] if number % 3 == 1 else None,
        )
        run_ids.append(run.run_id)
        policy = POLICIES[number % len(POLICIES)]
        if policy is not None:
            calls.set_retention(stub, run.run_id, policy)
        if number % 2:
            _hold(data, run.run_id, clock, number)
        if number % 5 == 0:
            calls.pause(stub, run.run_id)
            clock.advance(7)
            calls.resume(stub, run.run_id)
        if state == pb.RUN_STATE_ARCHIVED and number % 8 == 7:
            calls.fail(stub, run.run_id, "ValueError: 17 is too much")
        clock.advance(MINUTE_US)
        calls.lead(stub, run.run_id, state)
    return run_ids


def _hold(data: Data, run_id: str, clock: ManualClock, number: int) -> None:
    """Write versions, deletions, cells, documents and events."""
    for version in range(number % 4 + 1):
        data_calls.put(data, run_id, "key", {"version": version})
        clock.advance(11)
        data_calls.set_state(data, run_id, "cell", bytes([version]))
        data_calls.set_document(data, run_id, "document", {"a": [version]})
        data_calls.append(
            data, run_id, *(data_calls.draft(stream, [version, None]) for stream in ("out", "err", "out"))
        )
    data_calls.put(data, run_id, "gone", b"")
    data_calls.delete_value(data, run_id, "gone")
    data_calls.put(data, run_id, "back", "first")
    data_calls.delete_value(data, run_id, "back")
    data_calls.put(data, run_id, "back", "second")
    data_calls.set_document(data, run_id, "no document", 1)
    data_calls.delete_document(data, run_id, "no document")


def all_answers(stub: Stub, data: Data, insights: Insights, run_ids: Sequence[str]) -> list[Any]:
    """Return what a server answers about runs, without revisions."""
    return [
        _without_revisions(answer) for run_id in run_ids for answer in _about(stub, data, insights, run_id)
    ]


def _about(stub: Stub, data: Data, insights: Insights, run_id: str) -> Iterator[Message]:
    yield stub.GetRun(pb.GetRunRequest(run_id=run_id))
    yield stub.GetRunTags(pb.GetRunTagsRequest(run_id=run_id))
    yield stub.GetParentRun(pb.GetParentRunRequest(run_id=run_id))
    yield stub.GetChildRuns(pb.GetChildRunsRequest(run_id=run_id, include_archived=True))
    yield stub.GetRunRetention(pb.GetRunRetentionRequest(run_id=run_id))
    yield insights.GetRunHistory(insights_pb2.GetRunHistoryRequest(run_id=run_id))
    yield data.ListValues(run_data_pb2.ListValuesRequest(run_id=run_id))
    yield data.ListStates(run_data_pb2.ListStatesRequest(run_id=run_id))
    yield data.ListDocuments(run_data_pb2.ListDocumentsRequest(run_id=run_id))
    for key in ("key", "gone", "back"):
        yield data.GetValueHistory(run_data_pb2.GetValueHistoryRequest(run_id=run_id, key=key))
    for cell in data_calls.states(data, run_id):
        for version in range(1, cell.version + 1):
            yield data.GetState(run_data_pb2.GetStateRequest(run_id=run_id, cell=cell.cell, version=version))
    for held in data_calls.documents(data, run_id):
        for version in range(1, held.version + 1):
            yield data.GetDocument(
                run_data_pb2.GetDocumentRequest(run_id=run_id, document=held.document, version=version)
            )
    for stream in (None, "out", "err"):
        for backwards in (False, True):
            yield data.ReadEvents(
                run_data_pb2.ReadEventsRequest(run_id=run_id, stream=stream, backwards=backwards)
            )
        yield data.CountEvents(run_data_pb2.CountEventsRequest(run_id=run_id, stream=stream))


def _without_revisions(answer: Any) -> Any:
    answer.ClearField("revision")
    for name in ("run", "runs"):
        if name in answer.DESCRIPTOR.fields_by_name:
            held = getattr(answer, name)
            for run in [held] if isinstance(held, pb.Run) else held:
                run.ClearField("revision")
    return answer
