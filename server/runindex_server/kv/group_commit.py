"""Group commit: writes that come at the same time share one synced transaction, each as if it were alone.

They wait in a queue. A thread takes what has come, in its order, and commits it together; what comes while
that is being synced is the next group. The thread is woken only when the event loop has run all that was
ready, so that the writes of calls that came together are together, and it takes a group only when no other
process writes. Nobody waits for a group to fill, and one write alone is committed at once.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from runindex_server.errors import Overloaded
from runindex_server.kv.api import WriteTxn

T = TypeVar("T")

GROUP_MAX: Final = 64
"""Writes of one group. More would share the sync too, but hold up the first by what the others run."""

QUEUE_MAX: Final = 4_096
"""Writes that wait. Beyond it they are refused, so that none waits for seconds."""

WriteFunction: TypeAlias = Callable[[WriteTxn], Any]

TakeGroup: TypeAlias = Callable[[], Sequence[WriteFunction]]
"""Returns the writes of a group, at first those that wait by then, and afterwards the same ones."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write of a group came to.

    Attributes:
        result: What its function returned.
        error: Why nothing of it was written; None when it was.
    """

    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A write that waits, and who is to learn what it came to."""

    fn: WriteFunction
    future: "asyncio.Future[Any]"


class GroupCommit:
    """The writes of one store, and the thread on which they are committed. Belongs to one event loop."""

    def __init__(self, commit: Callable[[TakeGroup], list[Outcome]]) -> None:
        """Begin without a write.

        Args:
            commit: Commits the writes of a group together, or as many of the first as go together, and
                returns what each came to. Called on one thread at a time; must not raise.
        """
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        # Whether a group is being handed over or committed; the next one follows it.
        self._is_busy = False

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Commit a write with its group, and return what it returns once that is durable.

        Cancelled while it waits for its turn, it writes nothing; once it runs, it runs to its end.

        Raises:
            Overloaded: Too many writes wait.
            Exception: What the write came to.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if len(self._queue) >= QUEUE_MAX:
                raise Overloaded("the disk")
            self._queue.append(_Waiting(fn, future))
            is_first, self._is_busy = not self._is_busy, True
        if is_first:
            loop.call_soon(self._hand_over)
        return await future

    @property
    def waiting(self) -> int:
        """How many writes wait; those of the group that is being committed do not."""
        return len(self._queue)

    def close(self) -> None:
        """Commit what waits, and end the thread; again does nothing. Nothing may be written any more."""
        with suppress(RuntimeError):
            self._thread.submit(self._commit_all)
        self._thread.shutdown()

    def _hand_over(self) -> None:
        """Let the thread commit a group. On the event loop."""
        # When the thread has ended, it has committed all.
        with suppress(RuntimeError):
            self._thread.submit(self._commit_next)

    def _commit_all(self) -> None:
        """Commit group by group until none waits. On the thread."""
        while self._commit_next():
            pass

    def _commit_next(self) -> bool:
        """Commit the next group, tell its callers, and return whether there was one. On the thread."""
        group: list[_Waiting] = []

        def take() -> list[WriteFunction]:
            if not group:
                group.extend(self._next_group())
            return [waiting.fn for waiting in group]

        with self._lock:
            self._is_busy = bool(self._queue)
        if not self._is_busy:
            return False
        outcomes = self._commit(take)
        if not group:
            return False
        with self._lock:
            self._queue.extendleft(reversed(group[len(outcomes) :]))
        loop = group[0].future.get_loop()
        # A loop that is closed has nobody who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._settle, loop, list(zip(group, outcomes, strict=False)))
        return True

    def _next_group(self) -> list[_Waiting]:
        """Take the next writes, but for those whose caller has gone away; none when none waits."""
        group: list[_Waiting] = []
        with self._lock:
            while self._queue and len(group) < GROUP_MAX:
                waiting = self._queue.popleft()
                if not waiting.future.cancelled():
                    group.append(waiting)
            self._is_busy = bool(group)
        return group

    def _settle(self, loop: asyncio.AbstractEventLoop, told: list[tuple[_Waiting, Outcome]]) -> None:
        """Tell the callers of a group but those that have gone away; see to the next one. On the loop."""
        for waiting, outcome in told:
            future = waiting.future
            if future.cancelled():
                continue
            if outcome.error is None:
                future.set_result(outcome.result)
            else:
                future.set_exception(outcome.error)
        with self._lock:
            self._is_busy = bool(self._queue)
        if self._is_busy:
            loop.call_soon(self._hand_over)
