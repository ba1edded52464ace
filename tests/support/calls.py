"""What contract tests do again and again: make runs, read them, and look at a refusal from all sides."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc import StatusCode as Code
from grpc_status import rpc_status

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc

Stub = pb_grpc.RunIndexStub
Change = Callable[..., Any]
"""One of the functions below, as a parameter of a test."""

Restart = Callable[[], Stub]
"""What stops the server and starts it again over the same store."""

DEFAULT: Final = "default"
UNKNOWN_ID: Final = "0192f3a4-5b6c-7d8e-9f00-112233445566"
"""A run id that no test creates, unless it says so."""

CALLS_AT_ONCE: Final = 50
"""Calls under way on one connection at most; less than what the server takes."""

DECIDED_IN_A_TRANSACTION: Final = frozenset(
    {
        "REQUEST_ID_REUSED",
        "RUN_NOT_FOUND",
        "PARENT_RUN_NOT_FOUND",
        "VALUE_NOT_FOUND",
        "STATE_NOT_FOUND",
        "DOCUMENT_NOT_FOUND",
        "POINTER_NOT_FOUND",
        "TEMPLATE_NOT_FOUND",
        "RUN_ALREADY_EXISTS",
        "INVALID_STATE_TRANSITION",
        "DEFAULT_RUN_PROTECTED",
        "RUN_ARCHIVED",
        "LIMIT_EXCEEDED",
        "VERSION_MISMATCH",
        "VALUE_MISMATCH",
        "TEMPLATE_VERSION_MISMATCH",
    }
)
MAY_BE_DECIDED_IN_ONE: Final = frozenset(
    {"INVALID_PAGE_TOKEN", "CLOCK_JUMPED", "OVERLOADED", "STORE_CORRUPT"}
)

METADATA_KEYS: Final[Mapping[str, frozenset[str]]] = {
    reason: frozenset(keys.split())
    for reason, keys in {
        "INVALID_RUN_ID": "field value",
        "FIELD_REQUIRED": "field",
        "INVALID_METADATA": "field",
        "RESERVED_METADATA_KEY": "field key reservedPrefix",
        "INVALID_TAG": "field tagBytesMax tagsMax",
        "INVALID_STATE": "field value",
        "INVALID_PAGE_SIZE": "field value",
        "INVALID_PAGE_TOKEN": "field",
        "INVALID_QUERY": "field position",
        "INVALID_RETENTION_POLICY": "field",
        "INVALID_FIELD": "field",
        "UNPARSABLE_REQUEST": "",
        "REQUEST_ID_REUSED": "field requestId",
        "RUN_NOT_FOUND": "runId",
        "PARENT_RUN_NOT_FOUND": "parentRunId",
        "VALUE_NOT_FOUND": "runId key",
        "STATE_NOT_FOUND": "runId cell",
        "DOCUMENT_NOT_FOUND": "runId document",
        "POINTER_NOT_FOUND": "runId document pointer",
        "TEMPLATE_NOT_FOUND": "template",
        "RUN_ALREADY_EXISTS": "runId",
        "INVALID_STATE_TRANSITION": "runId fromState toState allowedStates",
        "DEFAULT_RUN_PROTECTED": "runId operation",
        "RUN_ARCHIVED": "runId operation",
        "LIMIT_EXCEEDED": "runId limit maximum",
        "READ_ONLY": "",
        "CLOCK_JUMPED": "aheadSeconds",
        "VERSION_MISMATCH": "runId expectedVersion currentVersion",
        "VALUE_MISMATCH": "runId cell currentVersion",
        "TEMPLATE_VERSION_MISMATCH": "template expectedVersion currentVersion",
        "REQUEST_TOO_LARGE": "requestBytes requestBytesMax",
        "STORE_FULL": "",
        "OVERLOADED": "",
        "SHUTTING_DOWN": "",
        "COMMIT_OUTCOME_UNKNOWN": "",
        "STORE_CORRUPT": "callId",
        "INTERNAL_ERROR": "errorId",
        "RATE_LIMITED": "",
        "CREDENTIALS_MISSING": "",
        "CREDENTIALS_INVALID": "",
        "PERMISSION_DENIED": "permission",
        "DEADLINE_PASSED": "",
    }.items()
}
"""What the contract promises beside each reason: these keys always, and none beside them but `revision`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refused call, decoded.

    Attributes:
        revision: The store's revision at which it was decided; None when it was decided without the store.
        retry_after_ms: When a retry may help; None when none is promised.
    """

    message: str
    metadata: dict[str, str]
    revision: int | None
    retry_after_ms: int | None


def check_refused(call: Callable[[], object], code: Code, reason: str, **metadata: str) -> Refusal:
    """Make a call that must be refused, check all that its reason promises, and return the refusal.

    Args:
        call: Makes the call.
        code: The exact status code.
        reason: The exact reason.
        metadata: Entries that the metadata must have.
    """
    try:
        answer = call()
    except grpc.RpcError as refused:
        error = refused
    else:
        msg = f"not refused with {reason}, but answered: {answer}"
        raise AssertionError(msg)
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status: {error.code()}: {error.details()}"
    info = _detail(status.details, error_details_pb2.ErrorInfo)
    assert info is not None
    assert (error.code(), info.reason) == (code, reason), status.message
    assert info.domain == "runindex"
    assert status.code == code.value[0]
    found = dict(info.metadata)
    revision = found.pop("revision", None)
    if reason not in MAY_BE_DECIDED_IN_ONE:
        assert (revision is not None) == (reason in DECIDED_IN_A_TRANSACTION), found
    assert found.keys() == METADATA_KEYS[reason]
    assert {key: found[key] for key in metadata} == metadata
    _check_field(status.details, code, found.get("field"))
    retry = _detail(status.details, error_details_pb2.RetryInfo)
    assert (retry is not None) == (code is Code.UNAVAILABLE or reason == "RATE_LIMITED")
    return Refusal(
        message=status.message,
        metadata=found,
        revision=None if revision is None else int(revision),
        retry_after_ms=None if retry is None else retry.retry_delay.ToMilliseconds(),
    )


def _detail(details: Iterable[Any], kind: type[Any]) -> Any:
    """Return the only detail of a kind, or None."""
    found = []
    for packed in details:
        detail = kind()
        if packed.Unpack(detail):
            found.append(detail)
    assert len(found) <= 1
    return found[0] if found else None


def _check_field(details: Iterable[Any], code: Code, field: str | None) -> None:
    """Check that a refused argument, and nothing else, is named by a BadRequest."""
    bad = _detail(details, error_details_pb2.BadRequest)
    if code is not Code.INVALID_ARGUMENT or field is None:
        assert bad is None or not any(violation.field for violation in bad.field_violations)
        return
    assert bad is not None
    assert [violation.field for violation in bad.field_violations] == [field]
    assert all(violation.description for violation in bad.field_violations)


class HasRuns(Protocol):
    """The answer of a collection."""

    @property
    def runs(self) -> Sequence[pb.Run]:
        """The runs of the page."""
        ...


def ids(answer: HasRuns) -> list[str]:
    """Return the ids of a page, in its order."""
    return [run.run_id for run in answer.runs]


def struct(fields: Mapping[str, Any]) -> Struct:
    """Return metadata as the contract carries it."""
    metadata = Struct()
    metadata.update(fields)
    return metadata


def micros(time: Timestamp | Duration) -> int:
    """Return a time or a duration in microseconds; nothing finer must be in it."""
    assert time.nanos % 1_000 == 0
    return time.seconds * 1_000_000 + time.nanos // 1_000


def create(
    stub: Stub,
    *,
    run_id: str | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    parent: str | None = None,
) -> pb.Run:
    """Create a run, under a parent if one is given, and return it."""
    given = None if metadata is None else struct(metadata)
    if parent is None:
        root = pb.CreateRunRequest(run_id=run_id, tags=tags, metadata=given)
        return stub.CreateRun(root).run
    child = pb.CreateChildRunRequest(parent_run_id=parent, run_id=run_id, tags=tags, metadata=given)
    return stub.CreateChildRun(child).run


def create_many(stub: Stub, count: int, *, parent: str = DEFAULT, **request: Any) -> list[str]:
    """Create children of a run, many at a time, and return their ids in the order of creation."""
    child = pb.CreateChildRunRequest(parent_run_id=parent, **request)
    runs: list[pb.Run] = []
    while len(runs) < count:
        together = min(CALLS_AT_ONCE, count - len(runs))
        calls = [stub.CreateChildRun.future(child) for _ in range(together)]
        runs += [call.result().run for call in calls]
    return [run.run_id for run in sorted(runs, key=lambda run: run.revision)]


def get(stub: Stub, run_id: str) -> pb.Run:
    """Return a run."""
    return stub.GetRun(pb.GetRunRequest(run_id=run_id)).run


def list_ids(stub: Stub, *states: int, include_archived: bool = False) -> list[str]:
    """Return the ids of one page of ListRuns."""
    request = pb.ListRunsRequest(states=states, include_archived=include_archived)  # type: ignore[arg-type] # numbers
    return ids(stub.ListRuns(request))


def count(stub: Stub, *states: int, include_archived: bool = False) -> int:
    """Return the count of CountRuns."""
    request = pb.CountRunsRequest(states=states, include_archived=include_archived)  # type: ignore[arg-type] # numbers
    return stub.CountRuns(request).count


def search_ids(
    stub: Stub, query: str, *, include_archived: bool = False, page_size: int = 1_000
) -> list[str]:
    """Return the ids of one page of SearchRuns, which must hold all."""
    request = pb.SearchRunsRequest(query=query, include_archived=include_archived, page_size=page_size)
    answer = stub.SearchRuns(request)
    assert not answer.truncated
    assert answer.next_page_token == ""
    return ids(answer)


def close(stub: Stub, run_id: str) -> pb.CloseRunResponse:
    """Complete a run."""
    return stub.CloseRun(pb.CloseRunRequest(run_id=run_id))


def pause(stub: Stub, run_id: str) -> pb.PauseRunResponse:
    """Pause a run."""
    return stub.PauseRun(pb.PauseRunRequest(run_id=run_id))


def resume(stub: Stub, run_id: str) -> pb.ResumeRunResponse:
    """Resume a run."""
    return stub.ResumeRun(pb.ResumeRunRequest(run_id=run_id))


def fail(stub: Stub, run_id: str, error: str = "it broke") -> pb.FailRunResponse:
    """Fail a run."""
    return stub.FailRun(pb.FailRunRequest(run_id=run_id, error=error))


def cancel(stub: Stub, run_id: str) -> pb.CancelRunResponse:
    """Cancel a run."""
    return stub.CancelRun(pb.CancelRunRequest(run_id=run_id))


def archive(stub: Stub, run_id: str) -> pb.ArchiveRunResponse:
    """Archive a run."""
    return stub.ArchiveRun(pb.ArchiveRunRequest(run_id=run_id))


def delete(stub: Stub, run_id: str) -> pb.DeleteRunResponse:
    """Delete a run."""
    return stub.DeleteRun(pb.DeleteRunRequest(run_id=run_id))


def add_tags(stub: Stub, run_id: str, *tags: str) -> pb.AddRunTagsResponse:
    """Add tags to a run."""
    return stub.AddRunTags(pb.AddRunTagsRequest(run_id=run_id, tags=tags))


def remove_tags(stub: Stub, run_id: str, *tags: str) -> pb.RemoveRunTagsResponse:
    """Remove tags from a run."""
    return stub.RemoveRunTags(pb.RemoveRunTagsRequest(run_id=run_id, tags=tags))


def update(
    stub: Stub, run_id: str, metadata: Mapping[str, Any], *, merge: bool = False
) -> pb.UpdateRunMetadataResponse:
    """Replace a run's metadata, or merge into it."""
    request = pb.UpdateRunMetadataRequest(run_id=run_id, metadata=struct(metadata), merge=merge)
    return stub.UpdateRunMetadata(request)


def set_retention(stub: Stub, run_id: str, policy: pb.RetentionPolicy) -> pb.SetRunRetentionResponse:
    """Set a run's retention policy."""
    return stub.SetRunRetention(pb.SetRunRetentionRequest(run_id=run_id, policy=policy))


def get_retention(stub: Stub, run_id: str) -> pb.RetentionPolicy:
    """Return a run's retention policy."""
    return stub.GetRunRetention(pb.GetRunRetentionRequest(run_id=run_id)).policy


def children(stub: Stub, run_id: str, *, include_archived: bool = False) -> list[str]:
    """Return the ids of one page of a run's children."""
    request = pb.GetChildRunsRequest(run_id=run_id, include_archived=include_archived)
    return ids(stub.GetChildRuns(request))


def by_state(stub: Stub, state: int) -> list[str]:
    """Return the ids of one page of the runs of a state."""
    request = pb.QueryRunsByStateRequest(state=state)  # type: ignore[arg-type] # a number
    return ids(stub.QueryRunsByState(request))


def by_tag(stub: Stub, tag: str, *, include_archived: bool = False) -> list[str]:
    """Return the ids of one page of the runs with a tag."""
    request = pb.QueryRunsByTagRequest(tag=tag, include_archived=include_archived)
    return ids(stub.QueryRunsByTag(request))


_WAYS: Final[Mapping[int, Callable[[Stub, str], object] | None]] = {
    pb.RUN_STATE_ACTIVE: None,
    pb.RUN_STATE_PAUSED: pause,
    pb.RUN_STATE_COMPLETED: close,
    pb.RUN_STATE_FAILED: fail,
    pb.RUN_STATE_CANCELLED: cancel,
    pb.RUN_STATE_ARCHIVED: archive,
}

STATES: Final = tuple(_WAYS)


def create_in(stub: Stub, state: int, **request: Any) -> pb.Run:
    """Create a run, bring it to a state by the shortest way, and return it."""
    return lead(stub, create(stub, **request).run_id, state)


def lead(stub: Stub, run_id: str, state: int) -> pb.Run:
    """Bring an active run to a state by the shortest way, and return it."""
    way = _WAYS[state]
    if way is not None:
        way(stub, run_id)
    return get(stub, run_id)
