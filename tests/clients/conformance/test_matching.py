"""What is expected, compared with what came: what is the same, and how each difference is told."""

import json
from typing import Any

import pytest

from tests.clients.conformance.matching import NOTHING, MismatchError, check, filled, found

SAME = [
    ({}, {}),
    ({}, {"a": 1}),
    ({"a": {"b": "x"}}, {"a": {"b": "x", "c": "y"}, "d": []}),
    ({"a": None}, {}),
    ({"a": None}, {"a": None}),
    ([None, "x"], [None, "x"]),
    ([], []),
    ([{"a": 1}, {}], [{"a": 1, "b": 2}, {"c": 3}]),
    ("", ""),
    (1, 1.0),
    (1.0, 1),
    (0, -0.0),
    (1e300, 1e300),
    (False, False),
]

DIFFERENT = [
    ("2", "1", 'response: expected "2", got "1"'),
    ("ü", "u", 'response: expected "ü", got "u"'),
    ("1", 1, 'response: expected "1", got 1'),
    (1, "1", 'response: expected 1, got "1"'),
    (1, 2.5, "response: expected 1, got 2.5"),
    (1, True, "response: expected 1, got true"),
    (False, 0, "response: expected false, got 0"),
    (True, False, "response: expected true, got false"),
    ("", None, 'response: expected "", got null'),
    ({"a": ""}, {}, 'response.a: expected "", got nothing'),
    ({"a": {}}, {}, "response.a: expected {}, got nothing"),
    ({"a": {}}, {"a": None}, "response.a: expected {}, got null"),
    ({"a": {}}, {"a": []}, "response.a: expected {}, got []"),
    ({"a": []}, {"a": {}}, "response.a: expected [], got {}"),
    ({"a": []}, {}, "response.a: expected [], got nothing"),
    ({"a": None}, {"a": ""}, 'response.a: expected null, got ""'),
    ({"a": None}, {"a": {}}, "response.a: expected null, got {}"),
    ({"a": None}, {"a": False}, "response.a: expected null, got false"),
    (["a"], ["a", "b"], 'response: expected ["a"], got ["a", "b"]'),
    (["a", "b"], ["a"], 'response: expected ["a", "b"], got ["a"]'),
    (["a", "b"], ["b", "a"], 'response.0: expected "a", got "b"'),
    ([None], [0], "response.0: expected null, got 0"),
    (
        {"a": [{}, {"b": {"c": ["x"]}}]},
        {"a": [{}, {"b": {"c": ["y"]}}]},
        'response.a.1.b.c.0: expected "x", got "y"',
    ),
]


@pytest.mark.parametrize(("expected", "got"), SAME, ids=json.dumps)
def test_the_same(expected: Any, got: Any) -> None:
    check(expected, got, "response")


@pytest.mark.parametrize(("expected", "got", "told"), DIFFERENT, ids=json.dumps)
def test_a_difference(expected: Any, got: Any, told: str) -> None:
    with pytest.raises(MismatchError) as caught:
        check(expected, got, "response")

    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("a", {"b": ["x", {"c": None}]}),
        ("a.b.0", "x"),
        ("a.b.1.c", None),
        ("a.c", NOTHING),
        ("a.b.2", NOTHING),
        ("a.b.-1", NOTHING),
        ("a.b.x", NOTHING),
        ("a.b.0.x", NOTHING),
        ("", NOTHING),
    ],
)
def test_a_path(path: str, there: Any) -> None:
    assert found({"a": {"b": ["x", {"c": None}]}}, path) == there


def test_names_are_filled_in_once() -> None:
    kept = {"run": {"id": "$other"}, "text": "$"}

    assert filled({"a": ["$run", "$text", "$$run", "x$run", "$$", 1, None]}, kept, "request") == {
        "a": [{"id": "$other"}, "$", "$run", "x$run", "$", 1, None]
    }


@pytest.mark.parametrize("name", ["$other", "$", "$run.id", "$run "])
def test_a_name_that_was_not_kept(name: str) -> None:
    with pytest.raises(
        MismatchError, match=r"^request\.a\.1: expected what an earlier step kept as .*, got nothing$"
    ):
        filled({"a": ["x", name]}, {"run": "id"}, "request")
