"""Everything that callers can read of a store: each call with its answer, or how it was refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from runindex.v1 import insights_pb2 as insights_pb
from runindex.v1 import maintenance_pb2 as maintenance_pb
from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import templates_pb2 as templates_pb
from runindex_server.errors import RunIndexError, StoreCorrupt
from tests.support.clock import START_US
from tests.trust.disk.full_store import DATA_RUNS, NAMES, RUNS, STREAMS, id_of
from tests.trust.disk.served import Served

PAGES_MAX: Final = 40
PAGE_SIZE: Final = 9

QUERIES: Final = (
    "all",
    "tag:all -tag:n0",
    "state:failed",
    "outcome:completed",
    "meta.name:name*",
    "created>2020-01-01 -state:active",
    '"it broke" OR tag:v1',
    "word",
)
VIEWS: Final = tuple(pb.RunView.values())
STATES: Final = tuple(state for state in pb.RunState.values() if state)


class Call:
    """A read.

    Attributes:
        method: Its method.
        request: Its request, of which pages are read on to the end.
    """

    __slots__ = ("is_paged", "method", "request")

    def __init__(self, method: str, request: Any) -> None:
        """Take the method and the request."""
        self.method = method
        self.request = request
        fields = request.DESCRIPTOR.fields_by_name
        # Where a page is not bounded, it holds all.
        self.is_paged = "page_token" in fields and request.page_size > 0

    def __str__(self) -> str:
        """Tell it in one line."""
        return f"{self.method}({' '.join(str(self.request).split())})"


def everything() -> list[Call]:
    """Return the reads of the whole of a full store."""
    return [Call(type(request).__name__.removesuffix("Request"), request) for request in _requests()]


def _requests() -> Iterator[Message]:
    yield from _of_all_runs()
    yield from _of_figures()
    for number in range(RUNS):
        yield pb.GetRunRequest(run_id=id_of(number))
        yield insights_pb.GetRunHistoryRequest(run_id=id_of(number))
        if number % 4 == 0:
            yield from _of_run(id_of(number))
    for run_id in ("default", *map(id_of, DATA_RUNS[::3])):
        yield from _of_data(run_id)
    yield templates_pb.GetTemplateRequest(name="template 8")
    yield templates_pb.ListTemplatesRequest()


def _of_all_runs() -> Iterator[Message]:
    for archived in (False, True):
        yield pb.CountRunsRequest(include_archived=archived)
        for view in VIEWS:
            yield pb.ListRunsRequest(include_archived=archived, view=view)
        yield pb.ListRunsRequest(include_archived=archived, page_size=PAGE_SIZE)
        for tag in ("all", "n0", "n1", "n2", "a", "aé", "aéb", *(f"v{number}" for number in range(5))):
            yield pb.QueryRunsByTagRequest(tag=tag, include_archived=archived)
        for query in QUERIES:
            yield pb.SearchRunsRequest(query=query, include_archived=archived)
        yield insights_pb.ListTagsRequest(include_archived=archived)
        yield insights_pb.ListErrorsRequest(include_archived=archived)
    for state in STATES:
        yield pb.QueryRunsByStateRequest(state=state)
        yield pb.CountRunsRequest(states=[state])
        yield pb.ListRunsRequest(states=[state], skip=2)


def _of_figures() -> Iterator[Message]:
    yield insights_pb.ListTagsRequest(order=insights_pb.TAG_ORDER_COUNT)
    yield insights_pb.ListStaleRunsRequest(idle_for={"nanos": 1_000})
    yield insights_pb.GetRunStatsRequest()
    yield insights_pb.GetRunStatsRequest(tag="all")
    yield insights_pb.GetRunStatsRequest(tag="v1")
    start = {"seconds": START_US // 1_000_000}
    for interval in (insights_pb.STATS_INTERVAL_HOUR, insights_pb.STATS_INTERVAL_DAY):
        yield insights_pb.GetRunStatsRequest(interval=interval, start_time=start)
    yield insights_pb.GetRunTreeRequest(run_id="default")
    yield maintenance_pb.GetStatusRequest()


def _of_run(run_id: str) -> Iterator[Message]:
    yield pb.RunExistsRequest(run_id=run_id)
    yield pb.GetRunTagsRequest(run_id=run_id)
    yield pb.GetParentRunRequest(run_id=run_id)
    yield pb.GetChildRunsRequest(run_id=run_id, include_archived=True)
    yield pb.GetRunRetentionRequest(run_id=run_id)
    yield insights_pb.GetRunTreeRequest(run_id=run_id, include_archived=True)


def _of_data(run_id: str) -> Iterator[Message]:
    yield data_pb.ListValuesRequest(run_id=run_id, names_only=True)
    yield data_pb.ListStatesRequest(run_id=run_id, names_only=True)
    yield data_pb.ListDocumentsRequest(run_id=run_id)
    yield data_pb.ReadEventsRequest(run_id=run_id)
    yield data_pb.CountEventsRequest(run_id=run_id)
    for name in (*NAMES, "gone"):
        yield data_pb.GetValueRequest(run_id=run_id, key=name)
        yield data_pb.GetValueHistoryRequest(run_id=run_id, key=name)
        yield data_pb.GetStateRequest(run_id=run_id, cell=name)
        yield data_pb.GetDocumentRequest(run_id=run_id, document=name)
    for stream in STREAMS:
        yield data_pb.CountEventsRequest(run_id=run_id, stream=stream)
        yield data_pb.ReadEventsRequest(run_id=run_id, stream=stream, backwards=True)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a read was refused.

    Attributes:
        name: The reason; of what is no refusal of ours, the name of the exception.
        is_named: Whether it says that the store is damaged.
    """

    name: str
    is_named: bool


Answer = tuple[bytes, ...] | Refusal


async def read(served: Served, call: Call) -> Answer:
    """Return the answer to a read: the wire form of each page of it, or its refusal."""
    pages: list[bytes] = []
    try:
        if not call.is_paged:
            return (await served.call(call.method, call.request),)
        request = type(call.request)()
        request.CopyFrom(call.request)
        for _ in range(PAGES_MAX):
            page = await served.call(call.method, request)
            pages.append(page)
            request.page_token = _next_page(call.method, page)
            if not request.page_token:
                return tuple(pages)
    except Exception as error:  # noqa: BLE001  # Whatever it is, it is held against the sound store.
        return refusal_of(error)
    return Refusal("pages without an end", is_named=False)


def refusal_of(error: Exception) -> Refusal:
    """Return what an exception tells a caller."""
    if isinstance(error, StoreCorrupt):
        return Refusal(error.reason, is_named=True)
    if isinstance(error, RunIndexError):
        return Refusal(error.reason, is_named=False)
    return Refusal(f"{type(error).__module__}.{type(error).__name__}: {error}", is_named=False)


def _next_page(method: str, page: bytes) -> str:
    answer = _ANSWERS[method].FromString(page)
    token: str = answer.next_page_token
    return token


_ANSWERS: Final[dict[str, Any]] = {
    name.removesuffix("Response"): kind
    for module in (pb, data_pb, insights_pb, templates_pb, maintenance_pb)
    for name, kind in vars(module).items()
    if name.endswith("Response")
}


async def read_all(served: Served, calls: Iterable[Call]) -> list[Answer]:
    """Return the answers to some reads."""
    return [await read(served, call) for call in calls]
