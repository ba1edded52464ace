"""JSON documents, and places in them by RFC 6901."""

from functools import partial
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from tests.support.calls import Stub, check_refused, create, micros
from tests.support.clock import SECOND_US, ManualClock
from tests.support.data_calls import (
    Data,
    delete_document,
    documents,
    get_document,
    json_value,
    revision_of,
    set_document,
)
from tests.support.stores import IN_MEMORY

RFC_6901: Final = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}
"""The document of section 5."""

RFC_6901_PLACES: Final[dict[str, Any]] = {
    "": RFC_6901,
    "/foo": ["bar", "baz"],
    "/foo/0": "bar",
    "/": 0,
    "/a~1b": 1,
    "/c%d": 2,
    "/e^f": 3,
    "/g|h": 4,
    "/i\\j": 5,
    '/k"l': 6,
    "/ ": 7,
    "/m~0n": 8,
}
"""Its pointers, and what they lead to."""

HELD: Final[dict[str, Any]] = {
    "a": {"b": {"c": 1}, "null": None},
    "list": ["zero", ["in", "a", "list"], {"k": "v"}],
    "text": "t",
    "~1": "tilde one",
    "0": "a member named like an index",
    "": {"": "empty in empty"},
}

PLACES: Final[dict[str, Any]] = {
    "/a/b/c": 1,
    "/a/null": None,
    "/list/0": "zero",
    "/list/1/2": "list",
    "/list/2/k": "v",
    "/~01": "tilde one",
    "/0": "a member named like an index",
    "//": "empty in empty",
}

NO_PLACES: Final = (
    "/A",
    "/a/c",
    "/a/b/c/d",
    "/a/null/x",
    "/text/0",
    "/text/",
    "/list/3",
    "/list/00",
    "/list/01",
    "/list/-1",
    "/list/+1",
    "/list/1.0",
    "/list/ 1",
    "/list/1 ",
    "/list/1e0",
    "/list/0x1",
    "/list/1_0",
    "/list/1\n",
    "/list/",
    "/list/x",
    "/list/\u0661",
    "/list/-",
    "/list/18446744073709551616",
    "/list/1/2/0",
    "///",
    "/a/",
    "/~00",
)
"""Pointers that lead to no place in `HELD`: an index has no sign, no zeros before it, and no other digits."""

NO_POINTERS: Final = ("a", "a/b", " /a", "#/a", "/~", "/~2", "/a~", "/a/~x/b", "/~~0", "~0", "~1")
"""Neither empty nor beginning with a slash, or with a tilde that is not of `~0` or `~1`."""


@pytest.mark.parametrize(("pointer", "held"), RFC_6901_PLACES.items())
def test_the_examples_of_rfc_6901(stub: Stub, data: Data, pointer: str, held: Any) -> None:
    """Each is read and written, and nothing beside it."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", RFC_6901)
    assert get_document(data, run_id, "d", pointer).value == json_value(held)

    set_document(data, run_id, "d", "new", pointer)

    assert get_document(data, run_id, "d", pointer).value == json_value("new")
    if pointer not in {"", "/foo", "/foo/0"}:
        (member,) = [name for name, each in RFC_6901.items() if each == held]
        assert get_document(data, run_id, "d").value == json_value(RFC_6901 | {member: "new"})
        delete_document(data, run_id, "d", pointer)
        left = {name: each for name, each in RFC_6901.items() if name != member}
        assert get_document(data, run_id, "d").value == json_value(left)


def check_no_place(stub: Stub, change: Any, run_id: str, pointer: str) -> None:
    """Check that a call is refused for its pointer, with the revision."""
    refusal = check_refused(
        change, Code.NOT_FOUND, "POINTER_NOT_FOUND", runId=run_id, document="d", pointer=pointer
    )
    assert refusal.revision == revision_of(stub)


def test_a_place_is_read(stub: Stub, data: Data) -> None:
    """With the version and the time of the document."""
    run_id = create(stub).run_id
    answer = set_document(data, run_id, "d", HELD)

    for pointer, held in PLACES.items():
        item = get_document(data, run_id, "d", pointer)
        assert item.value == json_value(held), pointer
        assert (item.version, item.write_time, item.deleted) == (1, answer.write_time, False)


def test_what_is_no_place_is_refused(stub: Stub, data: Data) -> None:
    """By a read and by a deletion, and nothing is changed."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", HELD)

    for pointer in NO_PLACES:
        check_no_place(stub, partial(get_document, data, run_id, "d", pointer), run_id, pointer)
        check_no_place(stub, partial(get_document, data, run_id, "d", pointer, 1), run_id, pointer)
        check_no_place(stub, partial(delete_document, data, run_id, "d", pointer), run_id, pointer)
    item = get_document(data, run_id, "d")
    assert (item.version, item.value) == (1, json_value(HELD))


@IN_MEMORY
def test_what_is_no_pointer_is_refused(stub: Stub, data: Data) -> None:
    """As an argument, before anything is looked for."""
    run_id = create(stub).run_id
    for pointer in NO_POINTERS:
        for change in (
            partial(get_document, data, run_id, "d", pointer),
            partial(set_document, data, run_id, "d", 1, pointer),
            partial(delete_document, data, run_id, "d", pointer),
        ):
            check_refused(change, Code.INVALID_ARGUMENT, "INVALID_FIELD", field="pointer")


SETS: Final[dict[str, tuple[Any, str, Any, Any]]] = {
    "a member is replaced": ({"a": 1, "b": 2}, "/a", [3], {"a": [3], "b": 2}),
    "a member is added": ({"a": 1}, "/b", None, {"a": 1, "b": None}),
    "a member without a name": ({}, "/", 1, {"": 1}),
    "a member named like an end": ({}, "/-", 1, {"-": 1}),
    "a member named like an index": ({}, "/0", 1, {"0": 1}),
    "a member with a slash": ({}, "/a~1b", 1, {"a/b": 1}),
    "a member with a tilde": ({}, "/~01", 1, {"~1": 1}),
    "an element is replaced": ([1, 2, 3], "/1", {"k": 1}, [1, {"k": 1}, 3]),
    "the last element is replaced": ([1, 2], "/1", 3, [1, 3]),
    "an element is appended": ([1], "/-", 2, [1, 2]),
    "an element is appended to none": ({"l": []}, "/l/-", None, {"l": [None]}),
    "deep within": ({"a": [{"b": {"c": 1}}]}, "/a/0/b/d", 2, {"a": [{"b": {"c": 1, "d": 2}}]}),
    "the whole": ({"a": 1}, "", [1], [1]),
}
"""What there was, the place, what is set, and what there is."""


@pytest.mark.parametrize(("before", "pointer", "held", "after"), SETS.values(), ids=SETS)
def test_a_place_is_set(
    stub: Stub, data: Data, clock: ManualClock, before: Any, pointer: str, held: Any, after: Any
) -> None:
    """The whole document is the new version; the one before is kept as it was."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", before)
    now_us = clock.advance(SECOND_US)

    answer = set_document(data, run_id, "d", held, pointer)

    assert (answer.version, micros(answer.write_time)) == (2, now_us)
    item = get_document(data, run_id, "d")
    assert (item.value, item.version, item.write_time) == (json_value(after), 2, answer.write_time)
    assert get_document(data, run_id, "d", version=1).value == json_value(before)
    assert [each.value for each in documents(data, run_id)] == [json_value(after)]


@pytest.mark.parametrize(
    ("before", "pointer"),
    [
        ({}, "/a/b"),
        ({"a": 1}, "/a/b"),
        ({"a": None}, "/a/b"),
        ({"a": "text"}, "/a/0"),
        ([1, 2], "/2"),
        ([1, 2], "/02"),
        ([1, 2], "/00"),
        ([1, 2], "/x"),
        ([1, 2], "/"),
        ([1, 2], "/-/0"),
        ([[1]], "/1/0"),
        (None, "/a"),
        (None, "/-"),
        ("text", "/0"),
        ("text", "/"),
        (1, "/0"),
    ],
)
def test_a_place_whose_parent_is_not_there(stub: Stub, data: Data, before: Any, pointer: str) -> None:
    """It is not made on the way: neither members of what is no object, nor elements behind the end."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", before)

    check_no_place(stub, partial(set_document, data, run_id, "d", 1, pointer), run_id, pointer)
    item = get_document(data, run_id, "d")
    assert (item.value, item.version) == (json_value(before), 1)


DELETES: Final[dict[str, tuple[Any, str, Any]]] = {
    "a member": ({"a": 1, "b": {"a": 2}}, "/a", {"b": {"a": 2}}),
    "the only member": ({"a": None}, "/a", {}),
    "a member without a name": ({"": 1, "a": 2}, "/", {"a": 2}),
    "the first element": ([1, 2, 3], "/0", [2, 3]),
    "an element between": ([1, 2, 3], "/1", [1, 3]),
    "the last element": ([1, 2, 3], "/2", [1, 2]),
    "the only element": ({"l": [[]]}, "/l/0", {"l": []}),
    "deep within": ([{"a": [0, {"b": 1, "c": 2}]}], "/0/a/1/b", [{"a": [0, {"c": 2}]}]),
}
"""What there was, the place, and what is left."""


@pytest.mark.parametrize(("before", "pointer", "after"), DELETES.values(), ids=DELETES)
def test_a_place_is_deleted(stub: Stub, data: Data, before: Any, pointer: str, after: Any) -> None:
    """The elements behind it move up. It is a version, and no deletion of the document."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", before)

    assert delete_document(data, run_id, "d", pointer).version == 2

    item = get_document(data, run_id, "d")
    assert (item.value, item.version, item.deleted) == (json_value(after), 2, False)
    assert get_document(data, run_id, "d", version=1).value == json_value(before)


def check_no_document(change: Any, run_id: str) -> None:
    """Check that a call is refused as there is no document."""
    check_refused(change, Code.NOT_FOUND, "DOCUMENT_NOT_FOUND", runId=run_id, document="d")


@pytest.mark.parametrize("was_there", [False, True])
def test_a_place_in_no_document(stub: Stub, data: Data, *, was_there: bool) -> None:
    """The document comes first; only a whole one is made by writing it."""
    run_id = create(stub).run_id
    if was_there:
        set_document(data, run_id, "d", {"a": [1]})
        delete_document(data, run_id, "d")

    for pointer in ("/a", "/a/0", "/-", "/"):
        check_no_document(partial(get_document, data, run_id, "d", pointer), run_id)
        check_no_document(partial(set_document, data, run_id, "d", 1, pointer), run_id)
        check_no_document(partial(delete_document, data, run_id, "d", pointer), run_id)
    assert documents(data, run_id) == []


def test_a_place_in_an_earlier_version(stub: Stub, data: Data) -> None:
    """Read by its number; in a deletion there is no place."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", {"a": [1]})
    set_document(data, run_id, "d", 2, "/a/0")
    delete_document(data, run_id, "d")
    set_document(data, run_id, "d", {"b": 3})

    for version, held in ((1, 1), (2, 2)):
        item = get_document(data, run_id, "d", "/a/0", version)
        assert (item.value, item.version) == (json_value(held), version)
    check_no_document(partial(get_document, data, run_id, "d", "/a/0", 3), run_id)
    check_no_document(partial(get_document, data, run_id, "d", "/a/0", 5), run_id)
    check_no_place(stub, partial(get_document, data, run_id, "d", "/a/0", 4), run_id, "/a/0")
    assert get_document(data, run_id, "d", version=3).deleted


@pytest.mark.parametrize("call", [set_document, delete_document])
def test_conditions_on_a_place_are_on_the_document(stub: Stub, data: Data, call: Any) -> None:
    """After the document, and before the place."""
    run_id = create(stub).run_id
    held = [1] if call is set_document else []
    check_no_document(partial(call, data, run_id, "d", *held, "/a", expected_version=0), run_id)
    set_document(data, run_id, "d", {"a": 0})

    for pointer in ("/a", "/a/b/c"):
        for expected in (0, 2):
            check_refused(
                partial(call, data, run_id, "d", *held, pointer, expected_version=expected),
                Code.ABORTED,
                "VERSION_MISMATCH",
                runId=run_id,
                expectedVersion=str(expected),
                currentVersion="1",
            )
    assert call(data, run_id, "d", *held, "/a", expected_version=1).version == 2
