"""RunData's calls for state cells, in the contract's order, each a function of one transaction.

As `data.values`. A cell is never deleted.
"""

from typing import Final

from runindex_server.data.items import (
    Item,
    NumberedVersion,
    Operation,
    change_item,
    read_current,
    read_item,
)
from runindex_server.data.listing import EncodeVersion, Page, PageRequest, page_of_items
from runindex_server.errors import ValueMismatch
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import Conditions, RequestKey
from runindex_server.schema.answers import Answer
from runindex_server.schema.data_keys import ItemKind
from runindex_server.schema.run import RetentionPolicy, RunId, run_id_text

SET: Final = Operation(kind=ItemKind.CELL, name="set state")


def set_state(
    txn: WriteTxn,
    run_id: RunId,
    cell: str,
    value: bytes,
    conditions: Conditions,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Set a state cell.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        VersionMismatch: The version of what is there is not the expected one.
    """
    return change_item(txn, run_id, cell, SET, conditions, lambda _: value, default_policy=default_policy)


def get_state(txn: ReadTxn, run_id: RunId, cell: str, *, version: int | None) -> NumberedVersion:
    """Return a state cell, or a version of it. Read-only.

    Raises:
        RunNotFound: No run has this id.
        StateNotFound: It was never set, or no such version is kept.
    """
    return read_item(txn, run_id, ItemKind.CELL, cell, version=version)


def compare_and_set_state(
    txn: WriteTxn,
    run_id: RunId,
    cell: str,
    expected: bytes | None,
    value: bytes,
    request: RequestKey | None,
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Set a state cell while it holds the expected value.

    Args:
        txn: The write.
        run_id: The run.
        cell: The cell's name.
        expected: What it must hold; None for nothing. Equal values have equal encodings.
        value: What it shall hold.
        request: What makes the call safe to retry.
        default_policy: What acts on runs without a retention policy of their own.

    Raises:
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        ValueMismatch: The cell holds something else.
    """

    def edit(item: Item) -> bytes:
        held = read_current(txn, item)
        if (None if held is None else held.value) != expected:
            raise ValueMismatch(run_id_text(run_id), cell, current_version=item.current_version)
        return value

    return change_item(
        txn, run_id, cell, SET, Conditions(request=request), edit, default_policy=default_policy
    )


def list_states(txn: ReadTxn, run_id: RunId, prefix: str, page: PageRequest, encode: EncodeVersion) -> Page:
    """Return a page of the state cells. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
    """
    return page_of_items(txn, run_id, ItemKind.CELL, prefix, page, encode)
