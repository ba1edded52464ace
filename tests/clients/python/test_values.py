"""Metadata, errors and other values, without any call."""

import copy
import math
import pickle
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import runindex
from runindex import RunState
from runindex._metadata import data_value_of, dict_of, struct_of, value_of
from runindex._refusals import BY_REASON
from runindex.v1 import run_index_pb2 as pb

LOOP: dict[str, Any] = {}
LOOP["itself"] = LOOP


@pytest.mark.parametrize(
    ("metadata", "path", "why"),
    [
        ({"a": 2**53 + 1}, "metadata['a']", "2**53"),
        ({"a": [0, -(2**60)]}, "metadata['a'][1]", "send it as a string"),
        ({"a": {"b": math.nan}}, "metadata['a']['b']", "is nan"),
        ({"a": math.inf}, "metadata['a']", "is inf"),
        ({"a": {1: 2}}, "metadata['a']", "the key 1, an int"),
        ({"a": {3}}, "metadata['a']", "is a set"),
        ({"a": b"x"}, "metadata['a']", "is a bytes"),
        ({"a": object()}, "metadata['a']", "is an object"),
        ({"a": "\ud800"}, "metadata['a']", "surrogate"),
        ([1], "metadata", "is a list"),
        (LOOP, "metadata" + "['itself']" * 100, "levels deep"),
    ],
)
def test_what_would_be_changed_on_the_way_is_refused(metadata: Any, path: str, why: str) -> None:
    with pytest.raises(runindex.InvalidMetadata) as caught:
        struct_of(metadata)

    assert caught.value.path == path
    assert why in str(caught.value)
    assert path in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_METADATA")


def test_a_value_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(runindex.InvalidField) as caught:
        data_value_of({"a": [math.nan]})

    assert (caught.value.path, caught.value.field) == ("value['a'][0]", "value")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_metadata_comes_back_as_it_went(metadata: dict[str, Any]) -> None:
    sent = struct_of(metadata)

    assert sent is not None
    assert dict_of(type(sent).FromString(sent.SerializeToString())) == metadata


@given(JSON | st.binary())
def test_values_come_back_as_they_went(value: Any) -> None:
    assert value_of(data_value_of(value)) == value


def test_whole_numbers_come_back_as_int() -> None:
    back = value_of(data_value_of([1, 2.0, 2.5, 1e300, True, -0.0]))

    assert [type(item) for item in back] == [int, int, float, float, bool, float]


def test_states() -> None:
    assert RunState("failed") is RunState.FAILED is RunState("FAILED")
    assert RunState("LATER") is RunState.UNKNOWN
    assert {f"RUN_STATE_{state}" for state in RunState} - {"RUN_STATE_UNKNOWN"} == set(pb.RunState.keys()) - {
        "RUN_STATE_UNSPECIFIED"
    }


def test_every_class_of_a_reason_is_of_the_contract() -> None:
    assert {f"ERROR_REASON_{reason}" for reason in BY_REASON} <= set(pb.ErrorReason.keys())


@pytest.mark.parametrize("kind", [*BY_REASON.values(), runindex.RunIndexError])
def test_errors_can_be_copied(kind: type[runindex.RunIndexError]) -> None:
    error = kind(grpc.StatusCode.ABORTED, "R", "no", {"runId": "x", "revision": "3"})

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is kind
        assert (twin.code, twin.run_id, twin.revision, str(twin)) == (error.code, "x", 3, "R: no")


def test_runs_are_values() -> None:
    assert hash(runindex.KeepLatest(1)) == hash(runindex.KeepLatest(1))
    with pytest.raises(AttributeError):
        runindex.KeepLatest(1).count = 2  # type: ignore[misc]  # That is the point.
