"""What a failed call was refused with, read from the details that came with its status."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from runindex import _errors as errors
from runindex._errors import RunIndexError

DOMAIN: Final = "runindex"
DETAILS_KEY: Final = "grpc-status-details-bin"

BY_CODE: Final[Mapping[grpc.StatusCode, type[RunIndexError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.ABORTED: errors.Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.DATA_LOSS: errors.DataLoss,
    grpc.StatusCode.INTERNAL: errors.Internal,
}

BY_REASON: Final[Mapping[str, type[RunIndexError]]] = {
    "INVALID_RUN_ID": errors.InvalidRunId,
    "INVALID_METADATA": errors.InvalidMetadata,
    "RESERVED_METADATA_KEY": errors.ReservedMetadataKey,
    "INVALID_TAG": errors.InvalidTag,
    "INVALID_QUERY": errors.InvalidQuery,
    "INVALID_FIELD": errors.InvalidField,
    "INVALID_PAGE_TOKEN": errors.InvalidPageToken,
    "REQUEST_ID_REUSED": errors.RequestIdReused,
    "RUN_NOT_FOUND": errors.RunNotFound,
    "PARENT_RUN_NOT_FOUND": errors.ParentRunNotFound,
    "TEMPLATE_NOT_FOUND": errors.TemplateNotFound,
    "VALUE_NOT_FOUND": errors.ValueNotFound,
    "STATE_NOT_FOUND": errors.StateNotFound,
    "DOCUMENT_NOT_FOUND": errors.DocumentNotFound,
    "POINTER_NOT_FOUND": errors.PointerNotFound,
    "RUN_ALREADY_EXISTS": errors.RunAlreadyExists,
    "INVALID_STATE_TRANSITION": errors.InvalidTransition,
    "DEFAULT_RUN_PROTECTED": errors.DefaultRunProtected,
    "RUN_ARCHIVED": errors.RunArchived,
    "LIMIT_EXCEEDED": errors.LimitExceeded,
    "VERSION_MISMATCH": errors.VersionMismatch,
    "VALUE_MISMATCH": errors.ValueMismatch,
    "TEMPLATE_VERSION_MISMATCH": errors.TemplateVersionMismatch,
    "REQUEST_TOO_LARGE": errors.RequestTooLarge,
    "COMMIT_OUTCOME_UNKNOWN": errors.CommitOutcomeUnknown,
    "NOT_EXECUTED": errors.NotExecuted,
}

TLS_FAULTS: Final[Mapping[str, str]] = {
    "CERTIFICATE_VERIFY_FAILED": "tls_ca (RUNINDEX_TLS_CA) does not vouch for the server's certificate",
    "Hostname Verification Check failed": "the server's certificate is for another name than the address has",
    "WRONG_VERSION_NUMBER": "the server speaks no TLS, which tls_ca (RUNINDEX_TLS_CA) asks for",
}
"""What is wrong with a connection, by what gRPC says of it among other things."""


def error_of(fault: grpc.RpcError) -> RunIndexError:
    """Return what a failed call was refused with.

    Args:
        fault: What the stub has raised, of `grpc` or of `grpc.aio`.
    """
    call: Any = fault  # What is raised is a call too, but for its declared type.
    code: grpc.StatusCode = call.code()
    status = _status_of(call.trailing_metadata())
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    ours = info.domain == DOMAIN
    reason = info.reason if ours else ""
    retry_after = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    metadata = dict(info.metadata) if ours else {}
    kind = BY_REASON.get(reason) or BY_CODE.get(code, RunIndexError)
    details = call.details() or ""
    return kind(code, reason, details if info.reason else _cause_in(details), metadata, retry_after)


def _cause_in(details: str) -> str:
    """Return what gRPC itself says of a call, behind the cause where it is known."""
    causes = [f"{cause} ({details})" for sign, cause in TLS_FAULTS.items() if sign in details]
    return causes[0] if causes else details


def _status_of(trailing: Iterable[tuple[str, bytes]] | None) -> status_pb2.Status:
    """Return the status that came with the end of a call; empty when none did."""
    for key, value in trailing or ():
        if key == DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except ValueError:  # Some proxy's, not ours.
                break
    return status_pb2.Status()
