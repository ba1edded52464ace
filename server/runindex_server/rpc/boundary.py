"""The boundary of a call: bytes in, bytes or a refusal out. Only here a request is parsed, or an RPC ended.

It wraps each method once, when the server is built, and not each call.
"""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from runindex_server import limits
from runindex_server.errors import (
    InternalFault,
    NotExecuted,
    RequestTooLarge,
    RunIndexError,
    StoreCorrupt,
    UnparsableRequest,
)
from runindex_server.logs import get_logger
from runindex_server.rpc.gate import Gate
from runindex_server.rpc.status import refusal

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Method = Callable[[Any], Awaitable[bytes | Message]]
"""A servicer's method: a request message in, a response message or its wire form out."""

StreamMethod = Callable[[Any], AsyncGenerator[Message, None]]
"""A servicer's method that answers piece by piece."""

_log: Final = get_logger(__name__)


def handler_of(
    descriptor: MethodDescriptor, method: Method | StreamMethod, gate: Gate
) -> "grpc.RpcMethodHandler[Any, Any]":
    """Return what gRPC calls for a method.

    Bytes go in and out of gRPC as they are, so that a request that does not parse, and every exception, end
    here as a refusal with a reason, and never as gRPC's own INTERNAL or UNKNOWN.
    """
    if descriptor.server_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _streaming(descriptor, cast("StreamMethod", method), gate)
        )
    return grpc.unary_unary_rpc_method_handler(_answering(descriptor, cast("Method", method), gate))


def _answering(
    descriptor: MethodDescriptor, method: Method, gate: Gate
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """Return what serves a method with one answer."""
    request_class = GetMessageClass(descriptor.input_type)

    async def serve(data: bytes, context: Context) -> bytes:
        try:
            with gate:
                _refuse_when_late(context)
                response = await method(parse(request_class, data))
        except Exception as error:  # noqa: BLE001  # Every call ends here.
            await _end(context, descriptor, error)
        return response if isinstance(response, bytes) else response.SerializeToString()

    return serve


def _streaming(
    descriptor: MethodDescriptor, method: StreamMethod, gate: Gate
) -> Callable[[bytes, Context], Awaitable[None]]:
    """Return what serves a method that answers piece by piece.

    It writes the pieces itself: when the caller goes away, that is where it learns it, and what the method
    holds is given up at once. A generator would only be dropped.
    """
    request_class = GetMessageClass(descriptor.input_type)

    async def serve(data: bytes, context: Context) -> None:
        try:
            with gate:
                _refuse_when_late(context)
                async with aclosing(method(parse(request_class, data))) as pieces:
                    async for piece in pieces:
                        await context.write(piece.SerializeToString())
        except Exception as error:  # noqa: BLE001  # As above.
            await _end(context, descriptor, error)

    return serve


def _refuse_when_late(context: Context) -> None:
    """Refuse a call whose caller has given it up already.

    While a call is under way gRPC cancels it at its deadline, and a write that waits is dropped then.

    Raises:
        NotExecuted: Its deadline has passed.
    """
    left_s = context.time_remaining()
    if left_s is not None and left_s <= 0:
        raise NotExecuted


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


async def _end(context: Context, descriptor: MethodDescriptor, error: Exception) -> NoReturn:
    """End a call that met an error with a refusal, and log it. Called while the error is being handled.

    Of a fault of the server the caller learns the id of its log line, and nothing else.
    """
    call_id = secrets.token_hex(8)
    told = {"method": descriptor.full_name, "call_id": call_id}
    match error:
        case StoreCorrupt():
            error.metadata["callId"] = call_id
            _log.error("call refused", reason=error.reason, detail=error.detail, **told)
        case RunIndexError():
            _log.debug("call refused", reason=error.reason, **told)
        case _:
            _log.exception("call failed", **told)
            error = InternalFault(call_id)
    await context.abort(*refusal(error))
