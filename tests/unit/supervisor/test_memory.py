"""Memory that processes share: what one notes in it, another sees."""

import mmap
import os
import subprocess
import sys

from runindex_server.jobs.retention.board import BOARD_BYTES
from runindex_server.settings import WORKERS_MAX
from runindex_server.supervisor.memory import WorkerMemory
from tests.support.clock import HOUR_US, ManualClock

HOLDER = """
import sys
from runindex_server.supervisor.memory import WorkerMemory
from tests.support.clock import ManualClock
memory = WorkerMemory(int(sys.argv[1]))
clock = ManualClock()
clock.advance(7)
memory.slot(3, clock).begin()
memory.board[:4] = b"told"
"""


def test_another_process_sees_what_one_holds() -> None:
    fd = os.memfd_create("tests")
    os.ftruncate(fd, mmap.PAGESIZE)
    memory = WorkerMemory(fd)
    subprocess.run([sys.executable, "-c", HOLDER, str(fd)], pass_fds=[fd], check=True, timeout=30)
    os.close(fd)

    assert [memory.holding_since_us(worker) for worker in range(5)] == [0, 0, 0, 7, 0]
    assert bytes(memory.board[:5]) == b"told\x00"


def test_each_worker_has_a_slot_of_its_own_and_the_board_is_behind_them() -> None:
    clock, memory = ManualClock(), WorkerMemory.create()
    clock.advance(HOUR_US)
    for worker in range(WORKERS_MAX):
        memory.slot(worker, clock).begin()

    assert {memory.holding_since_us(worker) for worker in range(WORKERS_MAX)} == {HOUR_US}
    assert len(memory.board) >= BOARD_BYTES
    assert not any(memory.board)
    memory.slot(5, clock).end()
    memory.clear(6)
    assert [memory.holding_since_us(worker) for worker in (4, 5, 6, 7)] == [HOUR_US, 0, 0, HOUR_US]
