"""Runs the background jobs, one step at a time, until it is stopped."""

import asyncio
from typing import Final

from runindex_server.clock import Clock
from runindex_server.errors import RunIndexError, Unavailable
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.jobs.purge import purge_step
from runindex_server.kv.api import Store
from runindex_server.logs import get_logger

IDLE_S: Final = 0.2
"""How long the jobs rest when there was nothing to do; so long grows what a search lays over its index."""

FAULT_S: Final = 5.0
"""How long the jobs rest after a fault."""

_log: Final = get_logger(__name__)


class JobRunner:
    """The background jobs of one store."""

    def __init__(self, store: Store, *, clock: Clock, request_id_retention_s: int) -> None:
        """Take the store, and how long answers are remembered for request ids."""
        self._store = store
        self._clock = clock
        self._request_id_retention_us = request_id_retention_s * 1_000_000
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run the jobs in the background of the running event loop."""
        self._task = asyncio.create_task(self._run(), name="jobs")

    async def stop(self) -> None:
        """Stop after the step that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def step(self) -> bool:
        """Take one step of each job.

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
        """Take steps until there is nothing to do."""
        while await self.step():
            pass

    async def _run(self) -> None:
        """Take steps for ever, resting when there was nothing to do or something failed."""
        while True:
            try:
                rest_s = 0.0 if await self.step() else IDLE_S
            except Unavailable:
                rest_s = FAULT_S
            except RunIndexError as error:
                _log.error("job failed", reason=error.reason, detail=str(error))
                rest_s = FAULT_S
            except Exception:  # noqa: BLE001  # Whatever it was, the other jobs go on.
                _log.exception("job failed")
                rest_s = FAULT_S
            await asyncio.sleep(rest_s)
