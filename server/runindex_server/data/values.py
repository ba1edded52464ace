"""RunData's calls for values under keys, in the contract's order, each a function of one transaction.

Values are the wire form of `runindex.v1.DataValue`. Arguments have been checked; each function lists its
refusals in the order in which they are decided. StoreCorrupt, when a row is damaged, and for mutations
RequestIdReused, are understood.
"""

from typing import Final

from runindex_server.data.items import NumberedVersion, Operation, change_item, read_item
from runindex_server.data.listing import EncodeVersion, Page, PageRequest, page_of_items, page_of_versions
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import Conditions
from runindex_server.schema.answers import Answer
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.run import RetentionPolicy, RunId

PUT: Final = Operation(kind=ItemKind.VALUE, name="put value")
DELETE: Final = Operation(kind=ItemKind.VALUE, name="delete value", needs_item=True)


def put_value(
    txn: WriteTxn,
    run_id: RunId,
    key: str,
    value: bytes,
    conditions: Conditions,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Write a value under a key.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        VersionMismatch: The version of what is there is not the expected one.
    """
    return change_item(txn, run_id, key, PUT, conditions, lambda _: value, default_policy=default_policy)


def get_value(txn: ReadTxn, run_id: RunId, key: str, *, version: int | None) -> NumberedVersion:
    """Return the value under a key, or a version of it. Read-only.

    Raises:
        RunNotFound: No run has this id.
        ValueNotFound: Nothing is there, or no such version is kept.
    """
    return read_item(txn, run_id, ItemKind.VALUE, key, version=version)


def delete_value(
    txn: WriteTxn, run_id: RunId, key: str, conditions: Conditions, *, default_policy: RetentionPolicy
) -> Answer:
    """Delete the value under a key.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        ValueNotFound: Nothing is there.
        VersionMismatch: The version of what is there is not the expected one.
    """
    return change_item(txn, run_id, key, DELETE, conditions, lambda _: None, default_policy=default_policy)


def list_values(txn: ReadTxn, run_id: RunId, prefix: str, page: PageRequest, encode: EncodeVersion) -> Page:
    """Return a page of the keys that hold a value. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
    """
    return page_of_items(txn, run_id, ItemKind.VALUE, prefix, page, encode)


def get_value_history(
    txn: ReadTxn, run_id: RunId, key: str, page: PageRequest, encode: EncodeVersion
) -> Page:
    """Return a page of the kept versions of a key, newest first. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
    """
    return page_of_versions(txn, run_id, ItemKind.VALUE, key, page, encode)
