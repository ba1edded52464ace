"""The boundary of a call: bytes in, bytes or a refusal out.

Only here a call is admitted, a request parsed, or an RPC ended. It wraps each method once, when the server is
built, and not each call.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from runindex_server import limits
from runindex_server.errors import (
    DeadlinePassed,
    InternalFault,
    NotExecuted,
    RequestTooLarge,
    RunIndexError,
    StoreCorrupt,
    UnparsableRequest,
)
from runindex_server.logs import get_logger
from runindex_server.rpc.admission import Admission, Context
from runindex_server.rpc.auditing import Auditor
from runindex_server.rpc.gate import Gate
from runindex_server.rpc.metrics import Metrics, Serve
from runindex_server.rpc.policy import role_for
from runindex_server.rpc.status import refusal
from runindex_server.rpc.tracing import Tracing
from runindex_server.rpc.untaken import Untaken

Method = Callable[[Any], Awaitable[bytes | Message]]
"""A servicer's method: a request message in, a response message or its wire form out."""

StreamMethod = Callable[[Any], AsyncGenerator[Message, None]]
"""A servicer's method that answers piece by piece."""

_UNBOUNDED: Final = nullcontext()

_log: Final = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What every call passes.

    Attributes:
        gate: Lets calls in while the server runs.
        admission: Lets in who may call.
        auditor: Writes down what they did.
        untaken: Bounds answers that callers do not take.
        metrics: Measures how long it took; None for not.
        tracing: Makes a span of it; None for not.
    """

    gate: Gate
    admission: Admission = field(default_factory=Admission)
    auditor: Auditor = field(default_factory=Auditor)
    untaken: Untaken = field(default_factory=Untaken)
    metrics: Metrics | None = None
    tracing: Tracing | None = None

    def handler_of(
        self, descriptor: MethodDescriptor, method: Method | StreamMethod
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return what gRPC calls for a method.

        Bytes go in and out of gRPC as they are, so that a request that does not parse, and every exception,
        end here as a refusal with a reason, and never as gRPC's own INTERNAL or UNKNOWN.
        """
        if self.tracing is not None:
            method = self.tracing.of_method(descriptor, method)
        if descriptor.server_streaming:
            stream = self._streaming(descriptor, cast("StreamMethod", method))
            return grpc.unary_stream_rpc_method_handler(self._watched(descriptor, stream))
        answer = self._answering(descriptor, cast("Method", method))
        return grpc.unary_unary_rpc_method_handler(self._watched(descriptor, answer))

    def _watched(self, descriptor: MethodDescriptor, serve: Serve) -> Serve:
        """Return what serves a method, and measures and traces it where that is asked for."""
        if self.metrics is not None:
            serve = self.metrics.measuring(descriptor, serve)
        return serve if self.tracing is None else self.tracing.of_call(descriptor, serve)

    def _answering(
        self, descriptor: MethodDescriptor, method: Method
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        """Return what serves a method with one answer."""
        request_class = GetMessageClass(descriptor.input_type)
        role, audit = role_for(descriptor), self.auditor.of_method(descriptor)
        is_read = descriptor.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS

        async def serve(data: bytes, context: Context) -> bytes:
            request = None
            try:
                with self.gate:
                    self.admission.admit(role, context)
                    bound = _bound(context)
                    request = parse(request_class, data)
                    async with bound:
                        response = await method(request)
                    answer = response if isinstance(response, bytes) else response.SerializeToString()
                    if is_read:
                        self.untaken.add(len(answer), context)
                    audit.done(context, request, response)
            except Exception as error:  # noqa: BLE001  # Every call ends here.
                refused = _refusal_of(error, descriptor)
                audit.refused(context, request, refused)
                await _end(context, refused)
            return answer

        return serve

    def _streaming(
        self, descriptor: MethodDescriptor, method: StreamMethod
    ) -> Callable[[bytes, Context], Awaitable[None]]:
        """Return what serves a method that answers piece by piece.

        It writes the pieces itself: when the caller goes away, that is where it learns it, and what the
        method holds is given up at once. A generator would only be dropped.
        """
        request_class = GetMessageClass(descriptor.input_type)
        role, audit = role_for(descriptor), self.auditor.of_method(descriptor)

        async def serve(data: bytes, context: Context) -> None:
            request = None
            try:
                with self.gate:
                    self.admission.admit(role, context)
                    _refuse_when_late(context)
                    request = parse(request_class, data)
                    async with aclosing(method(request)) as pieces:
                        async for piece in pieces:
                            if not await _is_taken(piece, context):
                                return
                    audit.done(context, request, None)
            except Exception as error:  # noqa: BLE001  # As above.
                refused = _refusal_of(error, descriptor)
                audit.refused(context, request, refused)
                await _end(context, refused)

        return serve


async def _is_taken(piece: Message, context: Context) -> bool:
    """Write a piece of an answer, and tell whether the caller is still there to take it."""
    try:
        await context.write(piece.SerializeToString())
    except Exception:
        # gRPC mostly cancels the call of a caller who has gone. Now and then the write fails first.
        if context.done():
            return False
        raise
    return True


def _refuse_when_late(context: Context) -> float | None:
    """Refuse a call whose caller has given it up already; return how long it may take, in seconds.

    While a call is under way gRPC cancels it at its deadline, and a write that waits is dropped then.

    Raises:
        NotExecuted: Its deadline has passed.
    """
    left_s = context.time_remaining()
    if left_s is not None and left_s <= 0:
        raise NotExecuted
    return left_s


def _bound(context: Context) -> AbstractAsyncContextManager[object]:
    """Return what ends a call that no deadline of its caller ends in time.

    Raises:
        NotExecuted: As `_refuse_when_late`.
    """
    left_s = _refuse_when_late(context)
    if left_s is None:
        return asyncio.timeout(limits.CALL_S_DEFAULT)
    return asyncio.timeout(limits.CALL_S_MAX) if left_s > limits.CALL_S_MAX else _UNBOUNDED


def parse(request_class: type[Message], data: bytes) -> Message:
    """Return the request in some bytes, without fields that this server does not know.

    Raises:
        RequestTooLarge: They are too many.
        UnparsableRequest: They are no such message.
    """
    if len(data) > limits.REQUEST_BYTES_MAX:
        raise RequestTooLarge(len(data))
    try:
        request = request_class.FromString(data)
    except DecodeError as error:
        raise UnparsableRequest(request_class.DESCRIPTOR.full_name) from error
    request.DiscardUnknownFields()
    return request


def _refusal_of(error: Exception, descriptor: MethodDescriptor) -> RunIndexError:
    """Return the refusal that an error ends a call with, and log it. Called while it is being handled.

    Of a fault of the server the caller learns the id of its log line, and nothing else.
    """
    call_id = secrets.token_hex(8)
    told = {"method": descriptor.full_name, "call_id": call_id}
    match error:
        case StoreCorrupt():
            error.metadata["callId"] = call_id
            _log.error("call refused", reason=error.reason, detail=error.detail, **told)
            return error
        case RunIndexError():
            _log.debug("call refused", reason=error.reason, **told)
            return error
        case TimeoutError():
            _log.warning("call took too long", **told)
            return DeadlinePassed()
        case _:
            _log.exception("call failed", **told)
            return InternalFault(call_id)


async def _end(context: Context, error: RunIndexError) -> NoReturn:
    """End a call with a refusal."""
    await context.abort(*refusal(error))
