"""Whether a server is ready: it is what health tells, and what a balancer goes by.

A process that runs is not ready for that alone. Its writer has to be alive, its disk has to take writes, and
the last commit has to have worked; if that did not, a small write is tried until it does.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from grpc_health.v1.health_pb2 import HealthCheckResponse

from runindex_server.errors import RunIndexError
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.engine import MaintainedStore
from runindex_server.logs import get_logger
from runindex_server.schema.retention_state import read_clock_tick, write_clock_tick

LOOK_INTERVAL_S: Final = 2.0
COMMIT_S_MAX: Final = 10.0
"""What takes longer hangs. The watchdog of several processes thinks so, too."""

_log: Final = get_logger(__name__)


class Readiness:
    """Tells the health of a server. Belongs to one event loop."""

    def __init__(self, store: MaintainedStore, health: Any, services: Sequence[str]) -> None:  # noqa: ANN401
        """Take the store, the health service (without stubs), and the services whose health is told."""
        self._store = store
        self._health = health
        self._services = ("", *services)
        self._problem: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Say that the server serves, and go on looking."""
        await self._tell(HealthCheckResponse.SERVING)
        self._task = asyncio.create_task(self._look_on_and_on(), name="readiness")

    async def stop(self) -> None:
        """Look no more; what was told stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Look once, and tell what has changed."""
        problem = await self._find()
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            _log.info("ready again")
        else:
            _log.error("not ready", problem=problem)
        await self._tell(HealthCheckResponse.SERVING if problem is None else HealthCheckResponse.NOT_SERVING)

    async def _find(self) -> str | None:
        """Return what keeps the server from being ready; None for nothing."""
        commits = self._store.engine.commits()
        if commits.lasts_s() > COMMIT_S_MAX:
            return f"a commit takes longer than {COMMIT_S_MAX:.0f} seconds"
        if not self._store.engine.is_in_place():
            with suppress(RunIndexError):
                # Which it refuses: then it stops, though nobody else writes.
                await self._store.write(_write_something)
            return "the store's files were replaced"
        if self._store.engine.is_read_only():
            return "the disk is read-only"
        if commits.last_failed:
            try:
                await self._store.write(_write_something)
            except RunIndexError as error:
                return f"the last commit failed, and a small one does too: {error.reason}"
        return None

    async def _tell(self, status: "HealthCheckResponse.ServingStatus.ValueType") -> None:
        for service in self._services:
            await self._health.set(service, status)

    async def _look_on_and_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                await self.look()
            except Exception:  # noqa: BLE001  # It has to go on looking.
                _log.exception("readiness not found out")


def _write_something(txn: WriteTxn) -> None:
    """Write what is there once more."""
    tick = read_clock_tick(txn)
    if tick is not None:
        write_clock_tick(txn, tick)
