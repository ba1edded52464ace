"""Keys, state cells and documents: items with versions, which are written and read in the same way.

A write of an item makes its next version, a deletion too, so that its versions never start again within the
run's life.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from runindex_server.data.writing import note_activity, open_run
from runindex_server.errors import (
    DocumentNotFound,
    RunIndexError,
    StateNotFound,
    StoreCorrupt,
    ValueNotFound,
    VersionMismatch,
)
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.runs.mutation import Conditions, load, recall, remember
from runindex_server.schema import due
from runindex_server.schema.answers import Answer
from runindex_server.schema.data_keys import DataKeys, ItemKind, ItemVersionRef
from runindex_server.schema.holdings import Holding, add_holding
from runindex_server.schema.items import (
    ItemHead,
    ItemVersion,
    decode_version,
    encode_head,
    encode_version,
    find_head,
)
from runindex_server.schema.run import RetentionPolicy, Run, RunId, run_id_text


@dataclass(frozen=True, slots=True)
class ItemRules:
    """What tells a kind of item from the others.

    Attributes:
        noun: What it is called, before its name.
        holding: As what it is counted while it is there.
        not_found: The refusal when it, or a version of it, is not there.
    """

    noun: str
    holding: Holding
    not_found: type[ValueNotFound | StateNotFound | DocumentNotFound]


RULES: Final[Mapping[ItemKind, ItemRules]] = {
    ItemKind.VALUE: ItemRules("the key", Holding.KV_KEYS, ValueNotFound),
    ItemKind.CELL: ItemRules("the state cell", Holding.STATE_CELLS, StateNotFound),
    ItemKind.DOCUMENT: ItemRules("the document", Holding.DOCUMENTS, DocumentNotFound),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is done to an item.

    Attributes:
        kind: Of the item.
        name: Of the operation, for the refusal: `put value`.
        needs_item: Whether the item must be there.
    """

    kind: ItemKind
    name: str
    needs_item: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item as a transaction finds it.

    Attributes:
        head: Where its versions stand; None when it was never written.
        is_there: Whether it holds something: it was written, and not deleted since.
    """

    run: Run
    kind: ItemKind
    name: str
    head: ItemHead | None
    is_there: bool

    @property
    def current_version(self) -> int:
        """The version of what is there; 0 when nothing is."""
        return self.head.version if self.head is not None and self.is_there else 0

    def not_found(self, version: int | None = None) -> RunIndexError:
        """Return the refusal that it, or a version of it, is not there."""
        return RULES[self.kind].not_found(run_id_text(self.run.run_id), self.name, version=version)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedVersion:
    """A version of an item, with what its key says.

    Attributes:
        name: Of the item.
        number: Of the version, from 1.
        content: What the version is.
    """

    name: str
    number: int
    content: ItemVersion


def find_item(txn: ReadTxn | WriteTxn, run: Run, kind: ItemKind, name: str) -> Item:
    """Return an item, whether it is there or not. Read-only.

    Raises:
        StoreCorrupt: Its head is damaged.
    """
    found = find_head(txn, DataKeys.of(run), kind, name)
    if found is None:
        return Item(run=run, kind=kind, name=name, head=None, is_there=False)
    return Item(run=run, kind=kind, name=name, head=found.head, is_there=found.is_there)


def read_item(
    txn: ReadTxn, run_id: RunId, kind: ItemKind, name: str, *, version: int | None
) -> NumberedVersion:
    """Return a version of an item, a deletion too, or what is there when none is asked for. Read-only.

    Raises:
        RunNotFound: No run has this id.
        ValueNotFound, StateNotFound, DocumentNotFound: Nothing is there, or no such version is kept.
        StoreCorrupt: A row is damaged.
    """
    run = load(txn, run_id)
    item = find_item(txn, run, kind, name)
    if version is None:
        content = read_current(txn, item)
        if content is None:
            raise item.not_found()
        return NumberedVersion(name=name, number=item.current_version, content=content)
    key = DataKeys.of(run).item_version(kind, name, version)
    value = txn.get(key)
    if value is None:
        raise item.not_found(version)
    return NumberedVersion(name=name, number=version, content=decode_version(key, value))


def read_current(txn: ReadTxn | WriteTxn, item: Item) -> ItemVersion | None:
    """Return the version of what is there; None when nothing is. Read-only.

    Raises:
        StoreCorrupt: The version is missing or damaged.
    """
    if not item.is_there:
        return None
    return read_version(txn, item.run, item.kind, item.name, item.current_version)


def read_version(txn: ReadTxn | WriteTxn, run: Run, kind: ItemKind, name: str, number: int) -> ItemVersion:
    """Return a version to which a head leads. Read-only.

    Raises:
        StoreCorrupt: The version is missing or damaged.
    """
    key = DataKeys.of(run).item_version(kind, name, number)
    value = txn.get(key)
    if value is None:
        raise StoreCorrupt(f"a head leads to {key.hex()}, which is missing")
    return decode_version(key, value)


def change_item(
    txn: WriteTxn,
    run_id: RunId,
    name: str,
    operation: Operation,
    conditions: Conditions,
    edit: Callable[[Item], bytes | None],
    *,
    default_policy: RetentionPolicy,
) -> Answer:
    """Write the next version of an item, and answer.

    Args:
        txn: The write.
        run_id: The run.
        name: Of the item.
        operation: What is done.
        conditions: On what it depends; the expected version is the item's.
        edit: Returns what the version is to hold, encoded; None deletes the item.
        default_policy: What acts on runs without a retention policy of their own.

    Raises:
        RequestIdReused: The request id came with another request.
        RunNotFound: No run has this id.
        RunArchived: It is archived.
        ValueNotFound, StateNotFound, DocumentNotFound: Nothing is there, and the operation needs it.
        VersionMismatch: The version of what is there is not the expected one.
        RunIndexError: What `edit` raises.
        StoreCorrupt: A row is damaged.
    """
    answered = recall(txn, conditions.request)
    if answered is not None:
        return answered
    item = find_item(txn, open_run(txn, run_id, operation.name), operation.kind, name)
    if operation.needs_item and not item.is_there:
        raise item.not_found()
    _check_version(item, conditions.expected_version)
    value = edit(item)
    revision, now_us = txn.next_revision(), txn.issue_time_us()
    version = ItemVersion(write_us=now_us, is_deleted=value is None, value=value or b"")
    head = _write_version(txn, item, version)
    if item.head is not None:
        policy = due.policy_of(item.run, default_policy)
        due.superseded(txn, item.run, policy, at_us=now_us, depth=head.depth, revision=revision)
    note_activity(txn, item.run, now_us=now_us)
    answer = Answer(run_id=run_id, version=head.version, revision=revision, update_us=now_us)
    remember(txn, conditions.request, answer)
    return answer


def _check_version(item: Item, expected: int | None) -> None:
    """Refuse to write an item that is not at the version on which the write depends.

    Raises:
        VersionMismatch: It is at another one.
    """
    if expected is not None and expected != item.current_version:
        raise VersionMismatch(
            run_id_text(item.run.run_id),
            expected_version=expected,
            current_version=item.current_version,
            of=f"{RULES[item.kind].noun} {item.name!r}",
        )


def _write_version(txn: WriteTxn, item: Item, version: ItemVersion) -> ItemHead:
    """Write the next version of an item with all that follows from it, and return where the item stands."""
    data, run, kind, name = DataKeys.of(item.run), item.run, item.kind, item.name
    old = item.head
    head = ItemHead(1, 1) if old is None else ItemHead(old.version + 1, old.oldest)
    key = data.item_version(kind, name, head.version)
    txn.insert(key, encode_version(key, version))
    there, deleted = data.item(kind, name), data.deleted_item(kind, name)
    new_key, other_key = (deleted, there) if version.is_deleted else (there, deleted)
    txn.put(new_key, encode_head(new_key, head))
    if old is not None:
        if item.is_there == version.is_deleted:
            txn.delete(other_key)
        txn.put(data.superseded(version.write_us, ItemVersionRef(kind, name, old.version)), b"")
        if old.depth:
            txn.delete(data.item_depth(kind, name, old.depth))
        txn.put(data.item_depth(kind, name, head.depth), b"")
    add_holding(txn, run, RULES[kind].holding, (not version.is_deleted) - item.is_there)
    add_holding(txn, run, Holding.BYTES, len(version.value))
    return head
