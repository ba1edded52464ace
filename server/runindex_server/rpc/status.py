"""The table of status codes, and errors as they leave the server."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from runindex_server.errors import InvalidArgument, Reason, RunIndexError

DOMAIN: Final = "runindex"
"""`ErrorInfo.domain` of every refusal."""

DETAILS_KEY: Final = "grpc-status-details-bin"
"""The trailer in which gRPC carries `google.rpc.Status`."""

STATUS_CODES: Final[Mapping[Reason, grpc.StatusCode]] = MappingProxyType(
    {
        Reason.INVALID_RUN_ID: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.FIELD_REQUIRED: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_METADATA: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.RESERVED_METADATA_KEY: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_TAG: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_STATE: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_PAGE_SIZE: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_PAGE_TOKEN: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_QUERY: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_RETENTION_POLICY: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.UNPARSABLE_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.REQUEST_ID_REUSED: grpc.StatusCode.INVALID_ARGUMENT,
        Reason.RUN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.PARENT_RUN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.VALUE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.STATE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.DOCUMENT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.POINTER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.TEMPLATE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        Reason.RUN_ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
        Reason.INVALID_STATE_TRANSITION: grpc.StatusCode.FAILED_PRECONDITION,
        Reason.DEFAULT_RUN_PROTECTED: grpc.StatusCode.FAILED_PRECONDITION,
        Reason.RUN_ARCHIVED: grpc.StatusCode.FAILED_PRECONDITION,
        Reason.LIMIT_EXCEEDED: grpc.StatusCode.FAILED_PRECONDITION,
        Reason.READ_ONLY: grpc.StatusCode.FAILED_PRECONDITION,
        Reason.CLOCK_JUMPED: grpc.StatusCode.FAILED_PRECONDITION,
        Reason.VERSION_MISMATCH: grpc.StatusCode.ABORTED,
        Reason.VALUE_MISMATCH: grpc.StatusCode.ABORTED,
        Reason.TEMPLATE_VERSION_MISMATCH: grpc.StatusCode.ABORTED,
        Reason.REQUEST_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.STORE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.CREDENTIALS_MISSING: grpc.StatusCode.UNAUTHENTICATED,
        Reason.CREDENTIALS_INVALID: grpc.StatusCode.UNAUTHENTICATED,
        Reason.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
        Reason.NOT_EXECUTED: grpc.StatusCode.DEADLINE_EXCEEDED,
        Reason.DEADLINE_PASSED: grpc.StatusCode.DEADLINE_EXCEEDED,
        Reason.OVERLOADED: grpc.StatusCode.UNAVAILABLE,
        Reason.SHUTTING_DOWN: grpc.StatusCode.UNAVAILABLE,
        Reason.MIGRATING: grpc.StatusCode.UNAVAILABLE,
        Reason.COMMIT_OUTCOME_UNKNOWN: grpc.StatusCode.UNAVAILABLE,
        Reason.STORE_CORRUPT: grpc.StatusCode.DATA_LOSS,
        Reason.INTERNAL_ERROR: grpc.StatusCode.INTERNAL,
    }
)
"""The status code of each reason: one row for each."""


class Refusal(NamedTuple):
    """An error as gRPC sends it: the arguments of `ServicerContext.abort`."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def refusal(error: RunIndexError) -> Refusal:
    """Return an error as it leaves the server: code, sentence, and `google.rpc.Status` with its details."""
    code = STATUS_CODES[error.reason]
    status = Status(code=code.value[0], message=error.message, details=map(_packed, _details(error)))
    return Refusal(code, error.message, ((DETAILS_KEY, status.SerializeToString()),))


def _details(error: RunIndexError) -> list[Message]:
    """Return what an error carries beside its code: ErrorInfo always, first."""
    metadata = dict(error.metadata)
    if error.revision is not None:
        metadata["revision"] = str(error.revision)
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if isinstance(error, InvalidArgument) and error.field:
        violation = BadRequest.FieldViolation(
            field=error.field, description=error.message, reason=error.reason
        )
        details.append(BadRequest(field_violations=[violation]))
    if error.retry_after_ms is not None:
        seconds, millis = divmod(error.retry_after_ms, 1_000)
        details.append(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=millis * 1_000_000)))
    return details


def _packed(message: Message) -> Any:
    """Return a message as `google.protobuf.Any`."""
    packed = Any()
    packed.Pack(message)
    return packed
