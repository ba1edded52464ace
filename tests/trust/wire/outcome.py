"""What may come of the bytes of a request: a sound answer, or a refusal with a reason of the contract."""

from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from runindex_server.errors import Reason
from runindex_server.rpc.status import DETAILS_KEY, STATUS_CODES
from tests.support.calls import check_refused
from tests.trust.wire.callee import Aborted, Served

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""What clients of gRPC take when they are not told otherwise."""

TRAILERS_BYTES_MAX: Final = 8 * 1024
"""What clients of gRPC take of metadata without now and then refusing it."""

_OF_CALLERS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
    }
)
REASONS: Final = (
    {reason for reason, code in STATUS_CODES.items() if code in _OF_CALLERS} | {Reason.REQUEST_TOO_LARGE}
) - {Reason.READ_ONLY, Reason.CLOCK_JUMPED}
"""Why a request may be refused by a server that is well: the request, or what the store holds."""


class Unsound(Exception):
    """Something came of a request that may not come of any."""


def check_answer(served: Served, pieces: list[bytes]) -> None:
    """Check what a call returned.

    Raises:
        Unsound: It cannot be read, is not the same when it is written again, or is too large.
    """
    if not pieces:
        raise Unsound("an answer without a piece")
    for piece in pieces:
        try:
            answer = served.answer_class.FromString(piece)
        except DecodeError as error:
            raise Unsound("an answer that cannot be read") from error
        if served.answer_class.FromString(answer.SerializeToString(deterministic=True)) != answer:
            raise Unsound("an answer that is another one when it is written again")
        if len(piece) > ANSWER_BYTES_MAX:
            raise Unsound(f"an answer of {len(piece)} bytes")


def check_refusal(error: Aborted) -> str:
    """Check how a call was refused, and return the reason.

    Raises:
        Unsound, AssertionError: It is not one of the contract's refusals of a request.
    """
    [(key, packed)] = error.trailing_metadata()
    if key != DETAILS_KEY:
        raise Unsound(f"a refusal with {key}")
    info = ErrorInfo()
    status = Status.FromString(packed)
    if not status.details or not status.details[0].Unpack(info):
        raise Unsound("a refusal without a reason")
    if info.reason not in REASONS:
        raise Unsound(f"a refusal with {info.reason}: {error.details()}")
    sent = len(packed) * 4 // 3 + 3 * len(error.details().encode())
    if sent > TRAILERS_BYTES_MAX:
        raise Unsound(f"a refusal of {sent} bytes")

    def again() -> None:
        raise error

    check_refused(again, STATUS_CODES[Reason(info.reason)], info.reason)
    return info.reason
