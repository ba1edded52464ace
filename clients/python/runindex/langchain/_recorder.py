"""Records runs from a thread of its own, so that the program neither waits for a recording nor fails by it.

What is to be recorded waits in a bounded queue, of which the thread takes as much at a time as is there.
"""

import logging
import threading
import time
from collections import deque
from typing import Final

from runindex._options import Options
from runindex._types import MISSING
from runindex.langchain._entries import Begin, Entry
from runindex.langchain._writer import Writer

BATCH_MAX: Final = 64
"""Entries of a batch: below the streams that a server takes on one connection."""

QUEUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""What may wait: some ten thousand runs without their content."""

IDLE_S: Final = 10.0
"""For how long the thread and its connection stay when there is nothing to do."""

LEAVE_S: Final = 5.0
"""How long the end of the program waits for what is not recorded yet, while the server answers."""

log: Final = logging.getLogger("runindex")


class Recorder:
    """Records what is put into it, on one server. Its methods do not raise."""

    def __init__(self, options: Options) -> None:
        """Prepare; nothing connects, and no thread runs, before there is something to record."""
        self._options = options
        self._condition = threading.Condition()  # Re-entrant, as that of `Tree` has to be.
        self._entries: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._put = 0
        self._done = 0
        self._is_out = False
        self._has_told_full = False
        self._is_running = False

    def put(self, entry: Entry) -> None:
        """Have something recorded. When too much waits, beginnings are refused and content is left out."""
        with self._condition:
            if not self._has_room_for(entry):
                return
            self._entries.append(entry)
            self._waiting_bytes += entry.cost_bytes
            self._put += 1
            self._condition.notify_all()
            if not self._is_running:
                self._is_running = self._start()

    def flush(self, timeout_s: float, *, patient: bool = True) -> bool:
        """Wait until everything is recorded that was put before, and tell whether it is.

        Args:
            timeout_s: For how long at most.
            patient: Whether to wait while the server does not answer, too.
        """
        with self._condition:
            last = self._put
            if self._entries and not self._is_running:  # No thread was to be had for it.
                self._is_running = self._start()
            self._condition.wait_for(
                lambda: self._done >= last or not self._is_running or (self._is_out and not patient),
                timeout_s,
            )
            return self._done >= last

    def _has_room_for(self, entry: Entry) -> bool:
        """Tell whether to keep an entry: ends always, for there are no more of them than of beginnings."""
        node = entry.node
        if node.is_refused or (isinstance(entry, Begin) and node.parent and node.parent.is_refused):
            node.is_refused = True
            return False
        is_full = self._waiting_bytes + entry.cost_bytes > QUEUE_BYTES_MAX
        if is_full and not self._has_told_full:
            log.warning("not recorded: %s is %d MiB behind", self._options.address, QUEUE_BYTES_MAX >> 20)
            self._has_told_full = True
        if is_full:
            entry.content, entry.cost_bytes = MISSING, 0
            node.is_refused = isinstance(entry, Begin)
        return not node.is_refused

    def _start(self) -> bool:
        try:
            threading.Thread(
                target=self._run, name=f"runindex-recorder {self._options.address}", daemon=True
            ).start()
        except RuntimeError:  # There is no room for a thread, or the interpreter is about to end.
            return False
        return True

    def _run(self) -> None:
        """Record until there is nothing to do for a while."""
        writer = Writer(self._options, self._notice)
        while batch := self._take():
            try:
                writer.record(batch)
            except Exception:
                log.exception("not recorded: %s: a fault of the recorder", self._options.address)
            with self._condition:
                self._done += len(batch)
                self._condition.notify_all()
        writer.close()

    def _take(self) -> list[Entry]:
        """Return the next batch when there is one; an empty one ends the thread."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._entries, IDLE_S):
                self._is_running = self._is_out = False  # The next thread finds out by itself.
                return []
            batch: list[Entry] = []
            while self._entries and len(batch) < BATCH_MAX:
                # What resumes a run looks for one that is paused: when all before it is recorded, and alone.
                if batch and (_resumes(self._entries[0]) or _resumes(batch[-1])):
                    break
                batch.append(self._entries.popleft())
            self._waiting_bytes -= sum(entry.cost_bytes for entry in batch)
            self._has_told_full = self._has_told_full and bool(self._entries)
            return batch

    def _notice(self, is_out: bool) -> None:  # noqa: FBT001  # As its callers pass it on.
        with self._condition:
            self._is_out = is_out
            self._condition.notify_all()


def _resumes(entry: Entry) -> bool:
    return isinstance(entry, Begin) and entry.resumes


_RECORDERS: Final[dict[Options, Recorder]] = {}
"""One for each server, whoever asks: programs make a handler for each request."""

_LOCK: Final = threading.Lock()


def recorder_at(options: Options) -> Recorder:
    """Return the recorder of a server."""
    with _LOCK:
        return _RECORDERS.setdefault(options, Recorder(options))


def leave() -> None:
    """Wait for what is not recorded yet, a bounded time, and not for servers that do not answer."""
    end_s = time.monotonic() + LEAVE_S
    for recorder in list(_RECORDERS.values()):
        recorder.flush(max(end_s - time.monotonic(), 0), patient=False)
