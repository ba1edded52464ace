"""Every bound of RunData that a call can reach, at one below, at, and one above."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Value
from grpc import StatusCode as Code

from runindex.v1 import run_data_pb2 as pb
from runindex_server import limits
from tests.support.calls import Stub, check_refused, create
from tests.support.data_calls import (
    Data,
    append,
    count_events,
    deep,
    draft,
    get_document,
    get_state,
    get_value,
    json_value,
    merge_document,
    revision_of,
    set_document,
    value,
)
from tests.support.data_methods import KINDS, MUTATIONS, build, call, give, target
from tests.support.stores import IN_MEMORY

around: Final = pytest.mark.parametrize("over", [-1, 0, 1])
"""Offsets from a bound; the last is refused."""

every_char: Final = pytest.mark.parametrize("char", ["x", "ü", "🚀"])


def test_the_bounds_are_those_of_the_contract() -> None:
    """What the comments of the contract say in words."""
    assert limits.NAME_BYTES_MAX == 128
    assert limits.DATA_VALUE_BYTES_MAX == 256 * 1024
    assert limits.DATA_DEPTH_MAX == 20
    assert limits.POINTER_BYTES_MAX == 1024
    assert limits.EVENTS_MAX == 1_000


def text_of(size: int, char: str) -> str:
    """Return text of a number of bytes, made of a character and filled with `x`."""
    width = len(char.encode())
    return char * (size // width) + "x" * (size % width)


NAMED: Final[tuple[tuple[str, str], ...]] = (
    ("PutValue", "key"),
    ("GetValue", "key"),
    ("DeleteValue", "key"),
    ("GetValueHistory", "key"),
    ("ListValues", "prefix"),
    ("ReadEvents", "stream"),
    ("CountEvents", "stream"),
    ("SetState", "cell"),
    ("GetState", "cell"),
    ("CompareAndSetState", "cell"),
    ("ListStates", "prefix"),
    ("SetDocument", "document"),
    ("GetDocument", "document"),
    ("MergeDocument", "document"),
    ("DeleteDocument", "document"),
    ("ListDocuments", "prefix"),
)
"""Where names are given, and prefixes of them."""


@IN_MEMORY
@pytest.mark.parametrize(("name", "field"), NAMED)
@around
def test_name_bytes(stub: Stub, data: Data, name: str, field: str, over: int) -> None:
    """At most 128 bytes, wherever it is given, in whatever characters."""
    for char in "xü🚀":
        run_id = create(stub).run_id
        text = text_of(limits.NAME_BYTES_MAX + over, char)
        request = build(name, run_id, **{field: text})
        if over <= 0:
            for kind in KINDS.values():
                kind.put(data, run_id, text, "first")
            call(data, name, request)
        else:
            check_refused(
                partial(call, data, name, request), Code.INVALID_ARGUMENT, "INVALID_FIELD", field=field
            )


@every_char
@around
def test_stream_bytes(stub: Stub, data: Data, char: str, over: int) -> None:
    """The name of a stream to append to is held to the same bound, and shown by its place."""
    run_id = create(stub).run_id
    stream = text_of(limits.NAME_BYTES_MAX + over, char)

    if over <= 0:
        append(data, run_id, draft(stream, 1), draft(stream, 2))
        assert count_events(data, run_id, stream) == (2, 2)
    else:
        check_refused(
            lambda: append(data, run_id, draft("s", 1), draft(stream, 2)),
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            field="events[1].stream",
        )


@IN_MEMORY
@pytest.mark.parametrize(("name", "field"), [each for each in NAMED if each[1] not in {"prefix", "stream"}])
def test_names_are_not_empty(stub: Stub, data: Data, name: str, field: str) -> None:
    """They are required."""
    request = build(name, create(stub).run_id, **{field: ""})

    check_refused(lambda: call(data, name, request), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field=field)


def json_of(size: int) -> Value:
    """Return JSON of exactly so many bytes, encoded."""
    overhead = Value(string_value="x" * (size - 10)).ByteSize() - (size - 10)
    sized = Value(string_value="x" * (size - overhead))
    assert sized.ByteSize() == size
    return sized


VALUES: Final[dict[str, Callable[[int], pb.DataValue]]] = {
    "JSON": lambda over: pb.DataValue(json=json_of(limits.DATA_VALUE_BYTES_MAX + over)),
    "bytes": lambda over: pb.DataValue(binary=b"\xff" * (limits.DATA_VALUE_BYTES_MAX + over)),
    "levels of objects": lambda over: value(deep(limits.DATA_DEPTH_MAX + over)),
    "levels of lists": lambda over: value(deep(limits.DATA_DEPTH_MAX + over, lists=True)),
}


@around
@pytest.mark.parametrize("kind", VALUES)
def test_values(stub: Stub, data: Data, kind: str, over: int) -> None:
    """At most 256 KiB encoded and 20 levels; what is taken comes back whole."""
    run_id = create(stub).run_id
    held = VALUES[kind](over)
    event = pb.EventDraft(stream="s", value=held)
    expecting = pb.CompareAndSetStateRequest(run_id=run_id, cell="c", expected=held, value=value(1))
    writes: list[tuple[str, str, Any]] = [
        ("PutValue", "value", pb.PutValueRequest(run_id=run_id, key="k", value=held)),
        ("SetState", "value", pb.SetStateRequest(run_id=run_id, cell="c", value=held)),
        ("CompareAndSetState", "expected", expecting),
        ("CompareAndSetState", "value", pb.CompareAndSetStateRequest(run_id=run_id, cell="d", value=held)),
        (
            "AppendEvents",
            "events[1].value",
            pb.AppendEventsRequest(run_id=run_id, events=[draft("s", 1), event]),
        ),
    ]

    for name, field, request in writes:
        if over <= 0:
            call(data, name, request)
        else:
            check_refused(
                partial(call, data, name, request), Code.INVALID_ARGUMENT, "INVALID_FIELD", field=field
            )
    if over <= 0:
        assert get_value(data, run_id, "k").value == held
        assert get_state(data, run_id, "c", 1).value == get_state(data, run_id, "d").value == held
        assert data.ReadEvents(pb.ReadEventsRequest(run_id=run_id, from_sequence=1)).events[0].value == held
    else:
        assert count_events(data, run_id) == (0, 0)


DOCUMENTS: Final[dict[str, Callable[[int], Value]]] = {
    "bytes": lambda over: json_of(limits.DATA_VALUE_BYTES_MAX + over),
    "levels of objects": lambda over: json_value(deep(limits.DATA_DEPTH_MAX + over)),
    "levels of lists": lambda over: json_value(deep(limits.DATA_DEPTH_MAX + over, lists=True)),
}


@around
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents(stub: Stub, data: Data, kind: str, over: int) -> None:
    """As for values, written whole or merged into nothing."""
    run_id = create(stub).run_id
    held = DOCUMENTS[kind](over)
    for field, request in (
        ("value", pb.SetDocumentRequest(run_id=run_id, document="d", value=held)),
        ("patch", pb.MergeDocumentRequest(run_id=run_id, document="e", patch=held)),
    ):
        name = "SetDocument" if field == "value" else "MergeDocument"
        if over <= 0:
            call(data, name, request)
            assert get_document(data, run_id, request.document).value == held
        else:
            check_refused(
                partial(call, data, name, request), Code.INVALID_ARGUMENT, "INVALID_FIELD", field=field
            )


def check_whole(stub: Stub, data: Data, run_id: str, over: int, change: Any, *, maximum: int) -> None:
    """Make a change that brings a document near a bound, and check on which side it is."""
    before = get_document(data, run_id, "d")
    if over <= 0:
        assert change().version == before.version + 1
        return
    refusal = check_refused(
        change, Code.FAILED_PRECONDITION, "LIMIT_EXCEEDED", runId=run_id, maximum=str(maximum)
    )
    assert refusal.metadata["limit"]
    assert refusal.revision == revision_of(stub)
    assert get_document(data, run_id, "d") == before


@around
@pytest.mark.parametrize("merged", [False, True])
def test_the_whole_documents_bytes(stub: Stub, data: Data, over: int, *, merged: bool) -> None:
    """What is stored and what is asked for, together, each being within the bound."""
    run_id = create(stub).run_id
    there = "x" * 200_000
    set_document(data, run_id, "d", {"there": there})
    added = 50_000
    probe = json_value({"there": there, "new": "x" * added}).ByteSize()
    added += limits.DATA_VALUE_BYTES_MAX + over - probe
    assert json_value({"there": there, "new": "x" * added}).ByteSize() == limits.DATA_VALUE_BYTES_MAX + over

    change = (
        partial(merge_document, data, run_id, "d", {"new": "x" * added})
        if merged
        else partial(set_document, data, run_id, "d", "x" * added, "/new")
    )
    check_whole(stub, data, run_id, over, change, maximum=limits.DATA_VALUE_BYTES_MAX)


@around
@pytest.mark.parametrize("lists", [False, True])
def test_the_whole_documents_levels(stub: Stub, data: Data, over: int, *, lists: bool) -> None:
    """What is set stands as deep as its place."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", deep(8, lists=lists))
    pointer = ("/0" if lists else "/k") * 8

    change = partial(set_document, data, run_id, "d", deep(12 + over, lists=lists), pointer)

    check_whole(stub, data, run_id, over, change, maximum=limits.DATA_DEPTH_MAX)


@IN_MEMORY
@pytest.mark.parametrize("name", ["GetDocument", "SetDocument", "DeleteDocument"])
@every_char
@around
def test_pointer_bytes(stub: Stub, data: Data, name: str, char: str, over: int) -> None:
    """At most 1 KiB; escapes count as they are sent."""
    run_id = create(stub).run_id
    member = text_of(limits.POINTER_BYTES_MAX - 3 + over, char)
    set_document(data, run_id, "d", {"~" + member: 1})
    request = build(name, run_id, pointer="/~0" + member)
    assert len(request.pointer.encode()) == limits.POINTER_BYTES_MAX + over

    if over <= 0:
        call(data, name, request)
    else:
        check_refused(
            lambda: call(data, name, request), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="pointer"
        )


@around
def test_events_of_a_call(stub: Stub, data: Data, over: int) -> None:
    """At most 1,000, all or none."""
    run_id = create(stub).run_id
    count = limits.EVENTS_MAX + over

    if over <= 0:
        append(data, run_id, *(draft("s", n) for n in range(count)))
        assert count_events(data, run_id) == (count, count)
    else:
        check_refused(
            lambda: append(data, run_id, *(draft("s", n) for n in range(count))),
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            field="events",
        )
        assert count_events(data, run_id) == (0, 0)


def test_the_largest_append(stub: Stub, data: Data) -> None:
    """As many events as go into a call and into a request, each in a stream of its own with a long name."""
    run_id = create(stub).run_id
    streams = [text_of(limits.NAME_BYTES_MAX - 3, "ü") + f"{n:03}" for n in range(limits.EVENTS_MAX)]
    request = pb.AppendEventsRequest(run_id=run_id, events=[draft(stream, b"x" * 850) for stream in streams])
    rest = limits.REQUEST_BYTES_MAX - request.ByteSize()
    assert 0 < rest < limits.DATA_VALUE_BYTES_MAX
    request.events[-1].value.binary += b"x" * (rest - 6)

    for turn in range(2):
        assert data.AppendEvents(request).first_sequence == turn * limits.EVENTS_MAX
    assert count_events(data, run_id) == (2 * limits.EVENTS_MAX, 2 * limits.EVENTS_MAX)
    assert count_events(data, run_id, streams[-1]) == (2, 2 * limits.EVENTS_MAX)
    found = data.ReadEvents(pb.ReadEventsRequest(run_id=run_id, stream=streams[-1])).events
    assert [event.value for event in found] == [request.events[-1].value] * 2


@IN_MEMORY
@pytest.mark.parametrize("name", MUTATIONS)
@around
def test_request_id_bytes(stub: Stub, data: Data, name: str, over: int) -> None:
    """A request id has at most 64 bytes, in whatever characters; present but empty is refused."""
    for char in "xü🚀":
        request_id = text_of(limits.REQUEST_ID_BYTES_MAX + over, char)
        request = build(name, target(stub, data), request_id=request_id)
        if over <= 0:
            call(data, name, request)
        else:
            for wrong in (request_id, ""):
                request.request_id = wrong
                check_refused(
                    partial(call, data, name, request),
                    Code.INVALID_ARGUMENT,
                    "INVALID_FIELD",
                    field="request_id",
                )


def test_all_bounds_at_once(stub: Stub, data: Data) -> None:
    """The longest names, the largest values, and the same again in the next version."""
    run_id = create(stub).run_id
    name = text_of(limits.NAME_BYTES_MAX, "🚀")
    give(data, run_id)
    for over in (0, -1):
        held = VALUES["bytes"](over)
        call(data, "PutValue", build("PutValue", run_id, key=name, value=held))
        call(data, "SetState", build("SetState", run_id, cell=name, value=held))
        call(data, "SetDocument", build("SetDocument", run_id, document=name, value=DOCUMENTS["bytes"](over)))
        append(data, run_id, pb.EventDraft(stream=name, value=held))

    assert get_value(data, run_id, name, 1).value == VALUES["bytes"](0)
    assert get_value(data, run_id, name).value == get_state(data, run_id, name).value == VALUES["bytes"](-1)
    assert get_document(data, run_id, name, version=1).value == DOCUMENTS["bytes"](0)
    assert count_events(data, run_id, name) == (2, 3)
