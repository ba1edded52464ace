"""Backup: the bytes of a consistent copy of the store in pieces, and the digest that tells them whole."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from runindex_server import limits
from runindex_server.clock import Clock
from runindex_server.kv.engine import MaintainedStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """What follows.

    Attributes:
        total_bytes: How many bytes.
        create_us: All that was acknowledged before this time is in them, in microseconds since 1970.
        revision: The newest revision that is in them.
    """

    total_bytes: int
    create_us: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The next bytes: at most `limits.BACKUP_CHUNK_BYTES`, and never none.

    Attributes:
        data: The bytes.
        revision: As in `Begin`.
    """

    data: bytes
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What was sent.

    Attributes:
        sha256: The digest of all chunks together: 32 bytes.
        revision: As in `Begin`.
    """

    sha256: bytes
    revision: int


async def backup(store: MaintainedStore, *, clock: Clock) -> AsyncGenerator[Begin | Chunk | End, None]:
    """Yield a backup: `Begin`, the chunks, `End`. To be closed, so that the copy is given up.

    Raises:
        StoreFull: The disk has no room for the copy.
        StoreClosed: The store is closed.
    """
    create_us = clock.now_us()
    async with store.engine.copy() as copy:
        revision = await asyncio.to_thread(copy.read, lambda txn: txn.revision)
        yield Begin(total_bytes=copy.total_bytes, create_us=create_us, revision=revision)
        digest = hashlib.sha256()
        chunks = copy.chunks(limits.BACKUP_CHUNK_BYTES)

        def next_chunk() -> bytes | None:
            chunk = next(chunks, None)
            if chunk is not None:
                digest.update(chunk)
            return chunk

        while (data := await asyncio.to_thread(next_chunk)) is not None:
            yield Chunk(data=data, revision=revision)
        yield End(sha256=digest.digest(), revision=revision)
