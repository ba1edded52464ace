"""What can be refused, and why: the domain's errors, without gRPC.

RunIndexError
├── InvalidArgument
│   ├── InvalidRunId · FieldRequired · InvalidMetadata · ReservedMetadataKey · InvalidTag
│   ├── InvalidState · InvalidPageSize · InvalidPageToken · InvalidQuery
│   ├── InvalidRetentionPolicy · InvalidField · UnparsableRequest · RequestIdReused
├── RunNotFound · ParentRunNotFound · RunAlreadyExists
├── ValueNotFound · StateNotFound · DocumentNotFound · PointerNotFound
├── InvalidStateTransition · DefaultRunProtected · RunArchived · LimitExceeded · ClockJumped
├── VersionMismatch · ValueMismatch
├── RequestTooLarge · StoreFull · RateLimited
├── CredentialsMissing · CredentialsInvalid · PermissionDenied
├── Unavailable
│   ├── Overloaded · StoreClosed · CommitOutcomeUnknown
└── StoreCorrupt · InternalFault

Each class takes its fields and derives both the sentence for people and the metadata for programs from them,
so that the two cannot disagree. `rpc.status` gives each reason its status code.
"""

from enum import StrEnum
from typing import ClassVar, Final

from runindex_server import limits

VALUE_SHOWN_CHARS_MAX: Final = 128
"""How much of a refused value is shown back, so that an error stays small whatever was sent."""


class Reason(StrEnum):
    """`ErrorInfo.reason`: the names of `runindex.v1.ErrorReason` less their prefix, as a test holds."""

    INVALID_RUN_ID = "INVALID_RUN_ID"
    FIELD_REQUIRED = "FIELD_REQUIRED"
    INVALID_METADATA = "INVALID_METADATA"
    RESERVED_METADATA_KEY = "RESERVED_METADATA_KEY"
    INVALID_TAG = "INVALID_TAG"
    INVALID_STATE = "INVALID_STATE"
    INVALID_PAGE_SIZE = "INVALID_PAGE_SIZE"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"
    INVALID_QUERY = "INVALID_QUERY"
    INVALID_RETENTION_POLICY = "INVALID_RETENTION_POLICY"
    INVALID_FIELD = "INVALID_FIELD"
    UNPARSABLE_REQUEST = "UNPARSABLE_REQUEST"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    PARENT_RUN_NOT_FOUND = "PARENT_RUN_NOT_FOUND"
    VALUE_NOT_FOUND = "VALUE_NOT_FOUND"
    STATE_NOT_FOUND = "STATE_NOT_FOUND"
    DOCUMENT_NOT_FOUND = "DOCUMENT_NOT_FOUND"
    POINTER_NOT_FOUND = "POINTER_NOT_FOUND"
    TEMPLATE_NOT_FOUND = "TEMPLATE_NOT_FOUND"
    RUN_ALREADY_EXISTS = "RUN_ALREADY_EXISTS"
    INVALID_STATE_TRANSITION = "INVALID_STATE_TRANSITION"
    DEFAULT_RUN_PROTECTED = "DEFAULT_RUN_PROTECTED"
    RUN_ARCHIVED = "RUN_ARCHIVED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    READ_ONLY = "READ_ONLY"
    CLOCK_JUMPED = "CLOCK_JUMPED"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    VALUE_MISMATCH = "VALUE_MISMATCH"
    TEMPLATE_VERSION_MISMATCH = "TEMPLATE_VERSION_MISMATCH"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    STORE_FULL = "STORE_FULL"
    RATE_LIMITED = "RATE_LIMITED"
    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_EXECUTED = "NOT_EXECUTED"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    OVERLOADED = "OVERLOADED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    MIGRATING = "MIGRATING"
    COMMIT_OUTCOME_UNKNOWN = "COMMIT_OUTCOME_UNKNOWN"
    STORE_CORRUPT = "STORE_CORRUPT"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class RunIndexError(Exception):
    """A refusal that callers may see.

    Attributes:
        reason: Why, for programs.
        message: Why, for people: one sentence that names the thing and the way out.
        metadata: What the message says, for programs; keys in lowerCamelCase.
        revision: The store's revision at which it was decided; None when it was decided without the store.
        retry_after_ms: When to try again; None where that does not help.
    """

    reason: ClassVar[Reason]

    def __init__(self, message: str, **metadata: str) -> None:
        """Keep the sentence and the metadata that a subclass derived from its fields."""
        super().__init__(message)
        self.message = message
        self.metadata = metadata
        self.revision: int | None = None
        self.retry_after_ms: int | None = None


class InvalidArgument(RunIndexError):
    """A field of the request is at fault, whatever the store holds.

    Attributes:
        field: The path of the field in the request message; empty when it is the whole message.
    """

    def __init__(self, message: str, *, field: str, **metadata: str) -> None:
        """Keep the field, in the metadata too unless it is the whole message."""
        if field:
            metadata = {"field": field, **metadata}
        super().__init__(message, **metadata)
        self.field = field


class InvalidRunId(InvalidArgument):
    """Not a run id in any of the accepted forms."""

    reason = Reason.INVALID_RUN_ID

    def __init__(self, value: str, *, field: str) -> None:
        """Take the refused text."""
        shown = value[:VALUE_SHOWN_CHARS_MAX]
        super().__init__(
            f"{field}: {shown!r} is not a run id; use a UUID other than the nil UUID, or 'default'.",
            field=field,
            value=shown,
        )


class FieldRequired(InvalidArgument):
    """A required field is unset or empty."""

    reason = Reason.FIELD_REQUIRED

    def __init__(self, field: str) -> None:
        """Take the field."""
        super().__init__(f"{field}: required, and must not be empty.", field=field)


class InvalidMetadata(InvalidArgument):
    """Metadata outside its bounds."""

    reason = Reason.INVALID_METADATA

    def __init__(self, problem: str, *, field: str) -> None:
        """Take what is wrong, as the rest of a sentence that begins with the field."""
        super().__init__(f"{field}: {problem}.", field=field)


class ReservedMetadataKey(InvalidArgument):
    """A caller wrote a key that is the system's."""

    reason = Reason.RESERVED_METADATA_KEY

    def __init__(self, key: str, *, prefix: str, field: str) -> None:
        """Take the key and the prefix that reserves it."""
        shown = key[:VALUE_SHOWN_CHARS_MAX]
        super().__init__(
            f"{field}: the key {shown!r} is reserved; keys must not begin with {prefix!r}.",
            field=field,
            key=shown,
            reservedPrefix=prefix,
        )


class InvalidTag(InvalidArgument):
    """A tag outside its bounds, or too many of them."""

    reason = Reason.INVALID_TAG

    def __init__(self, problem: str, *, field: str) -> None:
        """Take what is wrong, as the rest of a sentence that begins with the field."""
        super().__init__(
            f"{field}: {problem}.",
            field=field,
            tagBytesMax=str(limits.TAG_BYTES_MAX),
            tagsMax=str(limits.TAGS_MAX),
        )


class InvalidState(InvalidArgument):
    """A number that is no state."""

    reason = Reason.INVALID_STATE

    def __init__(self, value: int, *, field: str) -> None:
        """Take the number."""
        super().__init__(f"{field}: {value} is not a run state.", field=field, value=str(value))


class InvalidPageSize(InvalidArgument):
    """A negative page size."""

    reason = Reason.INVALID_PAGE_SIZE

    def __init__(self, value: int) -> None:
        """Take the number."""
        super().__init__(
            f"page_size: {value} is negative; use 0 for the default.", field="page_size", value=str(value)
        )


class InvalidPageToken(InvalidArgument):
    """A page token that is damaged, of another store, or of another query."""

    reason = Reason.INVALID_PAGE_TOKEN

    def __init__(self, problem: str) -> None:
        """Take what is wrong, as the rest of a sentence that begins with the field."""
        super().__init__(f"page_token: {problem}; start again without it.", field="page_token")


class InvalidQuery(InvalidArgument):
    """A search query that cannot be read.

    Attributes:
        position: Where, in code points from 0.
    """

    reason = Reason.INVALID_QUERY

    def __init__(self, problem: str, *, position: int) -> None:
        """Take what is wrong, as the rest of a sentence, and where."""
        super().__init__(f"query: {problem}, at position {position}.", field="query", position=str(position))
        self.position = position


class InvalidRetentionPolicy(InvalidArgument):
    """A retention policy without a kind, or with a bound that makes no sense."""

    reason = Reason.INVALID_RETENTION_POLICY

    def __init__(self, problem: str, *, field: str) -> None:
        """Take what is wrong, as the rest of a sentence that begins with the field."""
        super().__init__(f"{field}: {problem}.", field=field)


class InvalidField(InvalidArgument):
    """Any other field outside its bounds."""

    reason = Reason.INVALID_FIELD

    def __init__(self, problem: str, *, field: str) -> None:
        """Take what is wrong, as the rest of a sentence that begins with the field."""
        super().__init__(f"{field}: {problem}.", field=field)


class UnparsableRequest(InvalidArgument):
    """Bytes that are not the request message of the method."""

    reason = Reason.UNPARSABLE_REQUEST

    def __init__(self, message_name: str) -> None:
        """Take the full name of the message that was expected."""
        super().__init__(
            f"The request is not a {message_name}: its bytes do not parse, or are nested too deep.", field=""
        )


class RequestIdReused(InvalidArgument):
    """A request id that came before with another request."""

    reason = Reason.REQUEST_ID_REUSED

    def __init__(self, request_id: str) -> None:
        """Take the id."""
        super().__init__(
            "request_id: it was used for another request; use a new id for each request.",
            field="request_id",
            requestId=request_id,
        )


class RunNotFound(RunIndexError):
    """No run has this id."""

    reason = Reason.RUN_NOT_FOUND

    def __init__(self, run_id: str) -> None:
        """Take the canonical id."""
        super().__init__(f"No run has the id {run_id}.", runId=run_id)


class ParentRunNotFound(RunIndexError):
    """No run has the id that was given as parent."""

    reason = Reason.PARENT_RUN_NOT_FOUND

    def __init__(self, parent_run_id: str) -> None:
        """Take the canonical id."""
        super().__init__(f"No run has the id {parent_run_id}, given as parent.", parentRunId=parent_run_id)


class ValueNotFound(RunIndexError):
    """A key holds no value, or no such version of it is kept."""

    reason = Reason.VALUE_NOT_FOUND

    def __init__(self, run_id: str, key: str, *, version: int | None = None) -> None:
        """Take the canonical id, the key, and the version if one was asked for."""
        super().__init__(_nothing_there(f"the key {key!r}", run_id, version), runId=run_id, key=key)


class StateNotFound(RunIndexError):
    """A state cell was never set, or no such version of it is kept."""

    reason = Reason.STATE_NOT_FOUND

    def __init__(self, run_id: str, cell: str, *, version: int | None = None) -> None:
        """Take the canonical id, the cell's name, and the version if one was asked for."""
        super().__init__(_nothing_there(f"the state cell {cell!r}", run_id, version), runId=run_id, cell=cell)


class DocumentNotFound(RunIndexError):
    """There is no such document, or no such version of it is kept."""

    reason = Reason.DOCUMENT_NOT_FOUND

    def __init__(self, run_id: str, document: str, *, version: int | None = None) -> None:
        """Take the canonical id, the document's name, and the version if one was asked for."""
        message = _nothing_there(f"the document {document!r}", run_id, version)
        super().__init__(message, runId=run_id, document=document)


class PointerNotFound(RunIndexError):
    """A document has no such place."""

    reason = Reason.POINTER_NOT_FOUND

    def __init__(self, run_id: str, document: str, pointer: str) -> None:
        """Take the canonical id, the document's name, and the pointer."""
        shown = pointer[:VALUE_SHOWN_CHARS_MAX]
        super().__init__(
            f"The document {document!r} of run {run_id} has no place {shown!r}; read it to see what it has.",
            runId=run_id,
            document=document,
            pointer=shown,
        )


class TemplateNotFound(RunIndexError):
    """There is no such template."""

    reason = Reason.TEMPLATE_NOT_FOUND

    def __init__(self, template: str) -> None:
        """Take its name."""
        super().__init__(f"There is no template {template!r}.", template=template)


class RunAlreadyExists(RunIndexError):
    """A run has this id."""

    reason = Reason.RUN_ALREADY_EXISTS

    def __init__(self, run_id: str) -> None:
        """Take the canonical id."""
        super().__init__(f"A run with the id {run_id} exists already.", runId=run_id)


class InvalidStateTransition(RunIndexError):
    """The lifecycle has no such transition."""

    reason = Reason.INVALID_STATE_TRANSITION

    def __init__(
        self, run_id: str, *, from_state: str, to_state: str, allowed_states: tuple[str, ...]
    ) -> None:
        """Take names of `runindex.v1.RunState`; `allowed_states` are those reachable from `from_state`."""
        ways = f"only {', '.join(allowed_states)} can follow" if allowed_states else "nothing can follow"
        super().__init__(
            f"Run {run_id} is {from_state} and cannot become {to_state}: {ways}.",
            runId=run_id,
            fromState=from_state,
            toState=to_state,
            allowedStates=",".join(allowed_states),
        )


class DefaultRunProtected(RunIndexError):
    """The default run does not allow this."""

    reason = Reason.DEFAULT_RUN_PROTECTED

    def __init__(self, run_id: str, *, operation: str) -> None:
        """Take the operation as a verb: `close`, `delete`."""
        super().__init__(
            f"The default run is immortal: it does not allow '{operation}'.",
            runId=run_id,
            operation=operation,
        )


class RunArchived(RunIndexError):
    """The run is archived, and its record is frozen."""

    reason = Reason.RUN_ARCHIVED

    def __init__(self, run_id: str, *, operation: str) -> None:
        """Take the operation as a verb with its object: `add tags`."""
        super().__init__(
            f"Run {run_id} is archived, and its record is frozen: it does not allow '{operation}'.",
            runId=run_id,
            operation=operation,
        )


class LimitExceeded(RunIndexError):
    """What is stored plus what is asked for would pass a limit."""

    reason = Reason.LIMIT_EXCEEDED

    def __init__(self, run_id: str, *, limit: str, maximum: int) -> None:
        """Take what is limited, in words, and its bound."""
        super().__init__(
            f"Run {run_id} would pass the limit of {maximum} {limit}; remove some first.",
            runId=run_id,
            limit=limit,
            maximum=str(maximum),
        )


class ClockJumped(RunIndexError):
    """The wall clock has jumped forward, and nothing is removed until it is trusted again."""

    reason = Reason.CLOCK_JUMPED

    def __init__(self, *, ahead_us: int) -> None:
        """Take how far it jumped."""
        ahead_s = ahead_us // 1_000_000
        super().__init__(
            f"The wall clock has jumped {ahead_s} seconds forward. Nothing is removed until as much time has "
            "passed; if the clock is right, say so with trust_clock.",
            aheadSeconds=str(ahead_s),
        )


class VersionMismatch(RunIndexError):
    """The version of the run, or of something that it holds, is not the expected one."""

    reason = Reason.VERSION_MISMATCH

    def __init__(self, run_id: str, *, expected_version: int, current_version: int, of: str = "") -> None:
        """Take both versions, and what it is of, such as `the key 'k'`, when it is not the run itself."""
        what = f"{of[:1].upper()}{of[1:]} of run {run_id}" if of else f"Run {run_id}"
        super().__init__(
            f"{what} is at version {current_version}, not {expected_version}; read it again.",
            runId=run_id,
            expectedVersion=str(expected_version),
            currentVersion=str(current_version),
        )


class TemplateVersionMismatch(RunIndexError):
    """The version of the template is not the expected one."""

    reason = Reason.TEMPLATE_VERSION_MISMATCH

    def __init__(self, template: str, *, expected_version: int, current_version: int) -> None:
        """Take its name, and both versions: 0 for none."""
        super().__init__(
            f"Template {template!r} is at version {current_version}, not {expected_version}; read it again.",
            template=template,
            expectedVersion=str(expected_version),
            currentVersion=str(current_version),
        )


class ValueMismatch(RunIndexError):
    """A state cell does not hold the expected value."""

    reason = Reason.VALUE_MISMATCH

    def __init__(self, run_id: str, cell: str, *, current_version: int) -> None:
        """Take the canonical id, the cell's name, and its version; 0 when it was never set."""
        super().__init__(
            f"The state cell {cell!r} of run {run_id}, at version {current_version}, does not hold the "
            "expected value; read it again.",
            runId=run_id,
            cell=cell,
            currentVersion=str(current_version),
        )


class RequestTooLarge(RunIndexError):
    """The request message is too large."""

    reason = Reason.REQUEST_TOO_LARGE

    def __init__(self, request_bytes: int) -> None:
        """Take its size."""
        super().__init__(
            f"The request has {request_bytes} bytes; at most {limits.REQUEST_BYTES_MAX} are taken.",
            requestBytes=str(request_bytes),
            requestBytesMax=str(limits.REQUEST_BYTES_MAX),
        )


class StoreFull(RunIndexError):
    """The engine or its disk is full."""

    reason = Reason.STORE_FULL

    def __init__(self) -> None:
        """Nothing was written."""
        super().__init__("The store is full; delete runs or give it more room. Nothing was written.")


class RateLimited(RunIndexError):
    """The caller has made too many calls."""

    reason = Reason.RATE_LIMITED

    def __init__(self, *, retry_after_ms: int) -> None:
        """Take when the caller may call again."""
        super().__init__(f"Too many calls; call again in {retry_after_ms} ms. Nothing was done.")
        self.retry_after_ms = retry_after_ms


class CredentialsMissing(RunIndexError):
    """The call carries no credentials."""

    reason = Reason.CREDENTIALS_MISSING

    def __init__(self) -> None:
        """Nothing was done."""
        super().__init__(
            "This server asks who calls: send a token, as the metadata 'authorization: Bearer ri_...'."
        )


class CredentialsInvalid(RunIndexError):
    """The credentials are not valid: unknown, wrong, revoked or expired, which are not told apart."""

    reason = Reason.CREDENTIALS_INVALID

    def __init__(self) -> None:
        """Nothing was done."""
        super().__init__("The credentials are not valid, or not any more; ask the operator for others.")


class PermissionDenied(RunIndexError):
    """The caller is known, and may not do this."""

    reason = Reason.PERMISSION_DENIED

    def __init__(self, permission: str) -> None:
        """Take the role that it takes."""
        super().__init__(
            f"This takes the role {permission!r}; ask the operator for it.", permission=permission
        )


class NotExecuted(RunIndexError):
    """The deadline passed before the call was begun."""

    reason = Reason.NOT_EXECUTED

    def __init__(self) -> None:
        """Nothing was read or written."""
        super().__init__("The deadline passed before the call was executed. Nothing was written.")


class DeadlinePassed(RunIndexError):
    """The call took longer than a call may take."""

    reason = Reason.DEADLINE_PASSED

    def __init__(self) -> None:
        """A write may or may not have been applied."""
        super().__init__(
            "The call took too long, and a write may or may not have been applied; "
            "retry with the same request_id."
        )


class Unavailable(RunIndexError):
    """The service cannot answer now; a retry helps."""

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        """Take the sentence, and when to try again."""
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Overloaded(Unavailable):
    """Too much is waiting."""

    reason = Reason.OVERLOADED

    def __init__(self, waiting_for: str) -> None:
        """Take what has to catch up."""
        super().__init__(
            f"Too much is waiting for {waiting_for}; try again. Nothing was written.", retry_after_ms=500
        )


class StoreClosed(Unavailable):
    """The store is closed, because the server is stopping."""

    reason = Reason.SHUTTING_DOWN

    def __init__(self) -> None:
        """Nothing was written."""
        super().__init__("The server is stopping; try again. Nothing was written.", retry_after_ms=1_000)


class CommitOutcomeUnknown(Unavailable):
    """The disk failed during a commit."""

    reason = Reason.COMMIT_OUTCOME_UNKNOWN

    def __init__(self) -> None:
        """The write may or may not have been applied."""
        super().__init__(
            "The disk failed during the commit, so that the write may or may not have been applied; "
            "retry with the same request_id.",
            retry_after_ms=1_000,
        )


class StoreCorrupt(RunIndexError):
    """The store holds bytes that are not what was written.

    Attributes:
        detail: What was found, for the log only.
    """

    reason = Reason.STORE_CORRUPT

    def __init__(self, detail: str) -> None:
        """Take what was found."""
        super().__init__("The store is damaged; the operator must verify it.")
        self.detail = detail


class InternalFault(RunIndexError):
    """A fault of the server, told by the id of its log line only."""

    reason = Reason.INTERNAL_ERROR

    def __init__(self, error_id: str) -> None:
        """Take the id that the log carries too."""
        super().__init__(f"The server failed; its log tells why under {error_id}.", errorId=error_id)


def _nothing_there(what: str, run_id: str, version: int | None) -> str:
    """Return the sentence for what is not there."""
    if version is None:
        return f"Run {run_id} holds nothing under {what}."
    return f"Run {run_id} keeps no version {version} of {what}."
