"""A worker: what it does of all that a server does."""

import subprocess
import sys

import pytest

from runindex_server.cli.worker import part_of
from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.task import WorkerTask


@pytest.mark.parametrize(
    ("worker", "is_first", "migrates", "runs_jobs"),
    [(0, True, True, True), (0, False, False, True), (1, False, False, False), (63, False, False, False)],
)
def test_one_of_them_runs_the_jobs_and_its_first_start_migrates(
    worker: int, *, is_first: bool, migrates: bool, runs_jobs: bool
) -> None:
    memory = WorkerMemory.create()
    task = WorkerTask(worker=worker, address="127.0.0.1:1", memory_fd=memory.fileno(), is_first=is_first)
    part = part_of(task, memory)

    assert (part.migrates, part.runs_jobs) == (migrates, runs_jobs)
    assert part.shares_port
    assert part.address == task.address


def test_what_one_tells_on_the_board_all_know() -> None:
    memory = WorkerMemory.create()
    parts = [
        part_of(
            WorkerTask(worker=worker, address="127.0.0.1:1", memory_fd=memory.fileno(), is_first=False),
            memory,
        )
        for worker in range(2)
    ]
    assert parts[0].board is not None
    assert parts[1].board is not None
    parts[0].board.put_next(7)

    assert parts[1].board.next_us() == 7


def test_a_worker_loads_no_command() -> None:
    """It starts again while callers wait: what it does not need takes longer to load than the rest."""
    loaded = "{'typer', 'runindex_server.cli.app'} & set(sys.modules)"
    code = f"import runindex_server.cli.worker, sys; print(*{loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
