"""How keys, state cells and documents are named, and how they are listed."""

from typing import Final

import pytest
from grpc import StatusCode as Code

from tests.support.calls import DEFAULT, UNKNOWN_ID, Stub, check_refused, create
from tests.support.data_calls import Data
from tests.support.data_methods import KINDS, Kind, build, call
from tests.support.stores import IN_MEMORY

every_kind: Final = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

NAMES: Final = (
    " ",
    "!",
    "/",
    "A",
    "Z",
    "a",
    "a ",
    "a/b",
    "a0",
    "aa",
    "ab",
    "b",
    "default",
    "e\u0301",
    "~",
    "é",
    "éa",
    "ü",
    "名",
    "\ue000",
    "\uffff",
    "🚀",
    "🚀a",
    "\U0010ffff",
)
"""Names in the order of their bytes: prefixes before what begins with them, and the last planes last."""


def test_the_names_are_in_order() -> None:
    """Which is neither that of any language, nor that of UTF-16."""
    assert sorted(NAMES, key=str.encode) == list(NAMES)
    assert sorted(NAMES, key=lambda name: name.encode("utf-16-be")) != list(NAMES)


@every_kind
def test_lists_are_in_the_order_of_the_names_bytes(stub: Stub, data: Data, kind: Kind) -> None:
    """However they were written, and each with its own value."""
    run_id = create(stub).run_id
    for name in (*NAMES[::2], *NAMES[::-2]):
        kind.put(data, run_id, name, name)

    assert kind.names(data, run_id) == list(NAMES)
    answer = call(data, kind.lists, build(kind.lists, run_id))
    assert [item.value for item in answer.items] == [kind.wrap(name) for name in NAMES]
    assert [kind.get(data, run_id, name).value for name in NAMES] == [kind.wrap(name) for name in NAMES]


@every_kind
def test_a_list_by_prefix(stub: Stub, data: Data, kind: Kind) -> None:
    """Exactly the names that begin so: themselves, and what goes on."""
    run_id = create(stub).run_id
    for name in NAMES:
        kind.put(data, run_id, name, 1)

    for prefix in (*NAMES, "", "none", "a/", "aab", "de", "\U0010fffe", "e", "x" * 128, "é" * 64):
        assert kind.names(data, run_id, prefix) == [name for name in NAMES if name.startswith(prefix)]


@every_kind
def test_a_list_of_names_only(stub: Stub, data: Data, kind: Kind) -> None:
    """Values are left out, and nothing else."""
    run_id = create(stub).run_id
    for name in ("a", "b", "b"):
        kind.put(data, run_id, name, {"n": name})

    full = call(data, kind.lists, build(kind.lists, run_id)).items
    bare = call(data, kind.lists, build(kind.lists, run_id, names_only=True)).items

    assert [(kind.name_of(item), item.version) for item in full] == [("a", 1), ("b", 2)]
    assert all(item.HasField("value") and item.HasField("write_time") for item in full)
    assert not any(item.HasField("value") for item in bare)
    for item in full:
        item.ClearField("value")
    assert list(bare) == list(full)


@every_kind
def test_a_list_is_of_one_run_and_one_kind(stub: Stub, data: Data, kind: Kind) -> None:
    """What other runs hold, and what is of another kind, is not in it."""
    first, second = create(stub).run_id, create(stub).run_id
    kind.put(data, first, "mine", 1)
    kind.put(data, second, "theirs", 1)
    kind.put(data, DEFAULT, "its own", 1)
    for other in KINDS.values():
        if other is not kind:
            other.put(data, first, "another kind", 1)

    assert kind.names(data, first) == ["mine"]
    assert kind.names(data, second) == ["theirs"]
    assert kind.names(data, DEFAULT) == ["its own"]
    assert kind.names(data, create(stub, run_id=UNKNOWN_ID).run_id) == []


BAD_NAMES: Final = ("\x00", "a\nb", "\x7f", "\x85", "\u009f", "tab\t")


@IN_MEMORY
@every_kind
@pytest.mark.parametrize("bad", BAD_NAMES)
def test_names_have_no_control_characters(stub: Stub, data: Data, kind: Kind, bad: str) -> None:
    """In no call; neither has a prefix."""
    run_id = create(stub).run_id
    calls = [(kind.write, kind.field), (kind.read, kind.field), (kind.lists, "prefix")]
    if kind.delete:
        calls.append((kind.delete, kind.field))

    for name, field in calls:
        check_refused(
            lambda name=name, field=field: call(data, name, build(name, run_id, **{field: bad})),
            Code.INVALID_ARGUMENT,
            "INVALID_FIELD",
            field=field,
        )
