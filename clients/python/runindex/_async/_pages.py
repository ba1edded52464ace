"""Collections that page by themselves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from runindex._async._calls import AsyncCaller
from runindex._types import Page, PageRequest, Run

T = TypeVar("T")
R = TypeVar("R", bound=Message)

PAGE_SIZE: Final = 100

AsyncFetch = Callable[[PageRequest], Awaitable[Page[T]]]
"""Reads a page."""


def fetching(
    calls: AsyncCaller,
    build: Callable[[PageRequest], Message],
    response: type[R],
    read: Callable[[R], Page[T]],
) -> AsyncFetch[T]:
    """Return what reads a page by one call.

    Args:
        calls: Makes the call.
        build: Makes the request for a page.
        response: The type of the response.
        read: Returns the page that a response is.
    """

    async def fetch(page: PageRequest) -> Page[T]:
        return read(await calls.unary(lambda: build(page), response))

    return fetch


class AsyncItems(Generic[T]):
    """A collection that is read while it is iterated over, page by page, and from the beginning each time.

    Nothing is called before the first item is asked for. It has no length: `count` of the client, where there
    is one, costs less than to read all.
    """

    def __init__(self, fetch: AsyncFetch[T], *, limit: int | None, page_size: int | None) -> None:
        """Prepare.

        Args:
            fetch: Reads a page.
            limit: How many items there are at most; None for all.
            page_size: How many items a page holds at most; None for 100.

        Raises:
            ValueError: The limit is negative, or the page size less than 1.
        """
        if limit is not None and limit < 0:
            msg = f"limit is {limit}; it must not be negative"
            raise ValueError(msg)
        if page_size is not None and page_size < 1:
            msg = f"page_size is {page_size}; it must be at least 1"
            raise ValueError(msg)
        self._fetch = fetch
        self._limit = limit
        self._page_size = page_size or PAGE_SIZE

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Yield the pages; the last one is cut to what is left of the limit."""
        token = ""
        left = self._limit
        while left is None or left > 0:
            size = self._page_size if left is None else min(self._page_size, left)
            page = await self._fetch(PageRequest(token, size, ids_only=False))
            yield page
            token = page.next_page_token
            if not token:
                return
            if left is not None:
                left -= len(page.items)

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def first(self) -> T | None:
        """Return the first item; None when there is none."""
        token = ""
        while self._limit != 0:
            page = await self._fetch(PageRequest(token, 1, ids_only=False))
            if page.items:
                return page.items[0]
            token = page.next_page_token
            if not token:
                break
        return None


class AsyncRuns(AsyncItems[Run]):
    """Runs that are read while they are iterated over, page by page."""

    def ids(self) -> AsyncItems[str]:
        """Return the ids alone, which costs less to read."""

        async def fetch(request: PageRequest) -> Page[str]:
            page = await self._fetch(replace(request, ids_only=True))
            ids = tuple(run.run_id for run in page.items)
            return Page(ids, page.next_page_token, page.revision, page.truncated)

        return AsyncItems(fetch, limit=self._limit, page_size=self._page_size)
