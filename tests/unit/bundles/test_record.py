"""The record of a run in a bundle: each rule is broken alone."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct, Value

from runindex_server import limits
from runindex_server.bundles.archive import BundleRefused
from runindex_server.bundles.record import decode_record, encode_record
from runindex_server.schema import records
from runindex_server.schema._generated import bundle_pb2 as pb
from runindex_server.schema._generated import run_record_pb2 as record_pb
from runindex_server.schema.run import (
    DEFAULT_RUN_ID,
    KEEP_ALL,
    RetentionPolicy,
    Run,
    RunId,
    RunState,
)
from tests.support.search_world import make_run

US: Final = make_run(1).create_us
JSON: Final = pb.BundleValue(json=Value(string_value="held")).SerializeToString()
ENDED: Final = make_run(
    1,
    generation=0,
    ordinal=0,
    revision=0,
    state=RunState.ARCHIVED,
    outcome=RunState.FAILED,
    error="it broke",
    end_us=US + 10,
    update_us=US + 20,
    version=5,
    tags=("a", "b"),
    metadata={"k": [1, {"deep": None}]},
    parent=make_run(7).run_id,
    cloned_from=make_run(8).run_id,
    creator="agent one",
    retention=RetentionPolicy(delete_after_us=7),
    is_imported=True,
)


def failed(**fields: Any) -> Run:
    return ENDED._replace(**fields)


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (failed(run_id=DEFAULT_RUN_ID), "the default run"),
        (failed(version=0), "its version"),
        (failed(version=2**63), "its version"),
        (failed(update_us=US - 1), "its times"),
        (failed(activity_us=60_000_001), "its activity time"),
        (failed(end_us=None), "it has an end"),
        (failed(creator="a\nb"), "its creator"),
        (failed(creator="x" * 1025), "its creator"),
        (failed(state=RunState.ACTIVE), "it has an end"),
        (failed(end_us=US + 21), "its end"),
        (failed(end_us=US - 1), "its end"),
        (failed(state=RunState.COMPLETED), "its outcome is not its state"),
        (failed(outcome=RunState.PAUSED), "its outcome is none"),
        (failed(outcome=RunState.ARCHIVED), "its outcome is none"),
        (failed(outcome=RunState.COMPLETED), "it has an error"),
        (failed(error=None), "it has an error"),
        (failed(error=" \n"), "its error"),
        (failed(error="x" * (limits.ERROR_BYTES_MAX + 1)), "its error"),
        (failed(tags=("a", "a")), "its tags"),
        (failed(tags=tuple(map(str, range(limits.TAGS_MAX + 1)))), "its tags"),
        (failed(tags=("",)), "a tag"),
        (failed(tags=("a\n",)), "a tag"),
        (failed(tags=("t" * (limits.TAG_BYTES_MAX + 1),)), "a tag"),
        (failed(retention=RetentionPolicy(keep_latest_n=0)), "its retention policy"),
        (
            failed(retention=RetentionPolicy(keep_latest_n=limits.RETENTION_COUNT_MAX + 1)),
            "its retention policy",
        ),
        (failed(retention=RetentionPolicy(delete_after_us=0)), "its retention policy"),
        (
            failed(retention=RetentionPolicy(keep_duration_us=limits.RETENTION_DURATION_US_MAX + 1)),
            "its retention",
        ),
    ],
)
def test_a_record_that_cannot_be_is_refused(run: Run, problem: str) -> None:
    with pytest.raises(BundleRefused) as refused:
        decode_record(encode_record(run, events_appended=0))

    assert problem in str(refused.value)


def metadata_of(value: Any) -> bytes:
    struct = Struct()
    struct.update(value)
    return struct.SerializeToString(deterministic=True)


def deep(levels: int) -> dict[str, Any]:
    held: Any = 1
    for _ in range(levels):
        held = {"k": held}
    return held


def text_of_bytes(size: int) -> dict[str, Any]:
    """Return metadata of so many bytes, encoded."""
    overhead = len(metadata_of({"k": "x" * size})) - size
    return {"k": "x" * (size - overhead)}


@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda over: deep(limits.METADATA_DEPTH_MAX + over),
        lambda over: {str(number): None for number in range(limits.METADATA_NODES_MAX + over)},
        lambda over: text_of_bytes(limits.METADATA_BYTES_MAX + over),
    ],
)
def test_bounds_of_metadata_hold(make: Callable[[int], Any], over: int) -> None:
    message = encode_record(failed(metadata=metadata_of(make(over))), events_appended=0)
    if over <= 0:
        assert decode_record(message).metadata == metadata_of(make(over))
    else:
        with pytest.raises(BundleRefused, match="its metadata"):
            decode_record(message)


@pytest.mark.parametrize("value", [{"_strata_x": 1}, {"k": float("nan")}])
def test_metadata_that_no_caller_may_send_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(BundleRefused, match="its metadata"):
        decode_record(encode_record(failed(metadata=metadata_of(value)), events_appended=0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.duration.FromMicroseconds(11),
        lambda record: record.expire_time.FromMicroseconds(1),
        lambda record: record.ClearField("expire_time"),
        lambda record: setattr(record, "run_id", record.run_id.upper().replace("-", "")),
        lambda record: setattr(record, "parent_run_id", "nobody"),
        lambda record: setattr(record, "cloned_from", ""),
        lambda record: setattr(record.update_time, "nanos", record.update_time.nanos + 1),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(damage: Callable[[Any], object]) -> None:
    run = failed(run_id=RunId(bytes.fromhex("c0ffee" * 5 + "00")))
    message = encode_record(run, events_appended=0)
    record = record_pb.RunRecord.FromString(message.run)
    damage(record)
    message.run = record.SerializeToString()
    with pytest.raises(BundleRefused, match="does not agree"):
        decode_record(message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        record_pb.RunRecord(run_id="x", state=1).SerializeToString(),
        record_pb.RunRecord(run_id="c0ffee00" * 4).SerializeToString(),
        record_pb.RunRecord(run_id="c0ffee00" * 4, state=9).SerializeToString(),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(BundleRefused, match=r"holds a run (that cannot be read|without an id)"):
        decode_record(pb.BundleRun(run=body))


def test_a_revision_is_refused() -> None:
    message = encode_record(ENDED, events_appended=0)
    message.run = records.run_message(ENDED._replace(revision=1))
    with pytest.raises(BundleRefused, match="it has a revision"):
        decode_record(message)


@pytest.mark.parametrize(
    "retention",
    [None, KEEP_ALL, RetentionPolicy(keep_latest_n=1), RetentionPolicy(keep_duration_us=1)],
)
def test_a_record_comes_back_as_it_was(retention: RetentionPolicy | None) -> None:
    run = failed(retention=retention)
    assert decode_record(encode_record(run._replace(revision=3), events_appended=0)) == run
