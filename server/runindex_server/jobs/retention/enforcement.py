"""Retention: enforces what policies say, on a schedule and on demand, never by a clock that has jumped."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeAlias

from runindex_server.clock import Clock
from runindex_server.errors import ClockJumped
from runindex_server.jobs.retention.board import Board
from runindex_server.jobs.retention.clock_guard import ClockGuard, ClockJump
from runindex_server.jobs.retention.compaction import CompactedRun, CompactionSummary, Tally, summary_of
from runindex_server.jobs.retention.passes import RetentionPass
from runindex_server.jobs.retention.victims import Moment
from runindex_server.kv.api import Store, WriteTxn
from runindex_server.logs import get_logger
from runindex_server.schema.retention_state import (
    Compaction,
    begin_default_policy,
    read_compaction,
    write_compaction,
)
from runindex_server.schema.run import RetentionPolicy

Pieces: TypeAlias = AsyncGenerator[CompactedRun | CompactionSummary, None]
"""What went of each run, and then what it all came to."""

_log: Final = get_logger(__name__)


class Retention:
    """The retention of one store."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        default_policy: RetentionPolicy,
        interval_s: int,
        board: Board | None = None,
    ) -> None:
        """Take what is needed; `prepare` comes next.

        Args:
            store: The store.
            clock: The wall clock by which things are due, and the monotonic one by which it is judged.
            default_policy: What acts on runs without a policy of their own.
            interval_s: From the start of one pass to the next that is scheduled; 0 for none.
            board: On which the processes of a server see what each of them does; None for a single process.
        """
        self._store = store
        self._clock = clock
        self._default_policy = default_policy
        self._interval_us = interval_s * 1_000_000
        self._board = board or Board()
        self._guard = ClockGuard(store, clock, self._board)
        self._turn = asyncio.Lock()
        self._is_prepared = False
        self._has_logged_jump = False

    @property
    def default_policy(self) -> RetentionPolicy:
        """What acts on runs without a policy of their own."""
        return self._default_policy

    @property
    def next_time_us(self) -> int | None:
        """When the next pass is scheduled, in microseconds since 1970; None when none is."""
        next_us = self._board.next_us()
        if not self._interval_us or next_us is None:
            return None
        return self._clock.now_us() + max(0, next_us - self._clock.monotonic_us())

    def clock_jump(self) -> ClockJump | None:
        """Return how far the wall clock is not trusted, so that nothing is removed; None when it is."""
        return self._guard.jump()

    async def prepare(self) -> None:
        """Note down the clock and the default policy, before data is written. Again does nothing.

        The first pass is scheduled, unless another process of the server has done so.

        Raises:
            StoreCorrupt: What retention remembers is damaged.
        """
        if self._is_prepared:
            return
        now_us = await self._guard.note()
        await self._store.write(self._begin_default_policy)
        if self._board.next_us() is None:
            last = await self._store.read(read_compaction)
            passed_us = 0 if last is None else max(0, now_us - last.start_us)
            self._board.put_next(self._clock.monotonic_us() + max(0, self._interval_us - passed_us))
        self._is_prepared = True

    async def run_due(self) -> bool:
        """Take the pass that is scheduled, if its time has come, and note down the clock when that is due.

        Returns:
            Whether a pass was taken.

        Raises:
            RunIndexError: As `RetentionPass.run`. The next pass is scheduled all the same.
        """
        await self.prepare()
        if self._guard.is_due:
            await self._guard.note()
        next_us = self._board.next_us() or 0
        if not self._interval_us or self._clock.monotonic_us() < next_us:
            return False
        try:
            pieces = self.compact()
            async with aclosing(pieces):
                async for _ in pieces:
                    pass
        except ClockJumped as jump:
            # Looked at again after the interval; said once.
            if not self._has_logged_jump:
                _log.warning("retention pauses", reason=jump.reason, detail=str(jump))
            self._has_logged_jump = True
            return False
        self._has_logged_jump = False
        return True

    async def compact(self, *, trust_clock: bool = False) -> Pieces:
        """Take a pass, and tell what went: of each run, once that is durable, and at the end a summary.

        To be closed by who does not read it to the end; nothing is lost then.

        Args:
            trust_clock: Whether the wall clock is right although it has jumped.

        Raises:
            ClockJumped: It has jumped, and is not trusted yet. Nothing was removed.
            RunIndexError: As `RetentionPass.run`.
        """
        await self.prepare()
        start_us = await self._guard.note(trust=trust_clock)
        began_us = self._clock.monotonic_us()
        self._board.put_next(began_us + self._interval_us)
        jump = self._guard.jump()
        if jump is not None:
            raise ClockJumped(ahead_us=jump.ahead_us)
        tally = Tally(start_us=start_us)
        moment = Moment(start_us, written_us=await self._store.write(lambda txn: txn.issue_time_us()))
        async with aclosing(self._pass(moment, is_dry_run=False).run()) as pieces:
            async for piece in pieces:
                tally.add(piece)
                yield piece
        compaction = tally.compaction(duration_us=self._clock.monotonic_us() - began_us)
        revision = await self._store.write(lambda txn: _finish(txn, compaction))
        yield summary_of(compaction, dry_run=False, revision=revision)

    async def preview(self) -> Pieces:
        """Tell what a pass would remove at this moment, whether or not the clock is trusted. Writes nothing.

        Raises:
            StoreCorrupt: A row is damaged.
        """
        start_us, began_us = max(0, self._clock.now_us()), self._clock.monotonic_us()
        tally = Tally(start_us=start_us)
        async with aclosing(self._pass(Moment(start_us), is_dry_run=True).run()) as pieces:
            async for piece in pieces:
                tally.add(piece)
                yield piece
        preview = tally.compaction(duration_us=self._clock.monotonic_us() - began_us)
        revision = await self._store.read(lambda txn: txn.revision)
        yield summary_of(preview, dry_run=True, revision=revision)

    def _pass(self, moment: Moment, *, is_dry_run: bool) -> RetentionPass:
        """Return a pass at a moment."""
        return RetentionPass(
            store=self._store,
            default_policy=self._default_policy,
            moment=moment,
            is_dry_run=is_dry_run,
            turn=self._turn,
        )

    def _begin_default_policy(self, txn: WriteTxn) -> None:
        begin_default_policy(txn, self._default_policy)


def _finish(txn: WriteTxn, compaction: Compaction) -> int:
    """Note down what a pass came to, and return the store's revision."""
    write_compaction(txn, compaction)
    return txn.revision
