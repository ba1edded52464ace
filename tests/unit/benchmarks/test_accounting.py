"""What the kernel says of processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import accounting, machine
from benchmarks.accounting import ProcessEnded

WAIT_S = 30
SPIN = "import threading, time\ndef spin():\n    while time.thread_time() < 0.05: pass\n"
THEN_WAIT = "thread = threading.Thread(target=spin); thread.start(); thread.join(); print(); input()"


@pytest.fixture
def spun() -> Iterator[int]:
    """Return a process in which a thread has used 50 ms and has ended."""
    command = [sys.executable, "-c", SPIN + THEN_WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_the_time_of_threads_that_have_ended_counts(spun: int) -> None:
    assert accounting.cpu_s([spun]) > 0.05


def test_the_time_is_that_of_the_ticks(spun: int) -> None:
    fields = Path(f"/proc/{spun}/stat").read_text().rpartition(")")[2].split()
    ticks_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    assert accounting.cpu_s([spun]) == pytest.approx(ticks_s, abs=0.03)


def test_the_time_of_several_processes_is_added(spun: int) -> None:
    assert accounting.cpu_s([spun, spun]) == pytest.approx(2 * accounting.cpu_s([spun]))


def test_a_process_that_has_ended_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(WAIT_S)

    with pytest.raises(ProcessEnded):
        accounting.cpu_s([process.pid])


def test_children_belong_to_the_family(spun: int) -> None:
    assert accounting.family(spun) == [spun]
    assert spun in accounting.family(os.getpid())


def test_private_memory_is_what_the_process_has_written() -> None:
    before = accounting.private_bytes(os.getpid(), data_file="data.mdb")
    held = bytearray(os.urandom(1024)) * (32 * 1024)
    after = accounting.private_bytes(os.getpid(), data_file="data.mdb")

    assert after - before == pytest.approx(len(held), rel=0.2)


def test_the_machine_is_described() -> None:
    folder = machine.scratch_dir()
    described = machine.describe(folder)

    assert described["cores"] == machine.cores()
    assert described["file_system"] not in machine.NO_DISK
    assert machine.sync_median_ms(folder, count=3) > 0
