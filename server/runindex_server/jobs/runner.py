"""Runs the background jobs, one step at a time, until it is stopped; retention beside the others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from runindex_server.clock import Clock
from runindex_server.errors import RunIndexError, Unavailable
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.jobs.purge import purge_step
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.api import Store
from runindex_server.logs import get_logger

BUSY_S: Final = 0.002
"""How long the jobs rest between steps that had something to do, so that other writers come in between."""

IDLE_S: Final = 0.2
"""How long the jobs rest when there was nothing to do; so long grows what a search lays over its index."""

FAULT_S: Final = 5.0
"""How long the jobs rest after a fault."""

_log: Final = get_logger(__name__)


class JobRunner:
    """The background jobs of one store."""

    def __init__(
        self, store: Store, *, clock: Clock, request_id_retention_s: int, retention: Retention
    ) -> None:
        """Take the store.

        Args:
            store: The store.
            clock: By which answers are forgotten.
            request_id_retention_s: How long answers are remembered for request ids.
            retention: Of the same store.
        """
        self._store = store
        self._clock = clock
        self._request_id_retention_us = request_id_retention_s * 1_000_000
        self._retention = retention
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to run the jobs in the background of the running event loop."""
        self._tasks.append(asyncio.create_task(_repeat(self.step), name="jobs"))
        self._tasks.append(asyncio.create_task(_repeat(self._retention.run_due), name="jobs: retention"))

    async def stop(self) -> None:
        """Stop after the steps that are under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    async def step(self) -> bool:
        """Take one step of each job but retention, which takes many.

        Returns:
            Whether there was anything to do.
        """
        # A machine that has not yet learnt the time can be younger than what is remembered.
        answered_before_us = max(0, self._clock.now_us() - self._request_id_retention_us)
        merged = await merge_step(self._store)
        erased = await erase_step(self._store)
        purged = await purge_step(self._store, answered_before_us=answered_before_us)
        return merged or erased or purged

    async def run_until_idle(self) -> None:
        """Take steps until there is nothing to do, and the pass of retention that is due."""
        await self._retention.run_due()
        while await self.step():
            pass


async def _repeat(step: Callable[[], Awaitable[bool]]) -> None:
    """Take steps for ever, resting when there was nothing to do or something failed."""
    while True:
        try:
            rest_s = BUSY_S if await step() else IDLE_S
        except Unavailable:
            rest_s = FAULT_S
        except RunIndexError as error:
            _log.error("job failed", reason=error.reason, detail=str(error))
            rest_s = FAULT_S
        except Exception:  # noqa: BLE001  # Whatever it was, the other jobs go on.
            _log.exception("job failed")
            rest_s = FAULT_S
        await asyncio.sleep(rest_s)
