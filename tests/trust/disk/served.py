"""The services over a store in this process, called as the boundary calls them, without a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from google.protobuf.message import Message

from runindex_server.clock import Clock
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.rpc import server as assembled
from runindex_server.rpc.server import Options
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.header import read_header
from runindex_server.schema.migrations import migrate

MAP_BYTES: Final = 64 * 1024 * 1024


class Served:
    """An open store with its services.

    Attributes:
        store: The store.
    """

    def __init__(self, store: LmdbStore, servicers: dict[str, Any]) -> None:
        """Take the store, and what serves each service by its name."""
        self.store = store
        self._methods = {
            name: getattr(servicer, name)
            for servicer in servicers.values()
            for name in dir(servicer)
            if name[0].isupper()
        }

    @classmethod
    async def over(cls, store: LmdbStore, clock: Clock) -> Self:
        """Prepare a store, and return its services, as the start of a server does."""
        await migrate(store, progress=lambda *_, **__: None)
        header = await store.read(read_header)
        retention = assembled._retention(store, clock, Options())
        await retention.prepare()
        servicers = assembled._servicers(store, header, retention, clock, Options())
        return cls(store, {service.full_name: servicer for service, servicer in servicers})

    async def call(self, method: str, request: Message) -> bytes:
        """Return the wire form of the answer of a method.

        Raises:
            RunIndexError: It refuses.
        """
        answer = await self._methods[method](request)
        return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString(deterministic=True))

    def stream(self, method: str, request: Message) -> Any:
        """Return the answers of a method that answers piece by piece."""
        return self._methods[method](request)


@contextmanager
def opened(data_dir: Path, clock: Clock) -> Iterator[LmdbStore]:
    """Return the store of a data directory, opened as the server opens it; closed afterwards.

    Raises:
        StoreRefused, OSError: As `open_lmdb`.
    """
    store = open_lmdb(
        data_dir, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None
    )
    try:
        yield store
    finally:
        store._is_closed = True
        store._release()
