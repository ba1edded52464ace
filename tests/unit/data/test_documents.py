"""JSON documents: places, merges, and the bounds of the whole."""

from typing import Any

import pytest
from jsonpointer import JsonPointer

from runindex_server import limits
from runindex_server.data import documents
from runindex_server.errors import DocumentNotFound, LimitExceeded, PointerNotFound, VersionMismatch
from tests.unit.data.world import ANY, World, decoded, encoded, expecting

WHOLE = JsonPointer("")


def set_place(world: World, pointer: str, held: Any) -> Any:
    return world.call(documents.set_document, "d", JsonPointer(pointer), encoded(held), ANY)


def delete_place(world: World, pointer: str) -> Any:
    return world.call(documents.delete_document, "d", JsonPointer(pointer), ANY)


def merge(world: World, patch: Any) -> Any:
    return world.call(documents.merge_document, "d", encoded(patch), ANY)


def get(world: World, pointer: str = "", version: int | None = None) -> Any:
    found = world.ask(documents.get_document, "d", JsonPointer(pointer), version=version)
    return decoded(found.content.value)


def test_each_edit_is_a_version(world: World) -> None:
    numbers = [
        set_place(world, "", {"a": [1, 2]}).version,
        set_place(world, "/a/-", {"b": None}).version,
        set_place(world, "/a/2/b", "x").version,
        delete_place(world, "/a/0").version,
        merge(world, {"c": 1, "a": None}).version,
        delete_place(world, "").version,
        merge(world, {"d": {"e": None}}).version,
    ]
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    assert [get(world, version=number) for number in (1, 2, 3, 4, 5, 7)] == [
        {"a": [1, 2]},
        {"a": [1, 2, {"b": None}]},
        {"a": [1, 2, {"b": "x"}]},
        {"a": [2, {"b": "x"}]},
        {"c": 1},
        {"d": {}},
    ]
    assert get(world, "/a/1/b", version=4) == "x"


def test_a_place_needs_the_document(world: World) -> None:
    for write in (lambda: set_place(world, "/a", 1), lambda: delete_place(world, "/a")):
        with pytest.raises(DocumentNotFound):
            write()
    with pytest.raises(DocumentNotFound):
        get(world, "/a")
    set_place(world, "", {"a": 1})
    delete_place(world, "")
    with pytest.raises(DocumentNotFound):
        set_place(world, "/a", 1)


def test_a_deletion_has_no_places(world: World) -> None:
    set_place(world, "", {"a": 1})
    delete_place(world, "")
    assert world.ask(documents.get_document, "d", WHOLE, version=2).content.is_deleted
    with pytest.raises(DocumentNotFound) as refusal:
        get(world, "/a", version=2)
    assert "version 2" in refusal.value.message
    with pytest.raises(DocumentNotFound):
        get(world)


def test_the_version_comes_before_the_place(world: World) -> None:
    set_place(world, "", {})
    for method, args in (
        (documents.set_document, (JsonPointer("/a/b"), encoded(1))),
        (documents.delete_document, (JsonPointer("/a/b"),)),
    ):
        with pytest.raises(VersionMismatch):
            world.call(method, "d", *args, expecting(0))
        with pytest.raises(PointerNotFound) as refusal:
            world.call(method, "d", *args, expecting(1))
        assert refusal.value.metadata["pointer"] == "/a/b"
    with pytest.raises(PointerNotFound):
        get(world, "/a")


def test_an_edit_that_fails_leaves_the_document(world: World) -> None:
    set_place(world, "", {"a": [1]})
    before = world.rows()
    for pointer in ("/a/1", "/a/-/b", "/b/c", "/a/00"):
        with pytest.raises(PointerNotFound):
            set_place(world, pointer, 1)
    for pointer in ("/a/1", "/a/-", "/b"):
        with pytest.raises(PointerNotFound):
            delete_place(world, pointer)
    assert world.rows() == before


def text_that_fills(held: dict[str, Any], key: str) -> str:
    """Return the longest text that a document takes under a key."""
    size = limits.DATA_VALUE_BYTES_MAX
    while len(encoded({**held, key: "x" * size})) > limits.DATA_VALUE_BYTES_MAX:
        size -= len(encoded({**held, key: "x" * size})) - limits.DATA_VALUE_BYTES_MAX
    return "x" * size


@pytest.mark.parametrize("write", [lambda world, text: set_place(world, "/b", text), None])
def test_the_whole_document_has_bounds_in_bytes(world: World, write: Any) -> None:
    write = write or (lambda world, text: merge(world, {"b": text}))
    held = {"a": "y" * 100_000}
    set_place(world, "", held)
    longest = text_that_fills(held, "b")

    for text in (longest[1:], longest):
        write(world, text)
    assert get(world, "/b") == longest
    before = world.rows()
    with pytest.raises(LimitExceeded) as refusal:
        write(world, longest + "x")
    assert refusal.value.metadata["limit"] == "bytes of a document"
    assert refusal.value.metadata["maximum"] == str(limits.DATA_VALUE_BYTES_MAX)
    assert world.rows() == before


def nested(levels: int) -> Any:
    held: Any = 1
    for _ in range(levels):
        held = {"k": held}
    return held


def test_the_whole_document_has_bounds_in_levels(world: World) -> None:
    set_place(world, "", nested(10))
    pointer = "/k" * 10
    for levels in (9, 10):
        set_place(world, pointer, nested(levels))
    assert get(world) == nested(limits.DATA_DEPTH_MAX)
    for levels in (11, limits.DATA_DEPTH_MAX):
        with pytest.raises(LimitExceeded) as refusal:
            set_place(world, pointer, nested(levels))
        assert refusal.value.metadata["limit"] == "levels of a document"
    assert get(world) == nested(limits.DATA_DEPTH_MAX)
