"""What requests for pages of insights have in common, and what they ask for."""

from typing import Protocol

from runindex.v1 import insights_pb2 as pb
from runindex_server import limits
from runindex_server.data.listing import Page, PageRequest, Place
from runindex_server.insights.errors import ErrorPlace, ErrorQuery
from runindex_server.insights.stale import StalePlace, StaleQuery
from runindex_server.insights.tags import TagCount, TagQuery
from runindex_server.rpc import insights_validate, validate
from runindex_server.rpc.digest import query_digest
from runindex_server.runs.page_token import PageTokens

CollectionRequest = (
    pb.GetRunHistoryRequest | pb.ListTagsRequest | pb.ListStaleRunsRequest | pb.ListErrorsRequest
)


class EndOfPage(Protocol):
    """Where a page ended, in a form that belongs to its collection."""

    def pack(self) -> bytes:
        """Return it as the place of a page token."""
        ...


def place_of(request: CollectionRequest, tokens: PageTokens) -> bytes | None:
    """Return the place where the page before ended; None for the first page.

    Raises:
        InvalidPageToken: As `PageTokens.decode`.
    """
    return tokens.decode(query_digest(request), request.page_token) if request.page_token else None


def next_page_token(request: CollectionRequest, tokens: PageTokens, end: EndOfPage | None) -> str:
    """Return the token of the page after one that ends there; empty at the end of all."""
    return "" if end is None else tokens.encode(query_digest(request), end.pack())


def page_size(request: CollectionRequest) -> int:
    """Return how many items a page holds at most.

    Raises:
        InvalidPageSize: As `validate.page_size`.
    """
    return validate.page_size(request.page_size, default=limits.PAGE_SIZE_DEFAULT)


def history_page(request: pb.GetRunHistoryRequest, tokens: PageTokens) -> PageRequest:
    """Return which page of a run's history a request asks for.

    Raises:
        InvalidPageSize, InvalidPageToken: As in `page_size`, `place_of`.
    """
    size, place = page_size(request), place_of(request, tokens)
    return PageRequest(size, None if place is None else Place.unpack(place))


def history_token(request: pb.GetRunHistoryRequest, tokens: PageTokens, page: Page) -> str:
    """Return the token of the page after one of a run's history; empty at the end."""
    return next_page_token(request, tokens, page.end)


def tag_query(request: pb.ListTagsRequest, tokens: PageTokens) -> TagQuery:
    """Return which page of tags a request asks for.

    Raises:
        InvalidField, InvalidPageSize, InvalidPageToken: As in `insights_validate`, `page_size`, `place_of`.
    """
    prefix = insights_validate.tag_prefix(request.prefix)
    by_count = insights_validate.is_by_count(request.order)
    size, place = page_size(request), place_of(request, tokens)
    return TagQuery(
        prefix=prefix,
        include_archived=request.include_archived,
        by_count=by_count,
        size=size,
        after=None if place is None else TagCount.unpack(place),
    )


def stale_query(request: pb.ListStaleRunsRequest, tokens: PageTokens, *, now_us: int) -> StaleQuery:
    """Return which page of stale runs a request asks for.

    Args:
        request: The request.
        tokens: Of the store.
        now_us: The time from which the idle time counts on the first page.

    Raises:
        FieldRequired, InvalidField, InvalidState, InvalidPageSize, InvalidPageToken: As in
            `insights_validate`, `validate`, `page_size`, `place_of`.
    """
    idle_for_us = insights_validate.idle_for_us(request)
    insights_validate.check_can_be_stale(request.states)
    view, states = validate.view(request.view), insights_validate.open_states(request.states)
    size, place = page_size(request), place_of(request, tokens)
    after = None if place is None else StalePlace.unpack(place)
    return StaleQuery(
        states=states,
        idle_for_us=idle_for_us,
        now_us=now_us if after is None else after.now_us,
        size=size,
        view=view,
        after=after,
    )


def error_query(request: pb.ListErrorsRequest, tokens: PageTokens) -> ErrorQuery:
    """Return which page of errors a request asks for.

    Raises:
        InvalidPageSize, InvalidField, InvalidPageToken: As in `page_size`, `validate.view`, `place_of`.
    """
    size, view, place = page_size(request), validate.view(request.view), place_of(request, tokens)
    return ErrorQuery(
        include_archived=request.include_archived,
        size=size,
        view=view,
        after=None if place is None else ErrorPlace.unpack(place),
    )
