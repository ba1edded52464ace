"""Memory that the supervisor and its workers share: who holds the write lock, and a board for the workers."""

import mmap
import os
from typing import Final

from runindex_server.clock import Clock
from runindex_server.settings import WORKERS_MAX

_SLOT_BYTES: Final = 8
_BOARD_START: Final = _SLOT_BYTES * WORKERS_MAX
_BYTES: Final = mmap.PAGESIZE


class WorkerMemory:
    """A page that forks share, and that ends with the last process that has it."""

    def __init__(self, fd: int) -> None:
        """Map the memory behind a descriptor, which is not needed afterwards."""
        self._memory = memoryview(mmap.mmap(fd, _BYTES))
        self._slots = self._memory[:_BOARD_START].cast("Q")

    @classmethod
    def create(cls) -> "WorkerMemory":
        """Return new memory, of zeros."""
        fd = os.memfd_create("runindex-workers")
        try:
            os.ftruncate(fd, _BYTES)
            return cls(fd)
        finally:
            os.close(fd)

    @property
    def board(self) -> memoryview:
        """What the workers have for themselves."""
        return self._memory[_BOARD_START:]

    def holding_since_us(self, worker: int) -> int:
        """Return since when a worker holds the write lock, by the monotonic clock; 0 when it does not."""
        return self._slots[worker]

    def clear(self, worker: int) -> None:
        """Forget what a worker held that has ended."""
        self._slots[worker] = 0

    def slot(self, worker: int, clock: Clock) -> "HoldSlot":
        """Return where a worker notes by a clock since when it holds the write lock."""
        return HoldSlot(self._slots, worker, clock)


class HoldSlot:
    """A `kv.write_watch.WriteWatch` that notes in shared memory since when the write lock is held."""

    def __init__(self, slots: "memoryview[int]", worker: int, clock: Clock) -> None:
        """Take the slots of all workers, whose it is, and the clock."""
        self._slots = slots
        self._worker = worker
        self._clock = clock

    def begin(self) -> None:
        """Note that it is held from now on."""
        self._slots[self._worker] = self._clock.monotonic_us()

    def end(self) -> None:
        """Note that it is not held any more."""
        self._slots[self._worker] = 0
