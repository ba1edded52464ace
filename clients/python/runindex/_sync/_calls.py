# Made by `scripts/gen_sync_client.py` of `_async/_calls.py`, where changes are made.
"""How calls are made: one connection, opened with the first of them, and retries under one request id."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from runindex._errors import DeadlineExceeded, RunIndexError, Unavailable
from runindex._methods import give_request_id, path_of
from runindex._options import Options
from runindex._refusals import error_of
from runindex._retry import Attempts

R = TypeVar("R", bound=Message)

Sleep = Callable[[float], None]
"""Waits for some seconds."""

SPARED_TIMEOUT_S: Final = 5.0
"""How long a call may take that the program can do without, with its retries."""

REST_S: Final = 10.0
"""For how long no call is made that the program can do without, after one found no server."""

log: Final = logging.getLogger("runindex")


class Caller(Protocol):
    """What makes calls."""

    def unary(self, build: Callable[[], Message], response: type[R]) -> R:
        """Make a call.

        Args:
            build: Makes the request.
            response: The type of the response.
        """
        ...


class Calls:
    """Makes the calls of one client."""

    def __init__(self, options: Options, sleep: Sleep = time.sleep) -> None:
        """Prepare; nothing is connected before the first call.

        Args:
            options: How to connect and call.
            sleep: Waits between attempts.
        """
        self.address = options.address
        self._options = options
        self._sleep = sleep
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._methods: dict[str, Callable[..., Any]] = {}
        self._is_closed = False
        self._rest_until_s = float("-inf")

    def unary(self, build: Callable[[], Message], response: type[R], timeout_s: float | None = None) -> R:
        """Make a call, again while the server is unavailable and there is time.

        Args:
            build: Makes the request. A mutation gets a request id, the same for all attempts.
            response: The type of the response.
            timeout_s: How long it may take with its retries; the client's own when None.

        Raises:
            RuntimeError: The client is closed.
            RunIndexError: It was refused, or took too long.
        """
        request = build()
        give_request_id(request)
        method = self._method(request, response)
        limit_s = self._options.timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(self._options.policy, limit_s)
        while True:
            try:
                answer: R = method(
                    request, timeout=attempts.remaining_s(), metadata=self._options.call_metadata()
                )
            except grpc.RpcError as fault:
                self._pause(attempts, error_of(fault))
            else:
                return answer

    def stream(self, request: Message, response: type[R]) -> "Stream[R]":
        """Return a call for a block, which answers by a stream; it is made when that is iterated over.

        Args:
            request: The request.
            response: The type of the responses.
        """
        return Stream(self, request, response)

    def responses(self, stream: "Stream[R]") -> Iterator[R]:
        """Yield the responses of a stream; it is made again only while nothing has come.

        Raises:
            RuntimeError: The client is closed.
            RunIndexError: It was refused, or broke off.
        """
        method = self._method(stream.request, stream.response, streamed=True)
        attempts = Attempts(self._options.policy, self._options.timeout_s)
        is_answered = False
        while True:
            stream.call = method(stream.request, metadata=self._options.call_metadata())
            try:
                for response in stream.call:
                    is_answered = True
                    yield response
            except grpc.RpcError as fault:
                if is_answered:
                    raise error_of(fault) from None
                self._pause(attempts, error_of(fault))
            else:
                return

    def _pause(self, attempts: Attempts, refusal: RunIndexError) -> None:
        """Wait for the next attempt; raise why the last one failed if there is none."""
        pause_s = attempts.pause_after(refusal)
        if pause_s is None:
            raise refusal from None
        self._sleep(pause_s)

    def rest(self) -> None:
        """Make no calls for a while that the program can do without."""
        self._rest_until_s = self._options.policy.monotonic() + REST_S

    def is_resting(self) -> bool:
        """Tell whether to make no calls that the program can do without."""
        return self._options.policy.monotonic() < self._rest_until_s

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        with self._lock:
            self._is_closed = True
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _method(
        self, request: Message, response: type[Message], *, streamed: bool = False
    ) -> Callable[..., Any]:
        """Return what makes a call, on a connection that is opened if there is none."""
        path = path_of(request.DESCRIPTOR)
        with self._lock:
            if self._is_closed:
                msg = "the client is closed"
                raise RuntimeError(msg)
            if self._channel is None:
                self._channel = self._connect()
                self._methods = {}
            if path not in self._methods:
                make = self._channel.unary_stream if streamed else self._channel.unary_unary
                self._methods[path] = make(
                    path,
                    request_serializer=type(request).SerializeToString,
                    response_deserializer=response.FromString,
                )
            return self._methods[path]

    def _connect(self) -> grpc.Channel:
        credentials, options = self._options.credentials(), self._options.channel_options()
        if credentials is None:
            return grpc.insecure_channel(self.address, options=options)
        return grpc.secure_channel(self.address, credentials, options=options)


class Stream(Generic[R]):
    """A call that answers by a stream, for a block: whatever ends the block ends the call.

    Attributes:
        request: Its request.
        response: The type of its responses.
        call: What gRPC calls it; None before it is made.
    """

    def __init__(self, calls: Calls, request: Message, response: type[R]) -> None:
        """Prepare a call of a client."""
        self.request = request
        self.response = response
        self.call: Any = None
        self._calls = calls

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.call is not None:
            self.call.cancel()

    def __iter__(self) -> Iterator[R]:
        return self._calls.responses(self)


class SparedCalls:
    """Makes calls that the program can do without: one that fails is logged, and answered by nothing.

    After one that found no server the next ones are left out for a while, so that the program does not wait
    for each of them.
    """

    def __init__(self, calls: Calls) -> None:
        """Make calls through those of a client."""
        self._calls = calls
        self._is_stopped = False

    def unary(self, build: Callable[[], Message], response: type[R]) -> R:
        """Make a call, or do without.

        Args:
            build: Makes the request.
            response: The type of the response; an empty one answers a call that fails.
        """
        if self._is_stopped or self._calls.is_resting():
            return response()
        try:
            return self._calls.unary(build, response, SPARED_TIMEOUT_S)
        except Exception as fault:  # noqa: BLE001  # Whatever it is, the observed program goes on.
            self.spare(fault)
            return response()

    def spare(self, fault: Exception) -> None:
        """Go on without what has failed."""
        log.warning("not recorded: %s", fault)
        if isinstance(fault, Unavailable | DeadlineExceeded):
            self._calls.rest()

    def stop(self) -> None:
        """Make no more calls."""
        self._is_stopped = True


def note_of(refusal: Exception) -> str:
    """Return what an exception is told of the failure to record it."""
    return f"runindex could not record how this run ended: {refusal}"
