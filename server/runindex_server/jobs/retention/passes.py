"""One pass of retention over what is due, in bounded reads and bounded writes.

A pass acts on one moment: the wall clock as it was when the pass began, and was trusted; what becomes of the
clock afterwards is no matter. A dry run takes the same reads, and no write.

Passes may overlap, be cut off or be lost: each write looks again at what a read has found. They take turns
step by step all the same, so that no two do the same work, and none waits for one whose caller has stopped
reading.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

from runindex_server import limits
from runindex_server.errors import Overloaded
from runindex_server.jobs.merge import merge_step
from runindex_server.jobs.retention.compaction import CompactedRun
from runindex_server.jobs.retention.expire import expiry_listings, find_expired, remove_expired
from runindex_server.jobs.retention.sweep import sweep_step
from runindex_server.jobs.retention.trim import Resume, Source, due_runs, find_trims, trim_runs, unswept_runs
from runindex_server.jobs.retention.victims import Moment
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.keys import KeyRange
from runindex_server.schema.run import RetentionPolicy

T = TypeVar("T")

_Done: TypeAlias = tuple[list[CompactedRun], Resume | None]
"""What a step has done, and from where the next goes on; None at the end."""

_Step: TypeAlias = Callable[[Resume], Awaitable[_Done]]

PENDING_MAX: Final = limits.PENDING_ROWS_MAX // 16
"""Changes of the search index that may wait to be merged when a pass deletes runs. Each run adds one, and
callers' writes must not be refused because of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPass:
    """One pass.

    Attributes:
        store: What it works on.
        default_policy: What acts on runs without a policy of their own.
        moment: On what it acts.
        is_dry_run: Whether it only tells what it would remove.
        turn: What all passes on a store share.
    """

    store: Store
    default_policy: RetentionPolicy
    moment: Moment
    is_dry_run: bool
    turn: asyncio.Lock

    async def run(self) -> AsyncGenerator[CompactedRun, None]:
        """Remove what is due, and tell of each run what went, once that is durable.

        Raises:
            RunIndexError: As `Store.write`, and StoreCorrupt when a row is damaged. What was told before has
                gone.
        """
        for step in self._steps():
            resume: Resume | None = Resume(b"")
            while resume is not None:
                async with self.turn:
                    pieces, resume = await step(resume)
                for piece in pieces:
                    yield piece

    def _steps(self) -> list[_Step]:
        """Return what a pass does, in order, each to be repeated to its end."""
        expiry: list[_Step] = [
            partial(self._expire, listing)
            for listing in expiry_listings(self.default_policy, now_us=self.moment.now_us)
        ]
        if self.is_dry_run:
            unswept = partial(unswept_runs, default_policy=self.default_policy)
            return [*expiry, partial(self._trim, due_runs), partial(self._trim, unswept)]
        return [self._sweep, *expiry, partial(self._trim, due_runs)]

    async def _sweep(self, resume: Resume) -> _Done:
        """Bring a changed default policy to some runs."""
        return [], resume if await sweep_step(self.store) else None

    async def _expire(self, listing: KeyRange, resume: Resume) -> _Done:
        """Delete some runs of a listing."""
        rest = KeyRange(max(listing.start, resume.row), listing.end)
        find = partial(
            find_expired, listing=rest, now_us=self.moment.now_us, default_policy=self.default_policy
        )
        found = await self.store.read(find, offload=True)
        pieces = list(found.pieces)
        if pieces and not self.is_dry_run:
            remove = partial(
                remove_expired, expired=found, now_us=self.moment.now_us, default_policy=self.default_policy
            )
            pieces = await self._write(remove)
        return pieces, None if found.resume is None else Resume(found.resume)

    async def _trim(self, source: Source, resume: Resume) -> _Done:
        """Remove what goes of some runs that stay."""
        find = partial(
            find_trims, source=source, resume=resume, moment=self.moment, default_policy=self.default_policy
        )
        found = await self.store.read(find, offload=True)
        if self.is_dry_run:
            return found.pieces(), found.resume
        pieces: list[CompactedRun] = []
        if found.runs:
            trim = partial(trim_runs, trims=found, default_policy=self.default_policy)
            pieces = await self.store.write(trim)
        # What was found has gone: within a run there is nothing to go on behind.
        return pieces, None if found.resume is None else Resume(found.resume.row)

    async def _write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Write what adds to the changes that wait to be merged, and see to it that they stay few."""
        while True:
            try:
                written = await self.store.write(fn)
            except Overloaded:
                if not await merge_step(self.store):
                    raise
            else:
                await self._merge()
                return written

    async def _merge(self) -> None:
        """Merge until few changes are pending."""
        while await self.store.read(_pending) > PENDING_MAX:
            if not await merge_step(self.store):
                return


def _pending(txn: ReadTxn) -> int:
    """Return how many changes wait to be merged. Read-only."""
    return txn.get_counter(keys.PENDING_TERMS_COUNT)
