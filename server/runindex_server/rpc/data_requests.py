"""What requests for pages of what runs hold have in common."""

from runindex.v1 import run_data_pb2 as pb
from runindex_server import limits
from runindex_server.data.listing import Page, PageRequest, Place
from runindex_server.rpc import validate
from runindex_server.rpc.digest import query_digest
from runindex_server.runs.page_token import PageTokens

CollectionRequest = (
    pb.ListValuesRequest
    | pb.GetValueHistoryRequest
    | pb.ReadEventsRequest
    | pb.ListStatesRequest
    | pb.ListDocumentsRequest
)


def page_request(request: CollectionRequest, tokens: PageTokens) -> PageRequest:
    """Return which page a request asks for.

    Raises:
        InvalidPageSize: As `validate.page_size`.
        InvalidPageToken: As `PageTokens.decode`.
    """
    size = validate.page_size(request.page_size, default=limits.PAGE_SIZE_DEFAULT)
    if not request.page_token:
        return PageRequest(size)
    return PageRequest(size, Place.unpack(tokens.decode(query_digest(request), request.page_token)))


def next_page_token(request: CollectionRequest, tokens: PageTokens, page: Page) -> str:
    """Return the token of the page after one; empty at the end."""
    return "" if page.end is None else tokens.encode(query_digest(request), page.end.pack())
