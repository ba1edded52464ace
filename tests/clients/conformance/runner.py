"""Scenarios, run through the clients: their calls with their retries, their pages, their errors."""

from collections.abc import AsyncIterable, Sequence
from typing import Any, Protocol

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runindex import AsyncClient, AsyncItems, Client, Items, RunIndexError
from runindex._async import _pages as _async
from runindex._sync import _pages as _sync
from runindex._types import Page, PageRequest
from tests.clients.conformance.matching import NOTHING, MismatchError, check, filled, found, shown
from tests.clients.conformance.methods import items_field
from tests.clients.conformance.scenario import Scenario, Step
from tests.support.server import LoopThread


class ScenarioError(AssertionError):
    """A scenario does not hold; the message names the file, the step, the place, and both values."""


class Caller(Protocol):
    """What calls through a client. Each method raises what the client does."""

    def call(self, method: MethodDescriptor, request: Message) -> Message:
        """Return the response of a method."""
        ...

    def each(self, method: MethodDescriptor, request: Message) -> Sequence[Message]:
        """Return the items of all pages of a collection."""
        ...

    def stream(self, method: MethodDescriptor, request: Message) -> Sequence[Message]:
        """Return the responses of a method that streams them."""
        ...


class SyncCaller:
    """Calls through `runindex.Client`."""

    def __init__(self, client: Client) -> None:
        self._calls = client._calls

    def call(self, method: MethodDescriptor, request: Message) -> Message:
        return self._calls.unary(lambda: request, response_type(method))

    def each(self, method: MethodDescriptor, request: Message) -> Sequence[Message]:
        fetch = _sync.fetching(
            self._calls, lambda page: request_of(request, page), response_type(method), page_of
        )
        return list(Items(fetch, limit=None, page_size=page_size_of(request)))

    def stream(self, method: MethodDescriptor, request: Message) -> Sequence[Message]:
        with self._calls.stream(request, response_type(method)) as responses:
            return list(responses)


class AsyncCaller:
    """Calls through `runindex.AsyncClient`."""

    def __init__(self, client: AsyncClient, loop: LoopThread) -> None:
        self._calls = client._calls
        self._loop = loop

    def call(self, method: MethodDescriptor, request: Message) -> Message:
        return self._loop.run(self._calls.unary(lambda: request, response_type(method)))

    def each(self, method: MethodDescriptor, request: Message) -> Sequence[Message]:
        fetch = _async.fetching(
            self._calls, lambda page: request_of(request, page), response_type(method), page_of
        )
        items = AsyncItems(fetch, limit=None, page_size=page_size_of(request))
        return self._loop.run(all_of(items))

    def stream(self, method: MethodDescriptor, request: Message) -> Sequence[Message]:
        async def responses() -> Sequence[Message]:
            async with self._calls.stream(request, response_type(method)) as stream:
                return await all_of(stream)

        return self._loop.run(responses())


async def all_of(items: AsyncIterable[Message]) -> Sequence[Message]:
    """Return what an iteration yields."""
    return [item async for item in items]


def response_type(method: MethodDescriptor) -> type[Message]:
    """Return the type of a method's responses."""
    return GetMessageClass(method.output_type)


def request_of(request: Any, page: PageRequest) -> Message:
    """Return the request of one page."""
    one: Any = type(request)()
    one.CopyFrom(request)
    one.page_size, one.page_token = page.page_size, page.page_token
    return one


def page_size_of(request: Any) -> int | None:
    """Return the page size that a request names; None when it leaves that to the client."""
    size: int = request.page_size
    return size or None


def page_of(response: Any) -> Page[Message]:
    """Return a response as a page."""
    field = items_field(response.DESCRIPTOR)
    assert field is not None
    return Page(tuple(getattr(response, field.name)), response.next_page_token, response.revision)


def run(scenario: Scenario, caller: Caller) -> None:
    """Make the steps of a scenario, up to the first that does not hold.

    Raises:
        ScenarioError: One does not hold.
    """
    kept: dict[str, Any] = {}
    for step in scenario.steps:
        try:
            _take(step, caller, kept)
        except MismatchError as fault:
            where = f"{scenario.file}, step {step.place} ({step.name})"
            raise ScenarioError(f"{where}: {fault}") from None


def _take(step: Step, caller: Caller, kept: dict[str, Any]) -> None:
    """Make a step, compare what came, and keep what it says."""
    request = _request(step, kept)
    expected = filled(step.expected, kept, step.expects)
    try:
        answer = as_json(getattr(caller, step.kind)(step.method, request))
    except RunIndexError as refusal:
        _check_refusal(step, expected, refusal)
        return
    if step.expects == "error":
        raise MismatchError("error", shown(expected), f"an answer: {shown(answer)}")
    check(expected, answer, step.expects)
    for name, path in step.keep.items():
        if name in kept:
            raise MismatchError(f"keep.{name}", "a name that is kept once", "one that was kept before")
        kept[name] = found(answer, path)
        if kept[name] is NOTHING:
            raise MismatchError(f"keep.{name}", f"something at {path} of the response", shown(NOTHING))


def _request(step: Step, kept: dict[str, Any]) -> Message:
    """Return the request of a step."""
    request: Any = GetMessageClass(step.method.input_type)()
    try:
        ParseDict(filled(step.request, kept, "request"), request)
    except ParseError as fault:
        raise MismatchError("request", f"a {step.method.input_type.name}", str(fault)) from None
    if step.kind == "each" and request.page_token:
        raise MismatchError("request.pageToken", shown(NOTHING), shown(request.page_token))
    return request


def as_json(answer: Message | Sequence[Message]) -> Any:
    """Return messages in protobuf's JSON, default values written out."""
    if isinstance(answer, Message):
        return MessageToDict(answer, always_print_fields_with_no_presence=True)
    return [as_json(message) for message in answer]


def _check_refusal(step: Step, expected: Any, refusal: RunIndexError) -> None:
    """Compare an error, as the client tells it."""
    got = {"code": refusal.code.name, "reason": refusal.reason, "metadata": refusal.metadata}
    if step.expects != "error":
        told = shown({**got, "message": refusal.message})
        raise MismatchError(step.expects, shown(expected), f"an error: {told}")
    check(expected, got, "error")
