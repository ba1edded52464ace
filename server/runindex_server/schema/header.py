"""The store's header: which store this is, which history of it, and the version of its keys and records."""

import secrets
from dataclasses import dataclass
from typing import Final

from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.schema import keys, records
from runindex_server.schema._generated import run_record_pb2 as pb

STORAGE_VERSION: Final = 3
"""The version of keys and records that this server writes, and the newest that it reads."""


class StorageVersionUnknown(Exception):
    """A newer server wrote the store."""


class StoreNotMigrated(Exception):
    """An older server wrote the store, and it has not been migrated yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHeader:
    """The store's header.

    Attributes:
        storage_version: Of its keys and records.
        store_id: 16 random bytes, the same in every copy.
        epoch: 8 random bytes, renewed when a backup is restored; in every page token.
        token_key: 16 random bytes, by which page tokens are authenticated.
        create_us: When the store was created, in microseconds since 1970.
        created_by: The version of the server that created it.
    """

    storage_version: int
    store_id: bytes
    epoch: bytes
    token_key: bytes
    create_us: int
    created_by: str


def new_header(*, create_us: int, created_by: str) -> StoreHeader:
    """Return the header of a new store, with fresh random parts."""
    return StoreHeader(
        storage_version=STORAGE_VERSION,
        store_id=secrets.token_bytes(16),
        epoch=secrets.token_bytes(8),
        token_key=secrets.token_bytes(16),
        create_us=create_us,
        created_by=created_by,
    )


def write_header(txn: WriteTxn, header: StoreHeader) -> None:
    """Write the header of a store that has none."""
    txn.insert(keys.STORE_HEADER, _encode_header(header))


def replace_header(txn: WriteTxn, header: StoreHeader) -> None:
    """Write the header of a store anew."""
    txn.put(keys.STORE_HEADER, _encode_header(header))


def read_header(txn: ReadTxn | WriteTxn, *, accept_older: bool = False) -> StoreHeader:
    """Return the store's header. Read-only.

    Args:
        txn: A transaction.
        accept_older: Whether the store may be of an older storage version: for what migrates it.

    Raises:
        StoreCorrupt: There is none, or it is damaged.
        StorageVersionUnknown: A newer server wrote the store.
        StoreNotMigrated: An older server wrote it, and that is not accepted.
    """
    value = txn.get(keys.STORE_HEADER)
    if value is None:
        raise StoreCorrupt("no store header")
    message = records.read_message(pb.StoreHeader, keys.STORE_HEADER, value, what="store header")
    _check_version(message.storage_version, accept_older=accept_older)
    return StoreHeader(
        storage_version=message.storage_version,
        store_id=message.store_id,
        epoch=message.epoch,
        token_key=message.token_key,
        create_us=message.create_time_us,
        created_by=message.created_by,
    )


def _check_version(version: int, *, accept_older: bool) -> None:
    """Refuse a storage version that this server does not read."""
    if version > STORAGE_VERSION:
        msg = (
            f"the store has storage version {version}; this server reads up to {STORAGE_VERSION}: start the "
            "version of the server that wrote it, or a newer one"
        )
        raise StorageVersionUnknown(msg)
    if version < STORAGE_VERSION and not accept_older:
        msg = f"the store has storage version {version}; it has to be migrated to {STORAGE_VERSION} first"
        raise StoreNotMigrated(msg)


def _encode_header(header: StoreHeader) -> bytes:
    """Return the value of the header's row."""
    message = pb.StoreHeader(
        storage_version=header.storage_version,
        store_id=header.store_id,
        epoch=header.epoch,
        token_key=header.token_key,
        create_time_us=header.create_us,
        created_by=header.created_by,
    )
    return records.seal(keys.STORE_HEADER, message.SerializeToString())
