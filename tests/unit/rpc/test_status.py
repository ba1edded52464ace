"""The table of status codes, and what leaves the server."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from runindex_server.errors import FieldRequired, InternalFault, Overloaded, Reason, RunNotFound
from runindex_server.rpc.status import DETAILS_KEY, STATUS_CODES, refusal


def details_of(error: Exception) -> tuple[Status, list[Any]]:
    ((key, value),) = refusal(error).trailing_metadata  # type: ignore[arg-type]
    assert key == DETAILS_KEY
    status = Status.FromString(value)
    return status, list(status.details)


def test_every_reason_has_a_status_code() -> None:
    assert set(STATUS_CODES) == set(Reason)


def test_no_reason_is_sent_as_unknown() -> None:
    assert grpc.StatusCode.UNKNOWN not in STATUS_CODES.values()


def test_a_refusal_carries_its_reason_and_fields() -> None:
    error = RunNotFound("default")
    error.revision = 7
    status, (packed,) = details_of(error)
    info = ErrorInfo()

    assert packed.Unpack(info)
    assert info == ErrorInfo(
        reason="RUN_NOT_FOUND", domain="runindex", metadata={"runId": "default", "revision": "7"}
    )
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert status.message == "No run has the id default."


def test_a_refused_argument_names_its_field() -> None:
    _, (_, packed) = details_of(FieldRequired("tags"))
    bad_request = BadRequest()

    assert packed.Unpack(bad_request)
    assert [violation.field for violation in bad_request.field_violations] == ["tags"]


def test_what_a_retry_mends_says_when() -> None:
    _, (_, packed) = details_of(Overloaded("the merge"))
    retry = RetryInfo()

    assert packed.Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 500


def test_a_fault_tells_its_id_and_nothing_else() -> None:
    status, (packed,) = details_of(InternalFault("abcd"))
    info = ErrorInfo()

    assert packed.Unpack(info)
    assert dict(info.metadata) == {"errorId": "abcd"}
    assert status.message == "The server failed; its log tells why under abcd."


@pytest.mark.parametrize("reason", Reason)
def test_reasons_are_as_google_asks(reason: Reason) -> None:
    assert reason.value.isascii()
    assert reason.value.replace("_", "").isupper()
    assert len(reason.value) <= 63
