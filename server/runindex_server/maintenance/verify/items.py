"""What a run holds in keys, state cells and documents: heads, versions and what follows from them, on a copy.

Rows come in the order of their keys: heads, then versions, oldest first, then what leads to them.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.maintenance.verify.findings import Finding
from runindex_server.maintenance.verify.walk import DAMAGED, LEFT_OVER, MISSING, NO_SUCH_KEY, NOT_EMPTY
from runindex_server.schema.data_keys import (
    DELETED_ITEM,
    ITEM,
    ITEM_DEPTH,
    ITEM_VERSION,
    SUPERSEDED,
    DataKeys,
    ItemKind,
    ItemVersionRef,
    Part,
)
from runindex_server.schema.encoding import split_string
from runindex_server.schema.holdings import Holding
from runindex_server.schema.items import ItemHead, ItemVersion, decode_head, decode_version

DATA_PREFIX_BYTES: Final = 26
"""The run, the tag, the generation and the part."""

HOLDINGS: Final = {
    ItemKind.VALUE: Holding.KV_KEYS,
    ItemKind.CELL: Holding.STATE_CELLS,
    ItemKind.DOCUMENT: Holding.DOCUMENTS,
}


class _Item(NamedTuple):
    """Which item."""

    kind: ItemKind
    name: str


class _Damaged:
    """Stands for a row that is there, but damaged."""


_DAMAGED: Final = _Damaged()

_Head: TypeAlias = ItemHead | _Damaged | None


class ItemCheck:
    """Checks the items of one run.

    Attributes:
        counts: Items that are there.
        value_bytes: Of all kept versions; None when a damaged or missing one makes that unknown.
        depth_max: The most superseded versions that an item has.
        first_supersede_us: When the first of the superseded versions was superseded; None without one.
    """

    def __init__(self, data: DataKeys) -> None:
        """Take the keys of the run."""
        self.counts: Counter[Holding] = Counter()
        self.value_bytes: int | None = 0
        self.depth_max = 0
        self.first_supersede_us: int | None = None
        self._data = data
        # The item whose versions are being visited, its head, and the version before.
        self._item: _Item | None = None
        self._head: _Head = None
        self._version = 0

    def visit_head(self, txn: ReadTxn, key: bytes, value: bytes, part: Part) -> Iterator[Finding]:
        """Check where an item stands."""
        item = _item_of(key[DATA_PREFIX_BYTES:])
        if item is None:
            yield Finding(part.name, key, NO_SUCH_KEY)
            return
        is_there = part is ITEM
        if is_there:
            self.counts[HOLDINGS[item.kind]] += 1
        elif txn.get(self._data.item(*item)) is not None:
            yield Finding(part.name, key, "The item is there, and cannot be deleted too.")
            return
        try:
            head = decode_head(key, value)
        except StoreCorrupt:
            yield Finding(part.name, key, DAMAGED)
            return
        if not 1 <= head.oldest <= head.version:
            yield Finding(part.name, key, "It has no version.")
            return
        yield from self._check_current(txn, key, item, head, part)
        self.depth_max = max(self.depth_max, head.depth)
        by_depth = self._data.item_depth(*item, head.depth)
        if head.depth and txn.get(by_depth) is None:
            yield Finding(ITEM_DEPTH.name, by_depth, MISSING)

    def _check_current(
        self, txn: ReadTxn, key: bytes, item: _Item, head: ItemHead, part: Part
    ) -> Iterator[Finding]:
        """Check that the version to which a head leads is a deletion exactly when the item is deleted."""
        current = self._version_row(txn, item, head.version)
        if isinstance(current, ItemVersion) and current.is_deleted != (part is DELETED_ITEM):
            yield Finding(part.name, key, "Its current version says otherwise whether it is deleted.")
        # Of an item that has some versions, those that are missing are found among them.
        if current is None and not any(txn.scan(*self._data.item_version_range(*item), limit=1)):
            self.value_bytes = None
            yield Finding(ITEM_VERSION.name, self._data.item_version(*item, head.version), MISSING)

    def visit_version(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a version is one that its item has, follows the one before, and superseded it."""
        item = _item_of(key[DATA_PREFIX_BYTES:-8])
        if item is None:
            yield Finding(ITEM_VERSION.name, key, NO_SUCH_KEY)
            return
        if item != self._item:
            yield from self.end_versions()
            self._begin_versions(txn, item)
        number = self._data.version_of(key)
        if not self._has(number):
            yield Finding(ITEM_VERSION.name, key, LEFT_OVER)
            return
        version = _decode_version(key, value)
        if isinstance(version, _Damaged):
            self.value_bytes = None
            yield Finding(ITEM_VERSION.name, key, DAMAGED)
        elif self.value_bytes is not None:
            self.value_bytes += len(version.value)
        yield from self._check_gap(number)
        if isinstance(version, ItemVersion) and self._version and self._version == number - 1:
            superseded = self._data.superseded(version.write_us, ItemVersionRef(*item, number - 1))
            if txn.get(superseded) is None:
                yield Finding(SUPERSEDED.name, superseded, MISSING)
        self._version = number

    def _begin_versions(self, txn: ReadTxn, item: _Item) -> None:
        self._item, self._head = item, self._find_head(txn, item)
        self._version = 0

    def end_versions(self) -> Iterator[Finding]:
        """Check that the versions reached the one at which the item's head stands."""
        if self._item is not None and isinstance(self._head, ItemHead):
            yield from self._check_gap(self._head.version + 1)
        self._item = None

    def _check_gap(self, number: int) -> Iterator[Finding]:
        """Check that no version is missing before one."""
        if self._version:
            expected = self._version + 1
        else:
            expected = self._head.oldest if isinstance(self._head, ItemHead) else number
        if self._item is not None and expected < number:
            self.value_bytes = None
            problem = (
                MISSING if expected == number - 1 else f"It is missing, and {number - expected - 1} more."
            )
            yield Finding(ITEM_VERSION.name, self._data.item_version(*self._item, expected), problem)

    def _has(self, number: int) -> bool:
        """Tell whether the item that is being visited has a version, as far as is known."""
        if isinstance(self._head, ItemHead):
            return self._head.oldest <= number <= self._head.version
        return self._head is not None

    def visit_superseded(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that a superseded version was superseded at the time by which it is found."""
        try:
            supersede_us, ref = self._data.split_superseded(key)
        except (ValueError, IndexError):
            yield Finding(SUPERSEDED.name, key, NO_SUCH_KEY)
            return
        if value:
            yield Finding(SUPERSEDED.name, key, NOT_EMPTY)
        item = _Item(ref.kind, ref.name)
        head = self._find_head(txn, item)
        if isinstance(head, _Damaged):
            return
        if head is None or not head.oldest <= ref.version < head.version:
            yield Finding(SUPERSEDED.name, key, LEFT_OVER)
            return
        following = self._version_row(txn, item, ref.version + 1)
        if isinstance(following, ItemVersion) and following.write_us != supersede_us:
            yield Finding(SUPERSEDED.name, key, "The version was superseded at another time.")
        elif self.first_supersede_us is None:
            self.first_supersede_us = supersede_us

    def visit_depth(self, txn: ReadTxn, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check that an item has as many superseded versions as that by which it is found."""
        try:
            depth, kind, name = self._data.split_item_depth(key)
        except (ValueError, IndexError):
            yield Finding(ITEM_DEPTH.name, key, NO_SUCH_KEY)
            return
        if value:
            yield Finding(ITEM_DEPTH.name, key, NOT_EMPTY)
        head = self._find_head(txn, _Item(kind, name))
        if head is None or (isinstance(head, ItemHead) and (depth == 0 or head.depth != depth)):
            yield Finding(ITEM_DEPTH.name, key, LEFT_OVER)

    def _find_head(self, txn: ReadTxn, item: _Item) -> _Head:
        """Return where an item stands."""
        for key in (self._data.item(*item), self._data.deleted_item(*item)):
            value = txn.get(key)
            if value is not None:
                try:
                    return decode_head(key, value)
                except StoreCorrupt:
                    return _DAMAGED
        return None

    def _version_row(self, txn: ReadTxn, item: _Item, number: int) -> ItemVersion | _Damaged | None:
        """Return a version of an item."""
        key = self._data.item_version(*item, number)
        value = txn.get(key)
        return None if value is None else _decode_version(key, value)


def _decode_version(key: bytes, value: bytes) -> ItemVersion | _Damaged:
    try:
        return decode_version(key, value)
    except StoreCorrupt:
        return _DAMAGED


def _item_of(parts: bytes) -> _Item | None:
    """Return the item whose kind and name end a key; None when they are none."""
    try:
        name, rest = split_string(parts[1:])
        return None if rest else _Item(ItemKind(parts[0]), name.decode())
    except (ValueError, IndexError):
        return None
