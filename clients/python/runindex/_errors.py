"""What calls can end with: a class for each status code, and one for each reason whose fields matter.

RunIndexError
├── InvalidArgument
│   ├── InvalidRunId · InvalidMetadata · ReservedMetadataKey · InvalidTag · InvalidQuery · InvalidField
│   └── InvalidPageToken · RequestIdReused
├── NotFound
│   ├── RunNotFound · ParentRunNotFound · TemplateNotFound
│   └── ValueNotFound · StateNotFound · DocumentNotFound · PointerNotFound
├── AlreadyExists
│   └── RunAlreadyExists
├── FailedPrecondition
│   └── InvalidTransition · DefaultRunProtected · RunArchived · LimitExceeded
├── Aborted
│   └── VersionMismatch · ValueMismatch · TemplateVersionMismatch
├── ResourceExhausted
│   └── RequestTooLarge
├── Unavailable
│   └── CommitOutcomeUnknown
├── DeadlineExceeded
│   └── NotExecuted
└── Unauthenticated · PermissionDenied · DataLoss · Internal

A reason without a class of its own, known or not, is told by the class of its status code.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Generic, TypeVar, overload

import grpc

from runindex._types import RunState

T = TypeVar("T")


class _Field(Generic[T]):
    """A field of an error, read from its metadata."""

    def __init__(self, key: str, read: Callable[[str], T]) -> None:
        self._key = key
        self._read = read

    @overload
    def __get__(self, error: None, owner: type) -> "_Field[T]": ...
    @overload
    def __get__(self, error: "RunIndexError", owner: type) -> T: ...
    def __get__(self, error: "RunIndexError | None", owner: type) -> "_Field[T] | T":
        return self if error is None else self._read(error.metadata.get(self._key, ""))


def _number(text: str) -> int:
    """Return a number; 0 when none is told."""
    return int(text) if text.isdecimal() else 0


def _state(text: str) -> RunState:
    return RunState(text.removeprefix("RUN_STATE_"))


def _states(text: str) -> tuple[RunState, ...]:
    return tuple(_state(name) for name in text.split(",") if name)


class RunIndexError(Exception):
    """A call did not succeed.

    Attributes:
        code: The status code.
        reason: The name of a value of `ErrorReason` without its prefix; empty when no server told it.
        message: One sentence for people; it may change.
        metadata: What the reason's comment in the contract lists.
        retry_after: When the server wants to be asked again; None when it does not say.
    """

    run_id = _Field("runId", str)
    """The run that it concerns; empty when it concerns none."""

    field = _Field("field", str)
    """The field of the request that was refused; empty when it is not about one."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str = "",
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        """Keep the fields."""
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after
        super().__init__(code, reason, message, self.metadata, retry_after)

    @property
    def revision(self) -> int | None:
        """The store's revision at which it was decided; None when it was not decided against the store."""
        return int(self.metadata["revision"]) if "revision" in self.metadata else None

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"


class InvalidArgument(RunIndexError):
    """The request is wrong as it is."""


class InvalidRunId(InvalidArgument):
    """Not a UUID in a known form, and not `default`."""

    value = _Field("value", str)
    """What was sent, or its beginning."""


class InvalidMetadata(InvalidArgument, ValueError):
    """Metadata that cannot be recorded; mostly found before the call."""

    path = _Field("path", str)
    """Where in it, as Python would write it; empty when the server refused it."""


class ReservedMetadataKey(InvalidArgument):
    """A top-level key that begins with the reserved prefix."""

    key = _Field("key", str)


class InvalidTag(InvalidArgument):
    """A tag that is empty, too long or holds a control character, or too many."""


class InvalidQuery(InvalidArgument):
    """A query that cannot be read."""

    position = _Field("position", _number)
    """Where, in characters from 0."""


class InvalidField(InvalidArgument, ValueError):
    """Any other field outside its bounds; of a value that JSON has not, found before the call."""

    path = _Field("path", str)
    """Where in a value, as Python would write it; empty when the server refused it."""


class InvalidPageToken(InvalidArgument):
    """A page token that is of another store or another query."""


class RequestIdReused(InvalidArgument):
    """The request id was used for another request."""

    request_id = _Field("requestId", str)


class NotFound(RunIndexError):
    """What was asked for is not there."""


class RunNotFound(NotFound):
    """No run has this id."""


class ParentRunNotFound(NotFound):
    """No run has the id given as parent."""

    parent_run_id = _Field("parentRunId", str)


class TemplateNotFound(NotFound):
    """There is no such template."""

    template = _Field("template", str)


class ValueNotFound(NotFound):
    """The key holds no value, or no such version of it is kept."""

    key = _Field("key", str)


class StateNotFound(NotFound):
    """The state cell was never set, or no such version of it is kept."""

    cell = _Field("cell", str)


class DocumentNotFound(NotFound):
    """There is no such document, or no such version of it is kept."""

    document = _Field("document", str)


class PointerNotFound(NotFound):
    """The document has no such place."""

    document = _Field("document", str)
    pointer = _Field("pointer", str)


class AlreadyExists(RunIndexError):
    """What was to be made is there."""


class RunAlreadyExists(AlreadyExists):
    """A run has this id."""


class FailedPrecondition(RunIndexError):
    """The run, or the store, is not in a state that allows it."""


class InvalidTransition(FailedPrecondition):
    """The lifecycle has no such transition."""

    from_state = _Field("fromState", _state)
    to_state = _Field("toState", _state)
    allowed_states = _Field("allowedStates", _states)
    """The states that can be reached from the current one."""


class DefaultRunProtected(FailedPrecondition):
    """The default run does not allow this."""

    operation = _Field("operation", str)


class RunArchived(FailedPrecondition):
    """The run is archived, and its record is frozen."""

    operation = _Field("operation", str)


class LimitExceeded(FailedPrecondition):
    """What is stored plus what is asked for would pass a limit."""

    limit = _Field("limit", str)
    maximum = _Field("maximum", _number)


class Aborted(RunIndexError):
    """What was read has changed since: read it again, then decide."""


class VersionMismatch(Aborted):
    """The version is not the expected one."""

    expected = _Field("expectedVersion", _number)
    current = _Field("currentVersion", _number)
    """0 for a key, cell or document that is not there."""


class ValueMismatch(Aborted):
    """The state cell does not hold the expected value."""

    cell = _Field("cell", str)
    current = _Field("currentVersion", _number)
    """0 when it was never set."""


class TemplateVersionMismatch(Aborted):
    """The version of the template is not the expected one."""

    template = _Field("template", str)
    expected = _Field("expectedVersion", _number)
    current = _Field("currentVersion", _number)
    """0 when there is none."""


class ResourceExhausted(RunIndexError):
    """The request is too large, the caller too fast, or the store full: the reason says which."""


class RequestTooLarge(ResourceExhausted):
    """The request is larger than the server takes."""

    request_bytes = _Field("requestBytes", _number)
    request_bytes_max = _Field("requestBytesMax", _number)


class Unavailable(RunIndexError):
    """The server cannot be reached or takes no calls, also after retries."""


class CommitOutcomeUnknown(Unavailable):
    """The write may or may not have been applied: the same `request_id` again tells which."""


class DeadlineExceeded(RunIndexError):
    """It took too long. A mutation may have been applied: the same `request_id` again is safe."""


class NotExecuted(DeadlineExceeded):
    """It took too long, and nothing was written."""


class Unauthenticated(RunIndexError):
    """There are no credentials, or they are not valid."""


class PermissionDenied(RunIndexError):
    """The caller may not do this."""

    permission = _Field("permission", str)


class DataLoss(RunIndexError):
    """The store holds bytes that are not what was written."""

    call_id = _Field("callId", str)
    """What the server's log carries too."""


class Internal(RunIndexError):
    """A fault of the server."""

    error_id = _Field("errorId", str)
    """What the server's log carries too."""
