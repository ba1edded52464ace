"""Runs the background jobs, one step at a time, until it is stopped; retention beside the others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from runindex_server.clock import Clock
from runindex_server.errors import RunIndexError, Unavailable
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import Step, merge_step, take_step
from runindex_server.jobs.purge import AnswerAges, purge_step
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.api import ReadTxn, Store
from runindex_server.logs import get_logger
from runindex_server.schema import keys

BUSY_S: Final = 0.002
"""How long a job rests when there is more to do, so that other writers come in between."""

IDLE_S: Final = 0.2
"""How long a job rests when there is nothing more to do."""

MERGE_CHANGES_MIN: Final = 256
"""Changes for which merging does not wait for more. The more are merged together, the less each costs: of so
many half of what it costs of 64. But what waits a search has to lay over its index."""

MERGE_RESTS_MAX: Final = 5
"""Rests after which merging takes a step for fewer."""

FAULT_S: Final = 5.0
"""How long a job rests after a fault."""

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
        self._merge_rests = 0
        self._ages: AnswerAges | None = None

    def start(self) -> None:
        """Begin to run the jobs in the background of the running event loop."""
        for name, step in (
            ("merge", self._merge),
            ("clean up", self._clean_up),
            ("retention", self._retention.run_due),
        ):
            self._tasks.append(asyncio.create_task(_repeat(step), name=f"jobs: {name}"))

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
        merged = await merge_step(self._store)
        return await self._clean_up() or merged

    async def _merge(self) -> bool:
        """Take a step of merging if there is enough for one, and tell whether the next is to follow soon."""
        self._merge_rests += 1
        if self._merge_rests < MERGE_RESTS_MAX and not await self._store.read(_is_much_pending):
            return False
        is_behind = await take_step(self._store) is Step.BEHIND
        self._merge_rests = MERGE_RESTS_MAX if is_behind else 0
        return is_behind

    async def _clean_up(self) -> bool:
        """Take one step of erasing and of purging, and tell whether there was anything to do."""
        erased = await erase_step(self._store)
        purged = await purge_step(self._store, answered_before_us=await self._answered_before_us())
        return erased or purged

    async def _answered_before_us(self) -> int:
        """Return the store's time before which every answer is old enough to be forgotten."""
        if self._ages is None:
            await self._retention.prepare()
            jump = self._retention.clock_jump()
            self._ages = AnswerAges(
                self._clock,
                retention_us=self._request_id_retention_us,
                ahead_us=0 if jump is None else jump.ahead_us,
            )
        return await self._ages.old_before_us(self._store)

    async def run_until_idle(self) -> None:
        """Take steps until there is nothing to do, and the pass of retention that is due."""
        await self._retention.run_due()
        while await self.step():
            pass


def _is_much_pending(txn: ReadTxn) -> bool:
    """Tell whether so many changes are pending that merging is not to wait for more."""
    return txn.get_counter(keys.PENDING_TERMS_COUNT) >= MERGE_CHANGES_MIN


async def _repeat(step: Callable[[], Awaitable[bool]]) -> None:
    """Take steps for ever, and rest after each: longer when there is no more to do or something failed."""
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
