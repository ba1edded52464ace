"""Ids, metadata and the default run at their edges: the plan's tests, and ours beside them.

What the default run allows is in `test_default_run`, and every bound is in `test_limits`.
"""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import (
    DEFAULT,
    STATES,
    UNKNOWN_ID,
    Change,
    Stub,
    add_tags,
    archive,
    by_state,
    cancel,
    check_refused,
    close,
    count,
    create,
    create_in,
    delete,
    fail,
    get,
    list_ids,
    pause,
    remove_tags,
    resume,
    set_retention,
    struct,
    update,
)
from tests.support.methods import KEEP_3, NEEDS_THE_RUN, OF_ONE_RUN, build, call, raw, target
from tests.support.stores import IN_MEMORY

NIL = "00000000-0000-0000-0000-000000000000"

FORMS = (
    "0192f3a4-5b6c-7d8e-9f00-112233445566",
    "0192F3A4-5B6C-7D8E-9F00-112233445566",
    "0192f3A4-5b6C-7d8E-9f00-112233445566",
    "0192f3a45b6c7d8e9f00112233445566",
    "0192F3A45B6C7D8E9F00112233445566",
    "{0192f3a4-5b6c-7d8e-9f00-112233445566}",
    "{0192F3A45B6C7D8E9F00112233445566}",
    "urn:uuid:0192f3a4-5b6c-7d8e-9f00-112233445566",
    "URN:UUID:0192F3A4-5B6C-7D8E-9F00-112233445566",
    "urn:uuid:0192f3a45b6c7d8e9f00112233445566",
)

NOT_IDS = (
    "x",
    "run-1",
    "Default",
    "DEFAULT",
    " default",
    "default\n",
    NIL,
    "{00000000-0000-0000-0000-000000000000}",
    "00000000000000000000000000000000",
    f"{UNKNOWN_ID} ",
    f" {UNKNOWN_ID}",
    f"{UNKNOWN_ID}\n",
    f"{UNKNOWN_ID}0",
    UNKNOWN_ID[:-1],
    UNKNOWN_ID.replace("a", "g"),
    UNKNOWN_ID.replace("-", "_"),
    f"{{{UNKNOWN_ID}",
    f"{UNKNOWN_ID}}}",
    f"urn:uuid:{{{UNKNOWN_ID}}}",
    f"{{urn:uuid:{UNKNOWN_ID}}}",
    f"uuid:{UNKNOWN_ID}",
    "0192f3a45b6c-7d8e-9f00-112233445566",
    "0192f3a4-5b6c7d8e9f00112233445566",
    "0192-f3a45b6c-7d8e-9f00-112233445566",
    "0x92f3a45b6c7d8e9f00112233445566",
    "٠192f3a4-5b6c-7d8e-9f00-112233445566",  # noqa: RUF001 # a digit, but not an ASCII one
)


def test_default_run_always_exists(stub: Stub) -> None:
    """It is in a new store, ACTIVE, listed and counted, and creating it is refused."""
    assert stub.RunExists(pb.RunExistsRequest(run_id=DEFAULT)).exists
    assert by_state(stub, pb.RUN_STATE_ACTIVE) == list_ids(stub) == [DEFAULT]
    assert count(stub) == 1

    check_refused(
        lambda: create(stub, run_id=DEFAULT), Code.ALREADY_EXISTS, "RUN_ALREADY_EXISTS", runId=DEFAULT
    )


@pytest.mark.parametrize(("verb", "change"), [("close", close), ("fail", fail), ("cancel", cancel)])
def test_default_run_cannot_close(stub: Stub, verb: str, change: Change) -> None:
    """It cannot be finished, with whatever outcome."""
    check_refused(
        lambda: change(stub, DEFAULT),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
        operation=verb,
    )
    assert get(stub, DEFAULT).state == pb.RUN_STATE_ACTIVE


def test_default_run_cannot_delete(stub: Stub) -> None:
    """It cannot be deleted."""
    check_refused(
        lambda: delete(stub, DEFAULT),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
        operation="delete",
    )
    assert list_ids(stub) == [DEFAULT]


def test_default_run_cannot_archive(stub: Stub) -> None:
    """It cannot be put away."""
    check_refused(
        lambda: archive(stub, DEFAULT),
        Code.FAILED_PRECONDITION,
        "DEFAULT_RUN_PROTECTED",
        runId=DEFAULT,
        operation="archive",
    )
    assert list_ids(stub) == [DEFAULT]


@IN_MEMORY
@pytest.mark.parametrize("text", NOT_IDS, ids=ascii)
def test_invalid_run_id_format(stub: Stub, text: str) -> None:
    """Only a UUID in one of the known forms, the nil UUID left out, and `default` are ids."""
    for request in (
        lambda: get(stub, text),
        lambda: stub.RunExists(pb.RunExistsRequest(run_id=text)),
        lambda: create(stub, run_id=text),
        lambda: create(stub, run_id=text, parent=DEFAULT),
        lambda: delete(stub, text),
    ):
        check_refused(request, Code.INVALID_ARGUMENT, "INVALID_RUN_ID", field="run_id", value=text)
    check_refused(
        lambda: create(stub, parent=text),
        Code.INVALID_ARGUMENT,
        "INVALID_RUN_ID",
        field="parent_run_id",
        value=text,
    )


@pytest.mark.parametrize("name", OF_ONE_RUN)
def test_empty_run_id_error(stub: Stub, name: str) -> None:
    """Every method that takes an id needs one; present but empty is refused where it is optional too."""
    for text in ("", "nonsense"):
        check_refused(
            lambda text=text: call(stub, name, build(name, text)),
            Code.INVALID_ARGUMENT,
            "INVALID_RUN_ID",
            field="run_id",
            value=text,
        )
    for create_request in (
        lambda: create(stub, run_id=""),
        lambda: create(stub, run_id="", parent=DEFAULT),
    ):
        check_refused(create_request, Code.INVALID_ARGUMENT, "INVALID_RUN_ID", field="run_id", value="")
    parent = pb.CreateChildRunRequest()
    check_refused(
        lambda: stub.CreateChildRun(parent), Code.INVALID_ARGUMENT, "INVALID_RUN_ID", field="parent_run_id"
    )


METADATA_NUMBERS = {"CreateRun": 2, "UpdateRunMetadata": 2, "CreateChildRun": 2}
"""The number of `metadata` in each request that has it."""


def without_metadata(name: str, run_id: str) -> bytes:
    """Return the wire form of a request that has everything but metadata."""
    request = build(name, run_id)
    request.ClearField("metadata")
    data: bytes = request.SerializeToString()
    return data


@pytest.mark.parametrize("name", METADATA_NUMBERS)
@pytest.mark.parametrize(
    "value",
    [
        b"text",
        b"\x0a\x05text",
        b"\x0a\x02\x0a\x05",
        b"\xff\xff\xff",
        b"\x0a\x07\x0a\x01k\x12\x02\x1a\x09",
        b"\x0a\x06\x0a\x02\xff\xfe\x12\x00",
    ],
    ids=ascii,
)
def test_run_metadata_must_be_object_or_null(
    channel: grpc.Channel, stub: Stub, name: str, value: bytes
) -> None:
    """Anything else in its place does not parse, and nothing is written. No typed stub can send it."""
    run = create(stub)
    data = without_metadata(name, run.run_id) + bytes([METADATA_NUMBERS[name] << 3 | 2, len(value)]) + value

    check_refused(lambda: raw(channel, name)(data), Code.INVALID_ARGUMENT, "UNPARSABLE_REQUEST")

    assert list_ids(stub) == [run.run_id, DEFAULT]
    assert get(stub, run.run_id) == run


@pytest.mark.parametrize("name", METADATA_NUMBERS)
@pytest.mark.parametrize(
    ("wire_type", "value"), [(0, b"\x2a"), (1, b"\x00" * 8), (5, b"\x00" * 4)], ids=["int", "f64", "f32"]
)
def test_metadata_of_another_wire_type_is_absent(
    channel: grpc.Channel, stub: Stub, name: str, wire_type: int, value: bytes
) -> None:
    """A number in its place is a field that nobody knows, and those are ignored."""
    run_id = create(stub).run_id
    data = without_metadata(name, run_id) + bytes([METADATA_NUMBERS[name] << 3 | wire_type]) + value

    if name == "UpdateRunMetadata":
        check_refused(
            lambda: raw(channel, name)(data), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="metadata"
        )
    else:
        assert not raw(channel, name)(data).run.HasField("metadata")


def test_fail_requires_error_message(stub: Stub) -> None:
    """A run does not fail without saying why."""
    run = create(stub)
    request = pb.FailRunRequest(run_id=run.run_id)

    check_refused(lambda: stub.FailRun(request), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="error")

    assert get(stub, run.run_id) == run


def test_status_index_consistency(stub: Stub) -> None:
    """Along any way through the lifecycle a run is listed and counted in exactly its state."""
    ways = (
        (pause, resume, pause, cancel, archive),
        (fail, archive),
        (close, archive),
        (archive,),
        (pause, archive),
    )
    for way in ways:
        run_id = create(stub).run_id
        for change in way:
            change(stub, run_id)
            state = get(stub, run_id).state
            assert [each for each in STATES if run_id in by_state(stub, each)] == [state]
            assert [each for each in STATES if run_id in list_ids(stub, each)] == [state]
            for each in STATES:
                assert count(stub, each) == len(by_state(stub, each))
    assert count(stub, *STATES) == len(ways) + 1


def test_version_increments_on_update(stub: Stub) -> None:
    """Each change is one version, whatever it changes, and get shows what the call returned."""
    run_id = create(stub).run_id
    changes: tuple[Callable[[], Any], ...] = (
        lambda: update(stub, run_id, {"k": 1}),
        lambda: update(stub, run_id, {"k": 2}, merge=True),
        lambda: add_tags(stub, run_id, "a", "b"),
        lambda: remove_tags(stub, run_id, "a"),
        lambda: set_retention(stub, run_id, KEEP_3),
        lambda: pause(stub, run_id),
        lambda: resume(stub, run_id),
        lambda: close(stub, run_id),
        lambda: archive(stub, run_id),
    )
    for version, change in enumerate(changes, start=2):
        answer = change()
        assert answer.version == get(stub, run_id).version == version


# Beside the plan's.


@IN_MEMORY
@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_an_id_is_one_run(stub: Stub, text: str) -> None:
    """A run created under one form is found under all, and always shown in the canonical one."""
    assert create(stub, run_id=text).run_id == UNKNOWN_ID

    for form in FORMS:
        assert get(stub, form).run_id == UNKNOWN_ID
        check_refused(
            lambda form=form: create(stub, run_id=form),
            Code.ALREADY_EXISTS,
            "RUN_ALREADY_EXISTS",
            runId=UNKNOWN_ID,
        )


@pytest.mark.parametrize("name", [*OF_ONE_RUN, "CreateChildRun"])
def test_every_method_takes_every_form(stub: Stub, name: str) -> None:
    """An id is canonicalised wherever it is given."""
    run_id = target(stub, name)

    call(stub, name, build(name, f"urn:uuid:{run_id.upper()}"))


@pytest.mark.parametrize("name", NEEDS_THE_RUN)
def test_every_method_that_needs_the_run_says_so(stub: Stub, name: str) -> None:
    """The refusal has the canonical id and the store's revision."""
    revision = create(stub).revision

    refusal = check_refused(
        lambda: call(stub, name, build(name, UNKNOWN_ID.upper())),
        Code.NOT_FOUND,
        "RUN_NOT_FOUND",
        runId=UNKNOWN_ID,
    )

    assert refusal.revision == revision


def test_a_long_wrong_id_is_shown_in_part(stub: Stub) -> None:
    """An error stays small whatever was sent."""
    check_refused(
        lambda: get(stub, "ü" * 1_000),
        Code.INVALID_ARGUMENT,
        "INVALID_RUN_ID",
        field="run_id",
        value="ü" * 128,
    )


@pytest.mark.parametrize(
    "value",
    [
        Value(number_value=float("nan")),
        Value(number_value=float("inf")),
        Value(number_value=float("-inf")),
        Value(),
        Value(list_value=ListValue(values=[Value(number_value=float("nan"))])),
        Value(struct_value=Struct(fields={"deep": Value(number_value=float("inf"))})),
        Value(list_value=ListValue(values=[Value()])),
    ],
    ids=lambda value: " ".join(str(value).split()) or "none",
)
def test_metadata_that_json_has_not_is_refused(stub: Stub, value: Value) -> None:
    """NaN, infinities and values of no kind, however deep."""
    run = create(stub, metadata={"k": 1})
    metadata = Struct(fields={"k": value})

    for request in (
        lambda: stub.CreateRun(pb.CreateRunRequest(metadata=metadata)),
        lambda: stub.CreateChildRun(pb.CreateChildRunRequest(parent_run_id=DEFAULT, metadata=metadata)),
        lambda: stub.UpdateRunMetadata(pb.UpdateRunMetadataRequest(run_id=run.run_id, metadata=metadata)),
        lambda: stub.UpdateRunMetadata(
            pb.UpdateRunMetadataRequest(run_id=run.run_id, metadata=metadata, merge=True)
        ),
    ):
        check_refused(request, Code.INVALID_ARGUMENT, "INVALID_METADATA", field="metadata")
    assert get(stub, run.run_id) == run


@pytest.mark.parametrize("number", [0.0, -0.0, 1e308, 5e-324, 2.0**53, -1.5, 2.0**63])
def test_numbers_of_metadata_are_doubles(stub: Stub, number: float) -> None:
    """Every finite double comes back bit for bit."""
    run_id = create(stub, metadata={"n": number}).run_id

    assert get(stub, run_id).metadata["n"].hex() == number.hex()


def test_metadata_without_text_or_with_odd_keys(stub: Stub) -> None:
    """Empty keys, dots, control characters and nested emptiness are the caller's business."""
    metadata = {"": "", "a.b": 1, "\x00": "\x00", "🚀": [], "empty": {}, "list": [[], {}, None, ""]}
    run_id = create(stub, metadata=metadata).run_id

    assert get(stub, run_id).metadata == struct(metadata)


@pytest.mark.parametrize("state", STATES, ids=pb.RunState.Name)
def test_a_taken_id_is_taken_in_every_state(stub: Stub, state: int) -> None:
    """Archiving does not free an id; deleting does."""
    run_id = create_in(stub, state).run_id
    check_refused(lambda: create(stub, run_id=run_id), Code.ALREADY_EXISTS, "RUN_ALREADY_EXISTS")

    delete(stub, run_id)

    assert create(stub, run_id=run_id).version == 1
