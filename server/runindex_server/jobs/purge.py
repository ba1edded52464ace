"""Purge: forgets the answers to requests whose time is over, in bounded steps.

An answer forgotten too early lets a retried write be applied twice, so no clock that jumps decides: an answer
is old when so much time has passed by the monotonic clock, as far as this process has seen it pass.
"""

from collections import deque
from typing import Final

from runindex_server.clock import Clock
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.answers import decode_answer

ROWS_MAX: Final = 500
"""Answers of one step."""


NOTE_INTERVAL_US: Final = 3_600 * 1_000_000
"""How often the newest answer is noted. How much longer than needed some are remembered."""

_LATEST_US: Final = 2**64 - 1


class AnswerAges:
    """Tells which answers are older than they have to be remembered. Belongs to one event loop.

    By either of two ways: by a clock that follows the wall clock back, but forward only as fast as time
    passes, so that nothing goes early; and by which answer was the newest so long ago, so that those go which
    bear a time far ahead, after a clock that had jumped was put right.
    """

    def __init__(self, clock: Clock, *, retention_us: int, ahead_us: int) -> None:
        """Begin.

        Args:
            clock: The clocks.
            retention_us: How long answers are remembered.
            ahead_us: How far ahead the wall clock may be by now.
        """
        self._clock = clock
        self._retention_us = retention_us
        self._start_us = clock.now_us() - ahead_us - clock.monotonic_us()
        self._notes: deque[tuple[int, int]] = deque()
        self._old_us = 0

    async def old_before_us(self, store: Store) -> int:
        """Return the store's time before which every answer is old enough."""
        passed_us = self._clock.monotonic_us()
        if not self._notes or passed_us - self._notes[-1][0] >= NOTE_INTERVAL_US:
            self._notes.append((passed_us, await store.read(_newest_us)))
        while self._notes and passed_us - self._notes[0][0] > self._retention_us:
            self._old_us = self._notes.popleft()[1]
        self._start_us = min(self._start_us, self._clock.now_us() - passed_us)
        # A machine that has not yet learnt the time can be younger than what is remembered.
        return max(0, self._start_us + passed_us - self._retention_us, self._old_us)


def _newest_us(txn: ReadTxn) -> int:
    """Return the time of the newest answer, which later ones may bear too; 0 for none. Read-only."""
    start, end = keys.answered_before_range(_LATEST_US)
    newest = next(iter(txn.scan(start, end, reverse=True, limit=1)), None)
    return 0 if newest is None else keys.split_request_by_time(newest[0])[0]


async def purge_step(store: Store, *, answered_before_us: int) -> bool:
    """Forget some answers that were given before a time.

    Returns:
        Whether there was anything to do.
    """
    start, end = keys.answered_before_range(answered_before_us)
    due = await store.read(lambda txn: [key for key, _ in txn.scan(start, end, limit=ROWS_MAX)])
    if not due:
        return False

    def purge(txn: WriteTxn) -> None:
        for by_time in due:
            answer_us, caller, request_id = keys.split_request_by_time(by_time)
            key = keys.request(caller, request_id)
            value = txn.get(key)
            # The id may have been purged by another step and used again since.
            if value is not None and decode_answer(key, value).answer_us == answer_us:
                txn.delete(key)
            txn.delete(by_time)

    await store.write(purge)
    return True
