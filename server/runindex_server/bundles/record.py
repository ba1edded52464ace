"""The record of a run in a bundle: from the run and back, and whether a store can have written it."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from runindex_server import limits
from runindex_server.bundles.archive import BundleRefused
from runindex_server.bundles.bounds import ACTOR_BYTES_MAX, NUMBER_MAX
from runindex_server.schema import metadata, records
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema._generated import run_record_pb2 as record_pb
from runindex_server.schema.run import (
    ENDED,
    FINISHED,
    KEEP_ALL,
    TIME_US_MAX,
    RetentionPolicy,
    Run,
    RunState,
    parse_run_id,
    run_id_text,
)

_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_MINUTE_US: Final = 60_000_000

RULES: Final[tuple[tuple[str, Callable[[Run], bool]], ...]] = (
    ("it is the default run", lambda run: not run.is_default),
    ("it has a revision", lambda run: run.revision == 0),
    ("its version is not possible", lambda run: 1 <= run.version <= NUMBER_MAX),
    ("its times are not in order", lambda run: 0 <= run.create_us <= run.update_us <= TIME_US_MAX),
    (
        "its activity time is not possible",
        lambda run: 0 <= run.activity_us <= TIME_US_MAX and run.activity_us % _MINUTE_US == 0,
    ),
    (
        "it has an end exactly when it has not ended",
        lambda run: (run.end_us is not None) == (run.state in ENDED),
    ),
    (
        "its end is not within its times",
        lambda run: run.end_us is None or run.create_us <= run.end_us <= run.update_us,
    ),
    ("its outcome is not its state", lambda run: run.state not in FINISHED or run.outcome is run.state),
    (
        "its outcome is none",
        lambda run: run.outcome is None or (run.outcome in FINISHED and run.state in ENDED),
    ),
    (
        "it has an error exactly when it has not failed",
        lambda run: (run.error is not None) == (run.outcome is RunState.FAILED),
    ),
    ("its error is empty or too long", lambda run: run.error is None or _is_error(run.error)),
    ("its tags are too many, or not all different", lambda run: _are_tags(run.tags)),
    ("a tag is not possible", lambda run: all(is_name(tag, limits.TAG_BYTES_MAX) for tag in run.tags)),
    ("its creator is not possible", lambda run: not run.creator or is_name(run.creator, ACTOR_BYTES_MAX)),
    ("its metadata passes a bound", lambda run: _is_metadata(run.metadata)),
    ("its retention policy is not possible", lambda run: _is_policy(run.retention or KEEP_ALL)),
)
"""What holds for every record but the default run's, and what is wrong where it does not."""


def encode_record(run: Run, *, events_appended: int) -> pb.BundleRun:
    """Return a run as a bundle carries it."""
    message = pb.BundleRun(run=records.run_message(run._replace(revision=0)), events_appended=events_appended)
    if run.retention is not None:
        # Present, though it may be of no kind.
        message.retention.SetInParent()
        for kind, bound in asdict(run.retention).items():
            if bound is not None:
                setattr(message.retention, kind, bound)
    return message


def decode_record(message: pb.BundleRun) -> Run:
    """Return a run that a bundle carries, as an imported one without ordinal, generation and revision.

    Raises:
        BundleRefused: No store can have written it.
    """
    run = _read_run(message)
    for problem, holds in RULES:
        if not holds(run):
            raise refused(run, problem)
    # What follows from its fields, and their only form: another protobuf library may have put the same fields
    # into other bytes.
    if record_pb.RunRecord.FromString(message.run) != record_pb.RunRecord.FromString(
        records.run_message(run)
    ):
        raise refused(run, "what it says of itself does not agree")
    return run


def refused(run: Run, problem: str) -> BundleRefused:
    """Return the refusal of a bundle in which something is wrong with a run."""
    return BundleRefused(f"holds what no store has written: of the run {run_id_text(run.run_id)} {problem}")


def is_name(text: str, bytes_max: int) -> bool:
    """Tell whether a text can be a tag or a name."""
    return 0 < len(text.encode()) <= bytes_max and _CONTROL_CHARACTER.search(text) is None


def _read_run(message: pb.BundleRun) -> Run:
    """Return the run of a message.

    Raises:
        BundleRefused: It is none.
    """
    try:
        record = record_pb.RunRecord.FromString(message.run)
        run_id = parse_run_id(record.run_id)
        if run_id is not None:
            return records.run_of(
                record,
                run_id=run_id,
                ordinal=0,
                generation=0,
                metadata=metadata.encode(record.metadata),
                retention=_retention_of(message),
                is_imported=True,
            )
    except (DecodeError, KeyError) as error:
        raise BundleRefused("holds a run that cannot be read") from error
    raise BundleRefused("holds a run without an id")


def _retention_of(message: pb.BundleRun) -> RetentionPolicy | None:
    if not message.HasField("retention"):
        return None
    kind = message.retention.WhichOneof("policy")
    return KEEP_ALL if kind is None else RetentionPolicy(**{kind: getattr(message.retention, kind)})


def _is_error(error: str) -> bool:
    return bool(error.strip()) and len(error.encode()) <= limits.ERROR_BYTES_MAX


def _are_tags(tags: tuple[str, ...]) -> bool:
    return len(tags) == len(set(tags)) <= limits.TAGS_MAX


def _is_metadata(encoded: bytes) -> bool:
    if len(encoded) > limits.METADATA_BYTES_MAX:
        return False
    struct = Struct.FromString(encoded)
    try:
        size = metadata.measure(struct)
    except metadata.NotJsonError:
        return False
    return (
        size.depth <= limits.METADATA_DEPTH_MAX
        and size.nodes <= limits.METADATA_NODES_MAX
        and not any(key.startswith(records.RESERVED_PREFIX) for key in struct.fields)
    )


def _is_policy(policy: RetentionPolicy) -> bool:
    durations = (policy.keep_duration_us, policy.delete_after_us)
    return (policy.keep_latest_n is None or 1 <= policy.keep_latest_n <= limits.RETENTION_COUNT_MAX) and all(
        duration is None or 1 <= duration <= limits.RETENTION_DURATION_US_MAX for duration in durations
    )
