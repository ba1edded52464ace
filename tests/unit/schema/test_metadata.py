"""Metadata: encoding, measuring and RFC 7396."""

import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value

from runindex_server.schema import metadata


def struct(**members: Any) -> Struct:  # Any JSON.
    made = Struct()
    made.update(members)
    return made


def test_equal_objects_have_equal_encodings_whatever_the_order_of_their_keys() -> None:
    one, other = struct(a=1, b={"c": 2, "d": 3}), struct(b={"d": 3, "c": 2}, a=1)

    assert metadata.encode(one) == metadata.encode(other)


def test_an_empty_object_is_the_same_as_none() -> None:
    assert metadata.encode(Struct()) == b""


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, metadata.Measure(depth=1, nodes=0)),
        ({"a": 1, "b": None}, metadata.Measure(depth=1, nodes=2)),
        ({"a": {"b": {"c": 1}}}, metadata.Measure(depth=3, nodes=3)),
        ({"a": [1, [2, {}]]}, metadata.Measure(depth=4, nodes=5)),
        ({"a": {}}, metadata.Measure(depth=2, nodes=1)),
    ],
)
def test_measures_levels_and_values(members: dict[str, Any], expected: metadata.Measure) -> None:
    assert metadata.measure(struct(**members)) == expected


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_refuses_numbers_that_json_has_not(number: float) -> None:
    with pytest.raises(metadata.NotJsonError):
        metadata.measure(struct(a=[{"b": number}]))


def test_refuses_a_value_of_no_kind() -> None:
    with pytest.raises(metadata.NotJsonError):
        metadata.measure(Struct(fields={"a": Value()}))


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    # The examples of RFC 7396, appendix A, that are objects.
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": [1, None]}, {"b": [None]}, {"a": [1, None], "b": [None]}),
        ({"a": {"keep": 1}}, {"a": {}}, {"a": {"keep": 1}}),
    ],
)
def test_merges_by_rfc_7396(target: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    merged = metadata.merge(metadata.encode(struct(**target)), metadata.encode(struct(**patch)))

    assert MessageToDict(merged) == expected
