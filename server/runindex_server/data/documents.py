"""RunData's calls for JSON documents, in the contract's order, each a function of one transaction.

As `data.values`, but that values are encoded as `data.json_value` does.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from google.protobuf.struct_pb2 import Value
from jsonpointer import JsonPointer

from runindex_server import limits
from runindex_server.data import json_value
from runindex_server.data.items import (
    Item,
    NumberedVersion,
    Operation,
    change_item,
    read_current,
    read_item,
)
from runindex_server.data.listing import EncodeVersion, Page, PageRequest, page_of_items
from runindex_server.errors import DocumentNotFound, LimitExceeded, PointerNotFound
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import Conditions
from runindex_server.schema.answers import Answer
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.run import RetentionPolicy, RunId, run_id_text

SET: Final = Operation(kind=ItemKind.DOCUMENT, name="set document")
SET_PLACE: Final = replace(SET, needs_item=True)
MERGE: Final = Operation(kind=ItemKind.DOCUMENT, name="merge document")
DELETE: Final = Operation(kind=ItemKind.DOCUMENT, name="delete document", needs_item=True)


def set_document(
    txn: WriteTxn,
    run_id: RunId,
    document: str,
    pointer: JsonPointer,
    value: bytes,
    conditions: Conditions,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Write a document, or a place in it.

    Args:
        txn: The write.
        run_id: The run.
        document: Its name.
        pointer: Where; empty for the whole document.
        value: What shall be there, encoded.
        conditions: On what it depends.
        default_policy: What acts on runs without a retention policy of their own.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        DocumentNotFound: Nothing is there, for a place in it.
        VersionMismatch: The version of what is there is not the expected one.
        PointerNotFound: It has no such place.
        LimitExceeded: The whole document would pass a bound.
    """

    def edit(item: Item) -> bytes:
        if not pointer.parts:
            return value
        new = Value.FromString(value)
        return _edited(txn, item, pointer, lambda held: json_value.put(held, pointer, new))

    operation = SET_PLACE if pointer.parts else SET
    return change_item(txn, run_id, document, operation, conditions, edit, default_policy=default_policy)


def get_document(
    txn: ReadTxn, run_id: RunId, document: str, pointer: JsonPointer, *, version: int | None
) -> NumberedVersion:
    """Return a document, or a version of it, cut to a place. Read-only.

    Raises:
        RunNotFound: No run has this id.
        DocumentNotFound: Nothing is there, no such version is kept, or it is a deletion and has no places.
        PointerNotFound: It has no such place.
    """
    found = read_item(txn, run_id, ItemKind.DOCUMENT, document, version=version)
    if not pointer.parts:
        return found
    if found.content.is_deleted:
        raise DocumentNotFound(run_id_text(run_id), document, version=version)
    whole = Value.FromString(found.content.value)
    try:
        part = json_value.resolve(whole, pointer)
    except json_value.PlaceNotFoundError:
        raise PointerNotFound(run_id_text(run_id), document, pointer.path) from None
    return replace(found, content=replace(found.content, value=json_value.encode(part)))


def merge_document(
    txn: WriteTxn,
    run_id: RunId,
    document: str,
    patch: bytes,
    conditions: Conditions,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Merge a patch into a document, or into an empty object when there is none.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        VersionMismatch: The version of what is there is not the expected one.
        LimitExceeded: The whole document would pass a bound.
    """

    def edit(item: Item) -> bytes:
        held = read_current(txn, item)
        whole = Value() if held is None else Value.FromString(held.value)
        return _within_bounds(item, json_value.merge(whole, Value.FromString(patch)))

    return change_item(txn, run_id, document, MERGE, conditions, edit, default_policy=default_policy)


def delete_document(
    txn: WriteTxn,
    run_id: RunId,
    document: str,
    pointer: JsonPointer,
    conditions: Conditions,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Delete a document, or a place in it.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        DocumentNotFound: Nothing is there.
        VersionMismatch: The version of what is there is not the expected one.
        PointerNotFound: It has no such place.
    """

    def edit(item: Item) -> bytes | None:
        if not pointer.parts:
            return None
        return _edited(txn, item, pointer, lambda held: json_value.remove(held, pointer))

    return change_item(txn, run_id, document, DELETE, conditions, edit, default_policy=default_policy)


def list_documents(
    txn: ReadTxn, run_id: RunId, prefix: str, page: PageRequest, encode: EncodeVersion
) -> Page:
    """Return a page of the documents. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
    """
    return page_of_items(txn, run_id, ItemKind.DOCUMENT, prefix, page, encode)


def _edited(txn: WriteTxn, item: Item, pointer: JsonPointer, edit: Callable[[Value], None]) -> bytes:
    """Return a document that is there as an edit leaves it.

    Raises:
        PointerNotFound: It has not the place to edit.
        LimitExceeded: As `_within_bounds`.
    """
    held = read_current(txn, item)
    assert held is not None, "a place is edited only in what is there"
    whole = Value.FromString(held.value)
    try:
        edit(whole)
    except json_value.PlaceNotFoundError:
        raise PointerNotFound(run_id_text(item.run.run_id), item.name, pointer.path) from None
    return _within_bounds(item, whole)


def _within_bounds(item: Item, whole: Value) -> bytes:
    """Return the encoding of a document.

    Raises:
        LimitExceeded: It passes a bound.
    """
    run_id = run_id_text(item.run.run_id)
    if json_value.depth_of(whole) > limits.DATA_DEPTH_MAX:
        raise LimitExceeded(run_id, limit="levels of a document", maximum=limits.DATA_DEPTH_MAX)
    encoded = json_value.encode(whole)
    if len(encoded) > limits.DATA_VALUE_BYTES_MAX:
        raise LimitExceeded(run_id, limit="bytes of a document", maximum=limits.DATA_VALUE_BYTES_MAX)
    return encoded
