"""Everything that can be read of a server, so that two of them can be held against each other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import grpc

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_data_pb2_grpc import RunDataStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub

PAGE_SIZE: Final = 7

QUERIES: Final = (
    "all",
    "tag:all -tag0",
    "state:failed",
    "outcome:completed",
    "meta.number:1*",
    "created>2020-01-01 -state:active",
    '"it broke" OR tag:tag1',
    "id:00*",
)

Answers = dict[str, Any]


def answers(channel: grpc.Channel, run_ids: Sequence[str], names: Sequence[str]) -> Answers:
    """Return what a server answers to every read, without its revision and its page tokens.

    Args:
        channel: To the server.
        run_ids: Runs to ask about, whether or not they are there.
        names: Of keys, streams, cells and documents to ask about.
    """
    index, data = RunIndexStub(channel), RunDataStub(channel)
    told: Answers = {}
    for call, request in (*_of_all(index), *_of_runs(index, data, run_ids, names)):
        name = f"{type(request).__name__} {str(request).replace(chr(10), ' ')}"
        told[name] = (
            list(_pages(call, request)) if hasattr(request, "page_token") else [_answer(call, request)]
        )
    return told


def _of_all(index: RunIndexStub) -> Iterator[tuple[Callable[..., Any], Any]]:
    """Yield the reads that name no run."""
    states = [state for state in pb.RunState.values() if state]
    for archived in (False, True):
        yield index.CountRuns, pb.CountRunsRequest(include_archived=archived)
        for view in pb.RunView.values():
            yield index.ListRuns, pb.ListRunsRequest(include_archived=archived, view=view)
        for tag in ("all", "tag0", "tag1", "unknown"):
            yield index.QueryRunsByTag, pb.QueryRunsByTagRequest(tag=tag, include_archived=archived)
        for query in QUERIES:
            yield index.SearchRuns, pb.SearchRunsRequest(query=query, include_archived=archived)
    for state in states:
        yield index.QueryRunsByState, pb.QueryRunsByStateRequest(state=state)
        yield index.ListRuns, pb.ListRunsRequest(states=[state], skip=2)


def _of_runs(
    index: RunIndexStub, data: RunDataStub, run_ids: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[Callable[..., Any], Any]]:
    """Yield the reads that name a run."""
    for run_id in run_ids:
        yield index.GetRun, pb.GetRunRequest(run_id=run_id)
        yield index.RunExists, pb.RunExistsRequest(run_id=run_id)
        yield index.GetRunTags, pb.GetRunTagsRequest(run_id=run_id)
        yield index.GetParentRun, pb.GetParentRunRequest(run_id=run_id)
        yield index.GetChildRuns, pb.GetChildRunsRequest(run_id=run_id, include_archived=True)
        yield index.GetRunRetention, pb.GetRunRetentionRequest(run_id=run_id)
        yield data.ListValues, data_pb.ListValuesRequest(run_id=run_id)
        yield data.ListStates, data_pb.ListStatesRequest(run_id=run_id)
        yield data.ListDocuments, data_pb.ListDocumentsRequest(run_id=run_id)
        yield data.ReadEvents, data_pb.ReadEventsRequest(run_id=run_id)
        yield data.CountEvents, data_pb.CountEventsRequest(run_id=run_id)
        for name in names:
            yield data.GetValue, data_pb.GetValueRequest(run_id=run_id, key=name)
            yield data.GetValueHistory, data_pb.GetValueHistoryRequest(run_id=run_id, key=name)
            yield data.GetState, data_pb.GetStateRequest(run_id=run_id, cell=name)
            yield data.GetDocument, data_pb.GetDocumentRequest(run_id=run_id, document=name)
            yield data.CountEvents, data_pb.CountEventsRequest(run_id=run_id, stream=name)
            backwards = data_pb.ReadEventsRequest(run_id=run_id, stream=name, backwards=True)
            yield data.ReadEvents, backwards


def _pages(call: Callable[..., Any], request: Any) -> Iterator[Any]:
    """Yield the answers to a read of pages, to its end."""
    page_token = ""
    while True:
        request.page_size, request.page_token = PAGE_SIZE, page_token
        try:
            answer = call(request)
        except grpc.RpcError as error:
            yield error.code().name
            return
        page_token, answer.next_page_token = answer.next_page_token, ""
        answer.revision = 0
        yield answer
        if not page_token:
            return


def _answer(call: Callable[..., Any], request: Any) -> Any:
    """Return the answer to a read, or how it is refused."""
    try:
        answer = call(request)
    except grpc.RpcError as error:
        return error.code().name
    answer.revision = 0
    return answer
