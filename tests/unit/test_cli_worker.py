"""A worker: what it does of all that a server does."""

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
    task = WorkerTask(worker=worker, is_first=is_first, ready_fd=-1, supervisor_fd=-1)
    part = part_of(task, "127.0.0.1:1", memory)

    assert (part.migrates, part.runs_jobs) == (migrates, runs_jobs)
    assert part.shares_port
    assert part.address == "127.0.0.1:1"


def test_what_one_tells_on_the_board_all_know() -> None:
    memory = WorkerMemory.create()
    parts = [
        part_of(
            WorkerTask(worker=worker, is_first=False, ready_fd=-1, supervisor_fd=-1), "127.0.0.1:1", memory
        )
        for worker in range(2)
    ]
    assert parts[0].board is not None
    assert parts[1].board is not None
    parts[0].board.put_next(7)

    assert parts[1].board.next_us() == 7
