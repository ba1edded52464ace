"""What a run holds, as the store keeps it: heads and versions of items, and events, each in a frame."""

from dataclasses import dataclass, field
from typing import NamedTuple

from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import records
from runindex_server.schema._generated import run_record_pb2 as pb
from runindex_server.schema.data_keys import DataKeys, ItemKind


@dataclass(frozen=True, slots=True)
class ItemHead:
    """Where a key, a state cell or a document stands.

    Attributes:
        version: Its current version.
        oldest: The oldest version that is kept; all from there on are.
    """

    version: int
    oldest: int

    @property
    def depth(self) -> int:
        """How many superseded versions are kept."""
        return self.version - self.oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemVersion:
    """A version of a key, a state cell or a document.

    Attributes:
        write_us: When it was written, in microseconds since 1970.
        is_deleted: Whether it is a deletion.
        value: What it holds, encoded; empty for a deletion.
    """

    write_us: int
    is_deleted: bool = False
    value: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event.

    Attributes:
        append_us: When it was appended, in microseconds since 1970.
        value: What it holds, encoded.
    """

    stream: str
    append_us: int
    value: bytes = field(repr=False)


class HeadRow(NamedTuple):
    """The row of an item's head.

    Attributes:
        key: Its key.
        head: Where the item stands.
        is_there: Whether the item holds something; it was deleted when not.
    """

    key: bytes
    head: ItemHead
    is_there: bool


def find_head(txn: ReadTxn | WriteTxn, data: DataKeys, kind: ItemKind, name: str) -> HeadRow | None:
    """Return the head of an item, whether it is there or deleted; None when it was never written. Read-only.

    Raises:
        StoreCorrupt: It is damaged.
    """
    for key, is_there in ((data.item(kind, name), True), (data.deleted_item(kind, name), False)):
        value = txn.get(key)
        if value is not None:
            return HeadRow(key, decode_head(key, value), is_there)
    return None


def encode_head(key: bytes, head: ItemHead) -> bytes:
    """Return the value of a head's row."""
    message = pb.ItemHead(version=head.version, oldest_version=head.oldest)
    return records.seal(key, message.SerializeToString())


def decode_head(key: bytes, value: bytes) -> ItemHead:
    """Return the head in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    message = records.read_message(pb.ItemHead, key, value, what="head")
    return ItemHead(message.version, message.oldest_version)


def encode_version(key: bytes, version: ItemVersion) -> bytes:
    """Return the value of a version's row."""
    message = pb.ItemVersion(write_time_us=version.write_us, deleted=version.is_deleted, value=version.value)
    return records.seal(key, message.SerializeToString())


def decode_version(key: bytes, value: bytes) -> ItemVersion:
    """Return the version in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    message = records.read_message(pb.ItemVersion, key, value, what="version")
    return ItemVersion(write_us=message.write_time_us, is_deleted=message.deleted, value=message.value)


def encode_event(key: bytes, event: StoredEvent) -> bytes:
    """Return the value of an event's row."""
    message = pb.StoredEvent(stream=event.stream, append_time_us=event.append_us, value=event.value)
    return records.seal(key, message.SerializeToString())


def decode_event(key: bytes, value: bytes) -> StoredEvent:
    """Return the event in a row.

    Raises:
        StoreCorrupt: The row is not what was written under this key.
    """
    message = records.read_message(pb.StoredEvent, key, value, what="event")
    return StoredEvent(stream=message.stream, append_us=message.append_time_us, value=message.value)
