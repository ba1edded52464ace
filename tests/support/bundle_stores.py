"""Stores in folders, and commands that work on them: what the tests of bundles have in common."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from runindex_server.bundles.archive import check_digest, read_entries
from runindex_server.cli.app import app
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.maintenance.verify.findings import Drift
from runindex_server.maintenance.verify.verification import verify
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema._generated import bundle_pb2 as bundle_pb
from tests.support.clock import ManualClock
from tests.support.server import LoopThread, RunningServer

MAP_BYTES: Final = 64 * 1024 * 1024
EVERYTHING: Final = (b"", b"\xff" * 401)


def invoke(*arguments: object, text: str | None = None) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def use(data_dir: Path, clock: ManualClock, fn: Callable[[LmdbStore], Any]) -> Any:
    """Return what a function of the open store of a folder returns."""

    async def open_and_use() -> Any:
        store = open_lmdb(
            data_dir, clock=clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None
        )
        try:
            return await fn(store)
        finally:
            await store.close()

    return asyncio.run(open_and_use())


async def all_rows(store: LmdbStore) -> list[tuple[bytes, bytes]]:
    return await store.read(lambda txn: list(txn.scan(*EVERYTHING)))


def entries_of(bundle: Path) -> list[bundle_pb.BundleEntry]:
    """Return what a bundle holds, without its header."""
    with bundle.open("rb") as file:
        return list(read_entries(file, check_digest(file)))[1:]


async def drifts_of(store: LmdbStore) -> list[Drift]:
    return [piece async for piece in verify(store) if isinstance(piece, Drift)]


class Served:
    """Serves stores in folders; each to be stopped before a command works on it."""

    def __init__(self, loop: LoopThread, clock: ManualClock) -> None:
        self._loop = loop
        self._clock = clock
        self._servers: list[RunningServer] = []

    def __call__(self, data_dir: Path) -> RunningServer:
        async def open_store() -> MaintainedStore:
            return open_lmdb(
                data_dir, clock=self._clock, map_bytes=MAP_BYTES, initialise=initialise, on_fatal=lambda: None
            )

        self._servers.append(RunningServer(self._loop, open_store, clock=self._clock))
        return self._servers[-1]

    def stop(self) -> None:
        while self._servers:
            self._servers.pop().stop()
