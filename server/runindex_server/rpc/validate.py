"""Arguments, checked: from the fields of a request to what the methods take.

Each function raises what a caller can mend by another argument, in the order in which the contract lists it.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from runindex.v1 import run_index_pb2 as pb
from runindex_server import limits
from runindex_server.errors import (
    FieldRequired,
    InvalidField,
    InvalidMetadata,
    InvalidPageSize,
    InvalidRetentionPolicy,
    InvalidRunId,
    InvalidState,
    InvalidTag,
    ReservedMetadataKey,
)
from runindex_server.schema import metadata
from runindex_server.schema.records import RESERVED_PREFIX
from runindex_server.schema.run import (
    KEEP_ALL,
    RetentionPolicy,
    RunId,
    RunState,
    RunView,
    parse_run_id,
)

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_STATE_NUMBERS: Final = frozenset(RunState)

_VIEWS: Final[Mapping[int, RunView]] = {
    pb.RUN_VIEW_UNSPECIFIED: RunView.FULL,
    pb.RUN_VIEW_ID_ONLY: RunView.ID_ONLY,
    pb.RUN_VIEW_BASIC: RunView.BASIC,
    pb.RUN_VIEW_FULL: RunView.FULL,
}


def run_id(text: str, *, field: str = "run_id") -> RunId:
    """Return the run that a field names.

    Raises:
        InvalidRunId: It names none.
    """
    parsed = parse_run_id(text)
    if parsed is None:
        raise InvalidRunId(text, field=field)
    return parsed


def view(number: int) -> RunView:
    """Return a view.

    Raises:
        InvalidField: There is none of this number.
    """
    known = _VIEWS.get(number)
    if known is None:
        raise InvalidField(f"{number} is not a view", field="view")
    return known


def state(number: int, *, field: str) -> RunState:
    """Return a state.

    Raises:
        InvalidState: There is none of this number.
    """
    try:
        return RunState(number)
    except ValueError:
        raise InvalidState(number, field=field) from None


def required_state(number: int) -> RunState:
    """Return the state that a query must name.

    Raises:
        FieldRequired: It names none.
        InvalidState: There is none of this number.
    """
    if number == pb.RUN_STATE_UNSPECIFIED:
        raise FieldRequired("state")
    return state(number, field="state")


def states(numbers: Sequence[int]) -> frozenset[RunState]:
    """Return the states of a filter.

    Raises:
        InvalidState: There is none of one of these numbers.
    """
    # A request can hold half a million of them: each is looked at once.
    distinct = dict.fromkeys(numbers)
    for number in distinct:
        if number not in _STATE_NUMBERS:
            raise InvalidState(number, field=f"states[{list(numbers).index(number)}]")
    return frozenset(map(RunState, distinct))


def tag(text: str, *, field: str) -> str:
    """Return a tag.

    Raises:
        InvalidTag: It is empty, too long, or holds a control character.
    """
    problem = _problem_of_tag(text)
    if problem is not None:
        raise InvalidTag(problem, field=field)
    return text


def _problem_of_tag(text: str) -> str | None:
    """Return why a text is no tag; None when it is one."""
    size = len(text.encode())
    if not 0 < size <= limits.TAG_BYTES_MAX:
        return f"a tag has 1 to {limits.TAG_BYTES_MAX} bytes, not {size}"
    return "a tag holds no control characters" if has_control_characters(text) else None


def required_tag(text: str) -> str:
    """Return the tag that a query must name.

    Raises:
        FieldRequired: It names none.
        InvalidTag: As `tag`.
    """
    if not text:
        raise FieldRequired("tag")
    return tag(text, field="tag")


def tags(texts: Sequence[str]) -> tuple[str, ...]:
    """Return tags without duplicates, in their order.

    Raises:
        InvalidTag: One is as `tag` says, or they are too many.
    """
    # As with states; of too many different ones, the first show what is wrong.
    distinct = dict.fromkeys(texts)
    for text in islice(distinct, limits.TAGS_MAX + 1):
        problem = _problem_of_tag(text)
        if problem is not None:
            raise InvalidTag(problem, field=f"tags[{list(texts).index(text)}]")
    if len(distinct) > limits.TAGS_MAX:
        raise InvalidTag(f"at most {limits.TAGS_MAX} tags, not {len(distinct)}", field="tags")
    return tuple(distinct)


def required_tags(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the tags that a call must name.

    Raises:
        FieldRequired: It names none.
        InvalidTag: As `tags`.
    """
    if not texts:
        raise FieldRequired("tags")
    return tags(texts)


def metadata_object(struct: Struct) -> bytes:
    """Return the encoding of a metadata object, empty for an empty one.

    Raises:
        InvalidMetadata: It is too large, too deep, holds too many values, or one that JSON has not.
        ReservedMetadataKey: A key is the system's.
    """
    encoded = metadata.encode(struct)
    if len(encoded) > limits.METADATA_BYTES_MAX:
        raise InvalidMetadata(
            f"has {len(encoded)} bytes encoded; at most {limits.METADATA_BYTES_MAX} are taken",
            field="metadata",
        )
    try:
        size = metadata.measure(struct)
    except metadata.NotJsonError as error:
        raise InvalidMetadata(str(error), field="metadata") from None
    if size.depth > limits.METADATA_DEPTH_MAX:
        raise InvalidMetadata(
            f"is nested {size.depth} levels deep; at most {limits.METADATA_DEPTH_MAX} are taken",
            field="metadata",
        )
    if size.nodes > limits.METADATA_NODES_MAX:
        raise InvalidMetadata(
            f"holds {size.nodes} values; at most {limits.METADATA_NODES_MAX} are taken", field="metadata"
        )
    for key in struct.fields:
        if key.startswith(RESERVED_PREFIX):
            raise ReservedMetadataKey(key, prefix=RESERVED_PREFIX, field="metadata")
    return encoded


def required_metadata(request: pb.UpdateRunMetadataRequest) -> bytes:
    """Return the encoding of the metadata that an update must carry.

    Raises:
        FieldRequired: It carries none.
        InvalidMetadata, ReservedMetadataKey: As `metadata_object`.
    """
    if not request.HasField("metadata"):
        raise FieldRequired("metadata")
    return metadata_object(request.metadata)


def error_text(text: str) -> str:
    """Return why a run failed.

    Raises:
        FieldRequired: It is empty, or white space alone.
        InvalidField: It is too long.
    """
    if not text.strip():
        raise FieldRequired("error")
    check_size(text, limits.ERROR_BYTES_MAX, field="error")
    return text


def request_id(text: str) -> str:
    """Return a request id that is present.

    Raises:
        InvalidField: It is empty or too long.
    """
    size = len(text.encode())
    if not 0 < size <= limits.REQUEST_ID_BYTES_MAX:
        raise InvalidField(
            f"has {size} bytes; 1 to {limits.REQUEST_ID_BYTES_MAX} are taken, or leave it unset",
            field="request_id",
        )
    return text


def page_size(number: int, *, default: int) -> int:
    """Return how many items a page holds at most.

    Raises:
        InvalidPageSize: It is negative.
    """
    if number < 0:
        raise InvalidPageSize(number)
    return min(number or default, limits.PAGE_SIZE_MAX)


def skip(number: int, *, page_token: str) -> int:
    """Return how many runs to pass over.

    Raises:
        InvalidField: It is negative or too large, or comes together with a page token.
    """
    if not 0 <= number <= limits.SKIP_MAX:
        raise InvalidField(f"{number} is not within 0 and {limits.SKIP_MAX}", field="skip")
    if number and page_token:
        raise InvalidField("goes with the first page only, not with a page_token", field="skip")
    return number


def query_text(text: str) -> str:
    """Return the text of a search query.

    Raises:
        FieldRequired: It is empty.
        InvalidField: It is too long.
    """
    if not text:
        raise FieldRequired("query")
    check_size(text, limits.QUERY_BYTES_MAX, field="query")
    return text


def required_retention_policy(request: pb.SetRunRetentionRequest) -> RetentionPolicy:
    """Return the policy that a request sets.

    Raises:
        FieldRequired: There is none.
        InvalidRetentionPolicy: As `retention_policy`.
    """
    if not request.HasField("policy"):
        raise FieldRequired("policy")
    return retention_policy(request.policy, field="policy")


def retention_policy(policy: pb.RetentionPolicy, *, field: str) -> RetentionPolicy:
    """Return a policy.

    Raises:
        InvalidRetentionPolicy: It is of no kind, or its bound is zero, negative or too large.
    """
    match policy.WhichOneof("policy"):
        case "keep_all":
            return KEEP_ALL
        case "keep_latest_n":
            if not 1 <= policy.keep_latest_n <= limits.RETENTION_COUNT_MAX:
                raise InvalidRetentionPolicy(
                    f"{policy.keep_latest_n} is not within 1 and {limits.RETENTION_COUNT_MAX}",
                    field=f"{field}.keep_latest_n",
                )
            return RetentionPolicy(keep_latest_n=policy.keep_latest_n)
        case "keep_duration":
            return RetentionPolicy(
                keep_duration_us=_policy_duration_us(policy.keep_duration, field=f"{field}.keep_duration")
            )
        case "delete_after":
            return RetentionPolicy(
                delete_after_us=_policy_duration_us(policy.delete_after, field=f"{field}.delete_after")
            )
        case _:
            raise InvalidRetentionPolicy("one of its kinds must be set", field=field)


def duration_us(
    duration: Duration, *, field: str, refusal: type[InvalidField | InvalidRetentionPolicy] = InvalidField
) -> int:
    """Return a duration in microseconds.

    Raises:
        InvalidField, or another refusal: It is not positive, not of whole microseconds, too large, or
            malformed.
    """
    if not 0 <= duration.nanos < 1_000_000_000:
        raise refusal("is not a positive Duration with 0 to 999,999,999 nanos", field=field)
    micros, rest = divmod(duration.seconds * 1_000_000_000 + duration.nanos, 1_000)
    if not 1 <= micros <= limits.RETENTION_DURATION_US_MAX:
        raise refusal("is not longer than zero and at most 10,000 years", field=field)
    if rest:
        raise refusal("is not a whole number of microseconds", field=field)
    return micros


def _policy_duration_us(duration: Duration, *, field: str) -> int:
    """Return a retention duration in microseconds.

    Raises:
        InvalidRetentionPolicy: As `duration_us`.
    """
    return duration_us(duration, field=field, refusal=InvalidRetentionPolicy)


def check_size(text: str, bytes_max: int, *, field: str) -> None:
    """Refuse a text that is too long.

    Raises:
        InvalidField: It is.
    """
    size = len(text.encode())
    if size > bytes_max:
        raise InvalidField(f"has {size} bytes; at most {bytes_max} are taken", field=field)


def has_control_characters(text: str) -> bool:
    """Tell whether a text holds characters of Unicode's category Cc."""
    return _CONTROL_CHARACTER.search(text) is not None
