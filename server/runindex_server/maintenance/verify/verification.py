"""Verify: checks that everything in a store follows from its records, while the store is in use.

Records, and what follows from them, are checked on one consistent copy; other rows on the running store, each
within one snapshot with the row to which it belongs. Nothing is repaired.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Final, TypeAlias

from runindex_server import limits
from runindex_server.clock import Clock, SystemClock
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.engine import MaintainedStore, StoreCopy
from runindex_server.maintenance.verify import rows
from runindex_server.maintenance.verify.counters import CounterCheck
from runindex_server.maintenance.verify.data import DataCheck
from runindex_server.maintenance.verify.findings import Drift, Finding, Progress, Summary
from runindex_server.maintenance.verify.history import HistoryCheck
from runindex_server.maintenance.verify.indexes import IndexCheck
from runindex_server.maintenance.verify.survey import Survey
from runindex_server.maintenance.verify.terms import TermCheck
from runindex_server.maintenance.verify.walk import Stretch, Walk, read_end, read_stretch
from runindex_server.schema import keys
from runindex_server.schema.header import read_header

PROGRESS_ROWS: Final = 10_000
"""Rows after which progress is told."""

_SYSTEM_CLOCK: Final = SystemClock()

_Read: TypeAlias = Callable[[Callable[[ReadTxn], Stretch]], Awaitable[Stretch]]


async def verify(
    store: MaintainedStore, *, clock: Clock = _SYSTEM_CLOCK
) -> AsyncGenerator[Progress | Drift | Summary, None]:
    """Verify a store. Read-only.

    In memory are the rows of one read, the changes that wait to be merged, weights of 20 MB at most, the
    folds of `fold`, of which those of counters are 25 MB at most, `COUNTERS_AT_ONCE` counters, some hundred
    bytes for each damaged record and for each 65,536 runs, and of one run the names of the streams whose rows
    disagree.

    Args:
        store: May be written meanwhile.
        clock: By which its duration is told.

    Yields:
        Progress about every PROGRESS_ROWS rows, at most `limits.DRIFTS_TOLD_MAX` drifts, and last of all the
        summary, which counts all drifts. Where very many postings differ, it counts some of them together.

    Raises:
        StorageVersionUnknown: A newer server wrote the store.
        StoreNotMigrated: An older server wrote it, and it has not been migrated yet.
        StoreFull: There is no room for the copy.
        StoreCorrupt: The engine found its own file damaged.
    """
    started_us = clock.monotonic_us()
    live = partial(store.read, offload=True)
    with suppress(StoreCorrupt):  # A damaged header is a drift among others.
        await live(read_header)
    tally = _Tally()
    async with aclosing(_walk_all(live, rows.walks(), tally)) as pieces:
        async for piece in pieces:
            yield piece
    yield Progress("copy", 0, tally.revision)
    async with (
        store.engine.copy() as copy,
        aclosing(_walk_all(partial(_read_copy, copy), _walks_of_copy(), tally)) as pieces,
    ):
        async for piece in pieces:
            yield piece
    duration_us = clock.monotonic_us() - started_us
    yield Summary(tally.runs, tally.rows, tally.drifts, duration_us, tally.revision)


async def _read_copy(copy: StoreCopy, fn: Callable[[ReadTxn], Stretch]) -> Stretch:
    """Read a copy on a thread."""
    return await asyncio.to_thread(lambda: copy.read(fn))


def _walks_of_copy() -> Iterator[Walk]:
    """Yield the walks over a copy. Each is asked for when the one before it has ended."""
    survey = Survey()
    yield from survey.walks()
    yield from IndexCheck(survey).walks()
    yield from HistoryCheck(survey).walks()
    terms = TermCheck(survey)
    yield from terms.walks()
    yield from DataCheck().walks()
    yield from CounterCheck(survey, terms).walks()


class _Tally:
    """What has been checked and found so far."""

    def __init__(self) -> None:
        self.runs = 0
        self.rows = 0
        self.drifts = 0
        self.revision = 0
        self._phase = ""
        self._phase_rows = 0
        self._told_rows = 0

    def begin(self, walk: Walk) -> None:
        """Begin a walk."""
        if walk.phase != self._phase:
            self._phase, self._phase_rows, self._told_rows = walk.phase, 0, 0

    def add(self, walk: Walk, stretch: Stretch) -> Iterator[Progress | Drift]:
        """Add a stretch of a walk, and yield what is to be told of it."""
        self.revision = stretch.revision
        self._phase_rows += stretch.rows
        if walk.is_first:
            self.rows += stretch.rows
            if list(walk.ranges) == [keys.RUN.range]:
                self.runs += stretch.rows
        yield from self.tell(stretch.findings)
        if self._phase_rows - self._told_rows >= PROGRESS_ROWS:
            self._told_rows = self._phase_rows
            yield Progress(self._phase, self._phase_rows, self.revision)

    def tell(self, findings: Iterable[Finding]) -> Iterator[Drift]:
        """Count what was found, and yield what is to be told of it."""
        for finding in findings:
            self.drifts += 1
            if self.drifts <= limits.DRIFTS_TOLD_MAX:
                yield Drift(finding.subspace, finding.key, finding.problem, self.revision)


async def _walk_all(
    read: _Read, walks: Iterator[Walk], tally: _Tally
) -> AsyncGenerator[Progress | Drift, None]:
    """Go on some walks, a read at a time, and yield what is to be told of them."""
    for walk in walks:
        tally.begin(walk)
        for whole in walk.ranges:
            start: bytes | None = whole.start
            while start is not None:
                stretch = await read(partial(read_stretch, walk=walk, start=start, end=whole.end))
                for piece in tally.add(walk, stretch):
                    yield piece
                start = stretch.next_start
        end = await read(partial(read_end, walk=walk))
        for piece in tally.add(walk, end):
            yield piece
