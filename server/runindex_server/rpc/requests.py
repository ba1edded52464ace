"""What requests have in common: drafts of runs, conditions of mutations, pages of collections."""

from collections.abc import Callable
from dataclasses import dataclass

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import templates_pb2 as templates_pb
from runindex_server import limits
from runindex_server.rpc import validate
from runindex_server.rpc.admission import CALLER
from runindex_server.rpc.digest import query_digest, request_digest
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions, RequestKey
from runindex_server.runs.page_token import PageTokens, Position
from runindex_server.runs.paging import PageRequest
from runindex_server.schema.run import RunId

CreateRequest = pb.CreateRunRequest | pb.CreateChildRunRequest
CollectionRequest = (
    pb.ListRunsRequest
    | pb.QueryRunsByStateRequest
    | pb.QueryRunsByTagRequest
    | pb.SearchRunsRequest
    | pb.GetChildRunsRequest
)
ChangeRequest = (
    pb.UpdateRunMetadataRequest
    | pb.CloseRunRequest
    | pb.PauseRunRequest
    | pb.ResumeRunRequest
    | pb.FailRunRequest
    | pb.CancelRunRequest
    | pb.ArchiveRunRequest
    | pb.DeleteRunRequest
    | pb.AddRunTagsRequest
    | pb.RemoveRunTagsRequest
    | pb.SetRunRetentionRequest
    | data_pb.PutValueRequest
    | data_pb.DeleteValueRequest
    | data_pb.SetStateRequest
    | data_pb.SetDocumentRequest
    | data_pb.MergeDocumentRequest
    | data_pb.DeleteDocumentRequest
    | templates_pb.PutTemplateRequest
    | templates_pb.DeleteTemplateRequest
)
UnversionedRequest = (
    CreateRequest
    | data_pb.AppendEventsRequest
    | data_pb.CompareAndSetStateRequest
    | templates_pb.CreateRunFromTemplateRequest
    | templates_pb.CloneRunRequest
)
"""Mutations that depend on no version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCall:
    """A call for a page of a collection.

    Attributes:
        request: The request, which the next page's token is bound to.
        page: Which page.
        now_us: The time from which ages count, the same on every page of a search; 0 where there are none.
    """

    request: CollectionRequest
    page: PageRequest
    now_us: int


def draft(request: CreateRequest, new_run_id: Callable[[], RunId], *, parent: RunId | None = None) -> Draft:
    """Return the run that a request asks for.

    Raises:
        InvalidRunId, InvalidTag, InvalidMetadata, ReservedMetadataKey: As in `validate`.
    """
    run_id = validate.run_id(request.run_id) if request.HasField("run_id") else new_run_id()
    tags = validate.tags(request.tags)
    metadata = validate.metadata_object(request.metadata)
    return Draft(run_id=run_id, tags=tags, metadata=metadata, parent=parent, creator=CALLER.get().name)


def conditions(request: ChangeRequest) -> Conditions:
    """Return on what a mutation of a run, of what it holds, or of a template depends.

    Raises:
        InvalidField: As `validate.request_id`.
    """
    expected = request.expected_version if request.HasField("expected_version") else None
    return Conditions(expected_version=expected, request=request_key(request), actor=CALLER.get().name)


def request_key(request: UnversionedRequest | ChangeRequest) -> RequestKey | None:
    """Return what makes a mutation safe to retry; None when it has no request id.

    Raises:
        InvalidField: As `validate.request_id`.
    """
    if not request.HasField("request_id"):
        return None
    request_id = validate.request_id(request.request_id)
    return RequestKey(caller=CALLER.get().name, request_id=request_id, digest=request_digest(request))


def page_call(
    request: CollectionRequest,
    tokens: PageTokens,
    *,
    default_size: int = limits.PAGE_SIZE_DEFAULT,
    now_us: int = 0,
) -> PageCall:
    """Return which page a request asks for.

    Args:
        request: The request.
        tokens: Of the store.
        default_size: Runs of a page when the request names no number.
        now_us: The time from which the ages of a query count on its first page.

    Raises:
        InvalidPageSize, InvalidField: As in `validate`.
        InvalidPageToken: As `PageTokens.decode`.
    """
    size = validate.page_size(request.page_size, default=default_size)
    view = validate.view(request.view)
    skip = 0
    if isinstance(request, pb.ListRunsRequest):
        skip = validate.skip(request.skip, page_token=request.page_token)
    before = None
    if request.page_token:
        position = Position.unpack(tokens.decode(query_digest(request), request.page_token))
        before, now_us = position.before, position.now_us
    page = PageRequest(size=size, before=before, skip=skip, view=view)
    return PageCall(request=request, page=page, now_us=now_us)
