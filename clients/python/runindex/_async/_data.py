"""What one run holds: values under keys, and events in streams."""

from collections.abc import Iterable
from typing import TypeVar

from runindex._async._calls import AsyncCaller
from runindex._async._cells import AsyncCells
from runindex._async._pages import AsyncItems, fetching
from runindex._convert import page_fields, page_of, time_of
from runindex._convert_data import event_of, key_item, written_of
from runindex._data_types import Appended, Event, EventCount, Item, Value, Written
from runindex._errors import ValueNotFound
from runindex._metadata import data_value_of
from runindex._types import MISSING, Missing
from runindex.v1 import run_data_pb2 as pb

D = TypeVar("D")


class AsyncRunData(AsyncCells):
    """The data of one run: values under keys, events in streams, state cells, and JSON documents.

    A value is what JSON has, or bytes. Each write makes the next version of what it writes, from 1, and
    `expected_version` makes it conditional on the version that is there; 0 means that nothing is there. All
    calls fail with RunNotFound when there is no such run, and all writes with RunArchived when it is frozen.
    """

    def __init__(self, calls: AsyncCaller, run_id: str) -> None:
        """Make calls about one run."""
        super().__init__(calls, run_id)

    async def put(
        self, key: str, value: Value, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Written:
        """Write a value under a key.

        Raises:
            InvalidField: The key or the value cannot be one; of what JSON has not, before the call.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            VersionMismatch: The version is not the expected one.
        """
        response = await self._calls.unary(
            lambda: pb.PutValueRequest(
                run_id=self.run_id,
                key=key,
                value=data_value_of(value),
                expected_version=expected_version,
                request_id=request_id,
            ),
            pb.PutValueResponse,
        )
        return written_of(response)

    async def get(self, key: str, default: D | Missing = MISSING) -> Value | D:
        """Return the value under a key.

        Args:
            key: The key.
            default: What to return when nothing is there, instead of an error.

        Raises:
            RunNotFound: There is no such run.
            ValueNotFound: Nothing is there, and there is no default.
        """
        try:
            return (await self.get_item(key)).value
        except ValueNotFound:
            if isinstance(default, Missing):
                raise
            return default

    async def get_item(self, key: str, *, version: int | None = None) -> Item:
        """Return the value under a key with its version, or one of its earlier versions.

        Raises:
            RunNotFound: There is no such run.
            ValueNotFound: Nothing is there, or no such version is kept.
        """
        response = await self._calls.unary(
            lambda: pb.GetValueRequest(run_id=self.run_id, key=key, version=version), pb.GetValueResponse
        )
        return key_item(response.item)

    async def delete(
        self, key: str, *, expected_version: int | None = None, request_id: str | None = None
    ) -> Written:
        """Delete the value under a key, by a version of its own.

        Raises:
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
            ValueNotFound: Nothing is there.
            VersionMismatch: The version is not the expected one.
        """
        response = await self._calls.unary(
            lambda: pb.DeleteValueRequest(
                run_id=self.run_id, key=key, expected_version=expected_version, request_id=request_id
            ),
            pb.DeleteValueResponse,
        )
        return written_of(response)

    def items(
        self,
        prefix: str = "",
        *,
        with_values: bool = True,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> AsyncItems[Item]:
        """Return the keys that hold a value, by the bytes of their names, with the values or without."""
        fetch = fetching(
            self._calls,
            lambda page: pb.ListValuesRequest(
                run_id=self.run_id, prefix=prefix, names_only=not with_values, **page_fields(page)
            ),
            pb.ListValuesResponse,
            lambda answer: page_of(map(key_item, answer.items), answer),
        )
        return AsyncItems(fetch, limit=limit, page_size=page_size)

    def history(
        self, key: str, *, limit: int | None = None, page_size: int | None = None
    ) -> AsyncItems[Item]:
        """Return the kept versions of a key, deletions among them, newest first."""
        fetch = fetching(
            self._calls,
            lambda page: pb.GetValueHistoryRequest(run_id=self.run_id, key=key, **page_fields(page)),
            pb.GetValueHistoryResponse,
            lambda answer: page_of(map(key_item, answer.items), answer),
        )
        return AsyncItems(fetch, limit=limit, page_size=page_size)

    async def append(self, stream: str, *values: Value, request_id: str | None = None) -> Appended:
        """Append events to a stream, all or none. Fails as `append_events` does."""
        return await self.append_events([(stream, value) for value in values], request_id=request_id)

    async def append_events(
        self, events: Iterable[tuple[str, Value]], *, request_id: str | None = None
    ) -> Appended:
        """Append events to streams, all or none; they follow each other in the run's one sequence.

        Args:
            events: The streams and what the events hold: 1 to 1,000.
            request_id: Replaces the one that is made for each call.

        Raises:
            InvalidArgument: There is no event, or one without a stream (FIELD_REQUIRED).
            InvalidField: There are too many, or one cannot be one.
            RunNotFound: There is no such run.
            RunArchived: It is frozen.
        """
        response = await self._calls.unary(
            lambda: pb.AppendEventsRequest(
                run_id=self.run_id,
                events=[
                    pb.EventDraft(stream=stream, value=data_value_of(value, f"events[{index}]"))
                    for index, (stream, value) in enumerate(events)
                ],
                request_id=request_id,
            ),
            pb.AppendEventsResponse,
        )
        return Appended(response.first_sequence, time_of(response.append_time), response.revision)

    def events(
        self,
        stream: str | None = None,
        *,
        from_sequence: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> AsyncItems[Event]:
        """Return the events of a stream, or of the whole run, in their order.

        Args:
            stream: The stream; all of them when None.
            from_sequence: Where to begin: the lowest sequence, or the highest when `backwards`.
            backwards: Whether to return the newest first.
            limit: How many to return at most.
            page_size: How many to read at a time, 100 when None, at most 1,000.
        """
        fetch = fetching(
            self._calls,
            lambda page: pb.ReadEventsRequest(
                run_id=self.run_id,
                stream=stream,
                from_sequence=from_sequence,
                backwards=backwards,
                **page_fields(page),
            ),
            pb.ReadEventsResponse,
            lambda answer: page_of(map(event_of, answer.events), answer),
        )
        return AsyncItems(fetch, limit=limit, page_size=page_size)

    async def count_events(self, stream: str | None = None) -> EventCount:
        """Return how many events a stream, or the whole run, has.

        Raises:
            RunNotFound: There is no such run.
        """
        response = await self._calls.unary(
            lambda: pb.CountEventsRequest(run_id=self.run_id, stream=stream), pb.CountEventsResponse
        )
        return EventCount(response.count, response.next_sequence, response.revision)
