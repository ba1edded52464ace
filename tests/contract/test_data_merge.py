"""Merging into documents, by RFC 7396."""

from functools import partial
from typing import Any, Final

import pytest
from grpc import StatusCode as Code

from tests.support.calls import Stub, check_refused, create
from tests.support.data_calls import (
    Data,
    delete_document,
    get_document,
    json_value,
    merge_document,
    set_document,
)

RFC_7396: Final[list[tuple[Any, Any, Any]]] = [
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
]
"""The table of appendix A: what there was, the patch, and the result."""

MERGES: Final[list[tuple[Any, Any, Any]]] = [
    ("text", {"a": 1}, {"a": 1}),
    (None, {}, {}),
    ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
    ({"a": 1}, {"a": {}}, {"a": {}}),
    ({"a": [1]}, {"a": {"b": {"c": None, "d": [None]}}}, {"a": {"b": {"d": [None]}}}),
    ({"a/b": 1, "~": 2}, {"a/b": None, "~": {"": 3}}, {"~": {"": 3}}),
    ({"a": 1}, {"b": None}, {"a": 1}),
]
"""Beside it: an object makes an object of what it is merged into, and nulls in lists stay."""


@pytest.mark.parametrize("table", [RFC_7396, MERGES], ids=["RFC 7396", "beside it"])
def test_merging(stub: Stub, data: Data, table: list[tuple[Any, Any, Any]]) -> None:
    """The result is a version, changed or not; the one before is kept as it was."""
    run_id = create(stub).run_id
    for place, (before, patch, after) in enumerate(table):
        name = f"d{place}"
        set_document(data, run_id, name, before)

        answer = merge_document(data, run_id, name, patch)

        item = get_document(data, run_id, name)
        assert (answer.version, item.version, item.value) == (2, 2, json_value(after)), patch
        assert get_document(data, run_id, name, version=1).value == json_value(before)


@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize(
    ("patch", "after"),
    [({"a": {"b": None, "c": 1}}, {"a": {"c": 1}}), ({"a": None}, {}), ([None], [None]), (None, None)],
)
def test_merging_into_nothing(stub: Stub, data: Data, patch: Any, after: Any, *, was_there: bool) -> None:
    """A document that is not there counts as an empty object; a version makes it, 0 being expected."""
    run_id = create(stub).run_id
    if was_there:
        set_document(data, run_id, "d", {"old": 1})
        delete_document(data, run_id, "d")

    for expected in (1, 2):
        check_refused(
            partial(merge_document, data, run_id, "d", patch, expected_version=expected),
            Code.ABORTED,
            "VERSION_MISMATCH",
            currentVersion="0",
        )
    answer = merge_document(data, run_id, "d", patch, expected_version=0)

    item = get_document(data, run_id, "d")
    assert answer.version == item.version == (3 if was_there else 1)
    assert (item.value, item.deleted) == (json_value(after), False)


def test_merging_on_the_expected_version(stub: Stub, data: Data) -> None:
    """Every other one is refused."""
    run_id = create(stub).run_id
    set_document(data, run_id, "d", {"a": 1})

    for expected in (0, 2):
        check_refused(
            partial(merge_document, data, run_id, "d", {"a": 2}, expected_version=expected),
            Code.ABORTED,
            "VERSION_MISMATCH",
            runId=run_id,
            currentVersion="1",
        )
    assert merge_document(data, run_id, "d", {"b": 2}, expected_version=1).version == 2
    assert get_document(data, run_id, "d").value == json_value({"a": 1, "b": 2})
