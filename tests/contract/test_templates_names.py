"""How templates are named and listed, and how much one holds."""

from collections.abc import Iterator
from typing import Final

import pytest
from grpc import StatusCode as Code

from runindex.v1 import run_index_pb2 as index_pb
from runindex_server.limits import (
    METADATA_BYTES_MAX,
    NAME_BYTES_MAX,
    TAGS_MAX,
)
from tests.support.calls import check_refused, struct
from tests.support.consistency import check_store
from tests.support.server import LoopThread, RunningServer
from tests.support.stores import IN_MEMORY
from tests.support.template_methods import (
    KEEP_2,
    Templates,
    create_from,
    delete,
    get,
    list_all,
    put,
)


@pytest.fixture(autouse=True)
def sound(loop: LoopThread, server: RunningServer) -> Iterator[None]:
    """Check the store after each test."""
    yield
    loop.run(check_store(server.store))


def names(templates: Templates, prefix: str = "") -> list[str]:
    """Return the names of the templates that begin so."""
    return [template.name for template in list_all(templates, prefix)]


NAMES: Final = (
    " ",
    "!",
    "A",
    "a",
    "a ",
    "a/b",
    "a0",
    "aa",
    "b",
    "default",
    "e\u0301",
    "~",
    "é",
    "éa",
    "名",
    "\ue000",
    "\uffff",
    "🚀",
    "🚀a",
    "\U0010ffff",
)
"""Names in the order of their bytes: prefixes before what begins with them, and the last planes last."""


def test_lists_are_in_the_order_of_the_names_bytes(templates: Templates) -> None:
    """However they were written; each with all that it is."""
    assert sorted(NAMES, key=str.encode) == list(NAMES)
    for name in (*NAMES[::2], *NAMES[::-2]):
        put(templates, name, tags=["a"], metadata={"name": name}, retention=KEEP_2)

    listed = list_all(templates)

    assert [template.name for template in listed] == list(NAMES)
    assert listed == [get(templates, name) for name in NAMES]
    assert [template.metadata for template in listed] == [struct({"name": name}) for name in NAMES]


def test_a_list_by_prefix(templates: Templates) -> None:
    """Exactly the names that begin so: themselves, and what goes on."""
    for name in NAMES:
        put(templates, name)

    for prefix in (*NAMES, "", "none", "a/", "aab", "de", "\U0010fffe", "e", "x" * 128, "é" * 64):
        assert names(templates, prefix) == [name for name in NAMES if name.startswith(prefix)]


@IN_MEMORY
@pytest.mark.parametrize("over", [-1, 0, 1])
@pytest.mark.parametrize("char", ["x", "é", "🚀"])
def test_the_length_of_a_name(templates: Templates, char: str, over: int) -> None:
    """1 to 128 bytes, in whatever characters."""
    size, width = NAME_BYTES_MAX + over, len(char.encode())
    name = char * (size // width) + "x" * (size % width)

    if over <= 0:
        put(templates, name)
        assert get(templates, name).name == name
        assert names(templates, name) == [name]
        create_from(templates, name)
        delete(templates, name)
        return
    for call in (put, get, delete, create_from):
        check_refused(
            lambda call=call: call(templates, name), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="name"
        )
    check_refused(lambda: list_all(templates, name), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="prefix")


@IN_MEMORY
@pytest.mark.parametrize("bad", ["\x00", "a\nb", "\x7f", "\x85", "\u009f", "tab\t"])
def test_names_have_no_control_characters(templates: Templates, bad: str) -> None:
    """In no call; neither has a prefix."""
    for call in (put, get, delete, create_from):
        check_refused(
            lambda call=call: call(templates, bad), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="name"
        )
    check_refused(lambda: list_all(templates, bad), Code.INVALID_ARGUMENT, "INVALID_FIELD", field="prefix")


@IN_MEMORY
def test_a_name_is_required(templates: Templates) -> None:
    """By every call for one template."""
    for call in (put, get, delete, create_from):
        check_refused(
            lambda call=call: call(templates, ""), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", field="name"
        )


def test_names_are_told_apart_by_their_bytes(templates: Templates) -> None:
    """Case, accents as they are composed, and spaces matter."""
    for number, name in enumerate(("a", "A", "a ", "é", "e\u0301")):
        put(templates, name, metadata={"n": number})

    assert get(templates, "é").metadata == struct({"n": 3})
    assert get(templates, "e\u0301").metadata == struct({"n": 4})
    delete(templates, "a")
    assert names(templates) == ["A", "a ", "e\u0301", "é"]


# Bounds of what a template holds.


@IN_MEMORY
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_tags_of_a_template(templates: Templates, over: int) -> None:
    """As many as a run can have; duplicates do not count."""
    tags = [f"tag {number}" for number in range(TAGS_MAX + over)]

    if over <= 0:
        put(templates, tags=[*tags, *tags])
        assert list(get(templates).tags) == tags
    else:
        check_refused(lambda: put(templates, tags=tags), Code.INVALID_ARGUMENT, "INVALID_TAG", field="tags")


@IN_MEMORY
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_metadata_of_a_template(templates: Templates, over: int) -> None:
    """As large as a run's can be."""
    overhead = struct({"k": "x" * 40_000}).ByteSize() - 40_000
    metadata = {"k": "x" * (METADATA_BYTES_MAX + over - overhead)}
    assert struct(metadata).ByteSize() == METADATA_BYTES_MAX + over

    if over <= 0:
        put(templates, metadata=metadata)
        assert get(templates).metadata == struct(metadata)
    else:
        check_refused(
            lambda: put(templates, metadata=metadata),
            Code.INVALID_ARGUMENT,
            "INVALID_METADATA",
            field="metadata",
        )


@IN_MEMORY
@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (index_pb.RetentionPolicy(), "retention"),
        (index_pb.RetentionPolicy(keep_latest_n=0), "retention.keep_latest_n"),
        (index_pb.RetentionPolicy(keep_latest_n=2**53 + 1), "retention.keep_latest_n"),
        (index_pb.RetentionPolicy(keep_duration={}), "retention.keep_duration"),
        (index_pb.RetentionPolicy(keep_duration={"nanos": 1_500}), "retention.keep_duration"),
        (index_pb.RetentionPolicy(delete_after={"seconds": -1}), "retention.delete_after"),
    ],
)
def test_a_policy_out_of_bounds_is_refused(
    templates: Templates, policy: index_pb.RetentionPolicy, field: str
) -> None:
    """In a template, and in what is asked beside one."""
    put(templates, "there")
    for call in (
        lambda: put(templates, retention=policy),
        lambda: create_from(templates, "there", retention=policy),
    ):
        check_refused(call, Code.INVALID_ARGUMENT, "INVALID_RETENTION_POLICY", field=field)
    assert names(templates) == ["there"]
