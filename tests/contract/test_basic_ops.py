"""Creating, reading and rewriting one run: the tests that the RunIndex plan names, and ours beside them."""

import uuid

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Stub,
    archive,
    check_refused,
    create,
    create_in,
    delete,
    get,
    get_retention,
    list_ids,
    micros,
    set_retention,
    struct,
    update,
)
from tests.support.clock import SECOND_US, ManualClock
from tests.support.methods import raw


def test_run_create_basic(stub: Stub, clock: ManualClock) -> None:
    """A new run is ACTIVE, at version 1, a root, and has nothing that it was not given."""
    now_us = clock.advance(SECOND_US)

    answer = stub.CreateRun(pb.CreateRunRequest())
    run = answer.run

    assert run.state == pb.RUN_STATE_ACTIVE
    assert run.version == 1
    assert micros(run.create_time) == micros(run.update_time) == now_us
    assert run.revision == answer.revision > 0
    set_fields = {descriptor.name for descriptor, _ in run.ListFields()}
    assert set_fields == {
        "run_id",
        "state",
        "version",
        "create_time",
        "update_time",
        "revision",
        "activity_time",
    }


def test_run_create_with_metadata(stub: Stub) -> None:
    """Every kind of JSON value comes back as it was given, with the tags in their order."""
    metadata = {
        "text": "gpt-4o",
        "number": 0.7,
        "whole": 42,
        "flag": True,
        "nothing": None,
        "list": [1, "two", [3], {"four": 4}],
        "object": {"nested": {"": "an empty key"}},
        "ünïcode": "日本語 🚀",
    }

    run = create(stub, metadata=metadata, tags=["b", "a"])

    assert run.metadata == struct(metadata)
    assert list(run.tags) == ["b", "a"]
    assert get(stub, run.run_id) == run


def test_run_create_duplicate_error(stub: Stub) -> None:
    """A taken id is refused, whatever the state of the run that has it, and that run stays as it was."""
    run = create(stub, tags=["first"])

    again = pb.CreateRunRequest(run_id=run.run_id.upper(), tags=["second"])
    refusal = check_refused(
        lambda: stub.CreateRun(again), Code.ALREADY_EXISTS, "RUN_ALREADY_EXISTS", runId=run.run_id
    )

    assert refusal.revision == run.revision
    assert get(stub, run.run_id) == run
    archive(stub, run.run_id)
    check_refused(lambda: stub.CreateRun(again), Code.ALREADY_EXISTS, "RUN_ALREADY_EXISTS", runId=run.run_id)


def test_run_create_generates_uuid(stub: Stub) -> None:
    """Without an id the server makes a UUIDv7, another one each time."""
    made = [create(stub).run_id for _ in range(10)]

    assert len(set(made)) == len(made)
    for run_id in made:
        parsed = uuid.UUID(run_id)
        assert str(parsed) == run_id
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122


def test_run_get_exists(stub: Stub) -> None:
    """Get returns what create returned, and the revision that it saw."""
    run = create(stub, tags=["a"], metadata={"k": "v"})
    newer = create(stub)

    answer = stub.GetRun(pb.GetRunRequest(run_id=run.run_id))

    assert answer.run == run
    assert answer.revision == newer.revision


def test_run_get_not_found(stub: Stub) -> None:
    """A missing run is NOT_FOUND, with its canonical id."""
    check_refused(
        lambda: get(stub, f"{{{UNKNOWN_ID.upper()}}}"), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID
    )


def test_run_get_default(stub: Stub) -> None:
    """The default run is there from the start, ACTIVE, at version 1, with nothing in it."""
    run = get(stub, DEFAULT)

    assert run.run_id == DEFAULT
    assert run.state == pb.RUN_STATE_ACTIVE
    assert run.version == 1
    assert not run.tags
    assert not run.HasField("metadata")
    assert not run.HasField("parent_run_id")


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_run_exists_true(stub: Stub, state: int) -> None:
    """A run exists in every state, and get answers in every state."""
    run_id = create_in(stub, state).run_id

    assert stub.RunExists(pb.RunExistsRequest(run_id=run_id)).exists
    assert get(stub, run_id).state == state


def test_run_exists_false(stub: Stub) -> None:
    """A missing run is an answer, not an error; a deleted run is missing."""
    run_id = create(stub).run_id
    delete(stub, run_id)

    assert not stub.RunExists(pb.RunExistsRequest(run_id=UNKNOWN_ID)).exists
    assert not stub.RunExists(pb.RunExistsRequest(run_id=run_id)).exists


def test_run_exists_default_always_true(stub: Stub) -> None:
    """No call takes the default run away."""
    assert stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT)).exists

    check_refused(lambda: delete(stub, DEFAULT), Code.FAILED_PRECONDITION, "DEFAULT_RUN_PROTECTED")

    assert stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT)).exists


def test_run_update_metadata(stub: Stub, clock: ManualClock) -> None:
    """An update replaces the whole object, and moves version, update time and revision, and nothing else."""
    run = create(stub, metadata={"keep": 1, "drop": 2}, tags=["a"])
    now_us = clock.advance(SECOND_US)

    answer = update(stub, run.run_id, {"keep": 3})

    assert answer.version == 2
    assert micros(answer.update_time) == now_us
    assert answer.revision > run.revision
    expected = pb.Run()
    expected.CopyFrom(run)
    expected.metadata.CopyFrom(struct({"keep": 3}))
    expected.version = 2
    expected.revision = answer.revision
    expected.update_time.CopyFrom(answer.update_time)
    assert get(stub, run.run_id) == expected


def test_run_update_metadata_not_found(stub: Stub) -> None:
    """Metadata of a missing run cannot be written, and writing it makes no run."""
    check_refused(
        lambda: update(stub, UNKNOWN_ID, {"k": 1}), Code.NOT_FOUND, "RUN_NOT_FOUND", runId=UNKNOWN_ID
    )

    assert not stub.RunExists(pb.RunExistsRequest(run_id=UNKNOWN_ID)).exists


# Beside the plan's.


def test_create_with_an_id(stub: Stub) -> None:
    """A given id is used, in its canonical form."""
    run = create(stub, run_id=f"urn:uuid:{UNKNOWN_ID.replace('-', '').upper()}")

    assert run.run_id == UNKNOWN_ID
    assert get(stub, UNKNOWN_ID) == run


def test_create_twice_makes_two_runs(stub: Stub) -> None:
    """Without a request id a create is not idempotent."""
    first, second = create(stub, tags=["same"]), create(stub, tags=["same"])

    assert first.run_id != second.run_id
    assert list_ids(stub) == [second.run_id, first.run_id, DEFAULT]


def test_an_empty_object_is_the_same_as_none(stub: Stub) -> None:
    """Empty metadata comes back unset, after a create and after an update."""
    run = create(stub, metadata={})
    assert not run.HasField("metadata")

    update(stub, run.run_id, {"k": 1})
    update(stub, run.run_id, {})

    assert not get(stub, run.run_id).HasField("metadata")
    assert get(stub, run.run_id).version == 3


def test_duplicate_tags_of_a_create_are_ignored(stub: Stub) -> None:
    """The first of equal tags gives the place."""
    run = create(stub, tags=["b", "a", "b", "c", "a"])

    assert list(run.tags) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("there", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, None),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"b": {"c": None}}, {"a": "foo", "b": {}}),
        ({"a": "foo"}, {"a": {"b": {"c": None, "d": 1}}}, {"a": {"b": {"d": 1}}}),
        ({"a": {"b": 1, "c": {"d": 2, "e": 3}}}, {"a": {"c": {"d": None}}}, {"a": {"b": 1, "c": {"e": 3}}}),
        ({"a": 1}, {"a": [None]}, {"a": [None]}),
        (None, {"a": 1}, {"a": 1}),
    ],
    ids=str,
)
def test_merge_follows_rfc_7396(
    stub: Stub, there: dict[str, object] | None, patch: dict[str, object], result: dict[str, object] | None
) -> None:
    """Nested objects merge, a null removes its key, anything but an object replaces."""
    run_id = create(stub, metadata=there).run_id

    assert update(stub, run_id, patch, merge=True).version == 2

    run = get(stub, run_id)
    assert run.HasField("metadata") == (result is not None)
    assert run.metadata == struct(result or {})


@pytest.mark.parametrize(
    ("metadata", "merge"),
    [
        ({"a": 1, "b": {"c": [2]}}, False),
        ({}, True),
        ({"a": 1}, True),
        ({"b": {"c": [2]}}, True),
        ({"b": {}}, True),
        ({"absent": None}, True),
    ],
)
def test_an_equal_object_changes_nothing(
    stub: Stub, clock: ManualClock, metadata: dict[str, object], *, merge: bool
) -> None:
    """The answer then has the old version and update time, and the store's revision."""
    run = create(stub, metadata={"a": 1, "b": {"c": [2]}})
    other = create(stub)
    clock.advance(SECOND_US)

    answer = update(stub, run.run_id, metadata, merge=merge)

    assert (answer.version, answer.update_time) == (1, run.update_time)
    assert answer.revision == other.revision
    assert get(stub, run.run_id) == run


def test_equality_does_not_see_the_order_of_keys(channel: grpc.Channel, stub: Stub) -> None:
    """A map has no order, in whatever order its keys come on the wire."""
    entries = [struct({f"key-{place}": place}).SerializeToString() for place in range(50)]
    run_id = create(stub).run_id

    for order in (entries, entries[::-1], entries[25:] + entries[:25]):
        metadata = Struct.FromString(b"".join(order))
        request = pb.UpdateRunMetadataRequest(run_id=run_id, metadata=metadata)
        assert raw(channel, "UpdateRunMetadata")(request.SerializeToString()).version == 2


def test_removing_metadata_that_is_not_there_changes_nothing(stub: Stub) -> None:
    """None and an empty object are equal."""
    run = create(stub)

    assert update(stub, run.run_id, {}).version == 1
    assert get(stub, run.run_id) == run


@pytest.mark.parametrize("state", STATES[:-1], ids=pb.RunState.Name)
def test_metadata_is_taken_in_every_state_but_archived(stub: Stub, state: int) -> None:
    """Finished runs still take metadata, and stay finished."""
    run = create_in(stub, state)

    assert update(stub, run.run_id, {"late": True}).version == run.version + 1

    after = get(stub, run.run_id)
    assert (after.state, after.outcome, after.error) == (run.state, run.outcome, run.error)
    assert after.metadata == struct({"late": True})


def test_metadata_of_an_archived_run_is_frozen(stub: Stub) -> None:
    """Even an equal object is refused."""
    run = create_in(stub, pb.RUN_STATE_ARCHIVED, metadata={"a": 1})

    for metadata in ({"a": 2}, {"a": 1}):
        refusal = check_refused(
            lambda metadata=metadata: update(stub, run.run_id, metadata),
            Code.FAILED_PRECONDITION,
            "RUN_ARCHIVED",
            runId=run.run_id,
        )
        assert refusal.revision == run.revision
    assert get(stub, run.run_id) == run


def test_an_update_without_metadata_is_refused(stub: Stub) -> None:
    """Absent is not the same as empty."""
    run_id = create(stub).run_id

    for merge in (False, True):
        request = pb.UpdateRunMetadataRequest(run_id=run_id, merge=merge)
        check_refused(
            lambda request=request: stub.UpdateRunMetadata(request),
            Code.INVALID_ARGUMENT,
            "FIELD_REQUIRED",
            field="metadata",
        )


def test_the_id_of_a_deleted_run_may_be_used_again(stub: Stub) -> None:
    """The new run starts again at version 1 and has nothing of the old one."""
    old = create(stub, tags=["t"], metadata={"k": 1}, parent=DEFAULT)
    set_retention(stub, old.run_id, pb.RetentionPolicy(keep_latest_n=1))
    update(stub, old.run_id, {"k": 2})
    delete(stub, old.run_id)

    new = create(stub, run_id=old.run_id)

    assert new.version == 1
    assert not new.tags
    assert not new.HasField("metadata")
    assert not new.HasField("parent_run_id")
    assert new.revision > old.revision
    assert micros(new.create_time) > micros(old.create_time)
    assert get_retention(stub, new.run_id).WhichOneof("policy") == "keep_all"
    assert list_ids(stub) == [new.run_id, DEFAULT]
