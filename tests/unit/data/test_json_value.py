"""JSON values: places by RFC 6901, merges by RFC 7396, and edits that leave the rest as it was."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from jsonpointer import JsonPointer, JsonPointerException

from runindex_server.data import json_value
from runindex_server.data.json_value import PlaceNotFoundError
from runindex_server.schema.metadata import NotJsonError
from tests.unit.data.world import decoded, encoded, value_of

RFC_6901 = {
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
    "~1": 9,
    "é": {"01": 10, "-": 11},
}


@pytest.mark.parametrize(
    ("pointer", "held"),
    [
        ("", RFC_6901),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/foo/1", "baz"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/~01", 9),
        ("/é/01", 10),
        ("/é/-", 11),
    ],
)
def test_a_pointer_names_a_place(pointer: str, held: Any) -> None:
    found = json_value.resolve(value_of(RFC_6901), JsonPointer(pointer))
    assert json_value.encode(found) == encoded(held)
    assert JsonPointer(pointer).path == pointer


NO_PLACES = (
    "/bar",
    "/foo/2",
    "/foo/00",
    "/foo/01",
    "/foo/+1",
    "/foo/-1",
    "/foo/1.0",
    "/foo/ 1",
    "/foo/1\n",
    "/foo/",
    "/foo/\u0661",
    "/foo/1e0",
    "/foo/bar",
    f"/foo/{'9' * 900}",
    "/foo/0/0",
    "/foo/-/0",
    "//0",
    "/a~1b/x",
    "/É",
)


@pytest.mark.parametrize("pointer", [*NO_PLACES, "/foo/-"])
def test_other_places_are_not_there(pointer: str) -> None:
    with pytest.raises(PlaceNotFoundError):
        json_value.resolve(value_of(RFC_6901), JsonPointer(pointer))
    value = value_of(RFC_6901)
    with pytest.raises(PlaceNotFoundError):
        json_value.remove(value, JsonPointer(pointer))
    assert json_value.encode(value) == encoded(RFC_6901)


@pytest.mark.parametrize("pointer", [each for each in NO_PLACES if each not in {"/bar", "/É"}])
def test_nothing_is_put_where_there_is_no_parent(pointer: str) -> None:
    value = value_of(RFC_6901)
    with pytest.raises(PlaceNotFoundError):
        json_value.put(value, JsonPointer(pointer), value_of(1))
    assert json_value.encode(value) == encoded(RFC_6901)


@pytest.mark.parametrize("text", ["a", "a/b", "~", "/~", "/~2", "/a~", "/~\n", "/~~0", "#/a", " /a"])
def test_what_is_no_pointer(text: str) -> None:
    with pytest.raises(JsonPointerException):
        JsonPointer(text)


@pytest.mark.parametrize(
    ("held", "pointer", "new", "result"),
    [
        ({"a": 1}, "/a", {"b": 2}, {"a": {"b": 2}}),
        ({"a": 1}, "/b", None, {"a": 1, "b": None}),
        ({"a": {"b": 1}}, "/a/c", [], {"a": {"b": 1, "c": []}}),
        ({"a": {"b": 1}}, "/a", {"c": 2}, {"a": {"c": 2}}),
        ([1, 2, 3], "/1", "x", [1, "x", 3]),
        ([1, 2], "/-", "x", [1, 2, "x"]),
        ([], "/-", [], [[]]),
        ({}, "/-", 1, {"-": 1}),
        ({}, "/0", 1, {"0": 1}),
        ({"": {"": 1}}, "//", 2, {"": {"": 2}}),
        ([[1], [2]], "/1/-", 3, [[1], [2, 3]]),
    ],
)
def test_put_changes_its_place_alone(held: Any, pointer: str, new: Any, result: Any) -> None:
    value = value_of(held)
    json_value.put(value, JsonPointer(pointer), value_of(new))
    assert json_value.encode(value) == encoded(result)


@pytest.mark.parametrize(
    ("held", "pointer", "result"),
    [
        ({"a": 1, "b": 2}, "/a", {"b": 2}),
        ({"a": {"b": None}}, "/a/b", {"a": {}}),
        ([1, 2, 3], "/0", [2, 3]),
        ([1, 2, 3], "/2", [1, 2]),
        ({"-": 1}, "/-", {}),
        ([[1]], "/0/0", [[]]),
    ],
)
def test_remove_takes_its_place_alone(held: Any, pointer: str, result: Any) -> None:
    value = value_of(held)
    json_value.remove(value, JsonPointer(pointer))
    assert json_value.encode(value) == encoded(result)


@pytest.mark.parametrize(
    ("held", "patch", "result"),
    [  # RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge(held: Any, patch: Any, result: Any) -> None:
    target, change = value_of(held), value_of(patch)
    assert json_value.encode(json_value.merge(target, change)) == encoded(result)
    assert json_value.encode(target) == encoded(held)
    assert json_value.encode(change) == encoded(patch)


def test_equal_values_have_equal_encodings() -> None:
    forwards, backwards = Value(), Value()
    names = [chr(0x61 + index) for index in range(20)]
    for value, order in ((forwards, names), (backwards, reversed(names))):
        for name in order:
            value.struct_value.fields[name].number_value = 1
    assert json_value.encode(forwards) == json_value.encode(backwards)
    assert encoded(1) == encoded(1.0)
    different: list[Any] = [None, False, 0, "", [], {}, "0", [None]]
    assert len(set(map(encoded, different))) == len(different)


@pytest.mark.parametrize(
    ("held", "depth"), [(1, 0), (None, 0), ([], 1), ({}, 1), ([[], 1], 2), ({"a": [{"b": 1}]}, 3)]
)
def test_depth(held: Any, depth: int) -> None:
    assert json_value.depth_of(value_of(held)) == depth


@pytest.mark.parametrize(
    "value",
    [
        Value(),
        Value(number_value=float("nan")),
        Value(number_value=float("inf")),
        Value(list_value=ListValue(values=[Value()])),
        Value(struct_value=Struct(fields={"a": Value(number_value=float("-inf"))})),
    ],
)
def test_what_json_has_not(value: Value) -> None:
    with pytest.raises(NotJsonError):
        json_value.depth_of(value)


def test_what_is_decoded_is_what_was_encoded() -> None:
    assert decoded(encoded(RFC_6901)) == RFC_6901
