"""Files that are deleted or replaced under the server that has them open: no acknowledged write vanishes.

The server looks at its files once it has the write lock, and again before it acknowledges: a write that came
after they were replaced is refused, whoever else has begun to serve meanwhile, and the server stops.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import grpc
import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.kv.lock_file import StoreFiles
from tests.crash.ledger import LedgerClient, writing
from tests.crash.process import WAIT_S, check_data_dir
from tests.crash.workers import serving_workers
from tests.support.tally import Tally
from tests.trust.processes.commands import check_serves, own_channel, serve_arguments
from tests.trust.processes.programs import Program, nothing, programs
from tests.trust.processes.sabotage import (
    SABOTAGES,
    Sabotage,
    delete_both_locks,
    delete_engines_lock,
    delete_own_lock,
    replace_folder,
)

CLIENTS: Final = 4
ENOUGH: Final = 40
CONNECTIONS: Final = 12
"""So many that each of three workers mostly has one."""

REPLACED: Final = "the store's files were replaced under the server; it stops"


@contextmanager
def one_server(
    data_dir: Path, *, plant: Callable[[], None] = nothing
) -> Iterator[tuple[str, Callable[[], tuple[int, str]]]]:
    """Return where a server of one process can be called, and what waits for its end and log."""
    logs = data_dir.with_name("logs")
    with programs([serve_arguments(data_dir)], logs, plant=plant) as [program]:
        assert program.serves(), program.said
        yield program.target, lambda: (program.ended(), program.said)


@contextmanager
def three_workers(data_dir: Path) -> Iterator[tuple[str, Callable[[], tuple[int, str]]]]:
    """Return the same of a server of three workers."""
    with serving_workers(data_dir, workers=3) as server:

        def ended() -> tuple[int, str]:
            code = server.exit_code()
            return code, "\n".join(line["event"] for line in server.logged(REPLACED))

        yield server.target, ended


def acknowledged(target: str, connections: int = 1) -> list[str]:
    """Write once over each of some connections, and return the ids of the runs of which a server said OK."""
    found = []
    for _ in range(connections):
        with own_channel(target) as channel, suppress(grpc.RpcError):
            request = pb.CreateRunRequest(tags=["late"])
            found.append(RunIndexStub(channel).CreateRun(request, timeout=WAIT_S).run.run_id)
    return found


def check_kept(data_dir: Path, clients: list[LedgerClient]) -> None:
    """Check that a store is sound, and holds what was acknowledged."""
    asyncio.run(check_data_dir(data_dir))
    with programs([serve_arguments(data_dir)], data_dir.with_name("logs")) as [server]:
        assert server.serves(), server.said
        for client in clients:
            client.verify(server.target)


Served = AbstractContextManager[tuple[str, Callable[[], tuple[int, str]]]]
"""A server that runs meanwhile: where it can be called, and what waits for its end and log."""


def check_stops(serving: Callable[[Path], Served], sabotage: Sabotage, folder: Path, tally: Tally) -> None:
    """Replace files under a server: it stops, acknowledges nothing from then on, and keeps what it has."""
    data_dir = folder / "data"
    with (
        serving(data_dir) as (target, ended),
        writing(target, sabotage.__name__, clients=CLIENTS, enough=ENOUGH) as clients,
    ):
        kept = sabotage(data_dir, folder / "beside")
        late = acknowledged(target, CONNECTIONS)
        code, said = ended()
    tally("ways to replace files under a server", runs=1, failures=int(bool(late) or code != EXIT_FATAL))
    assert late == []
    assert code == EXIT_FATAL
    assert REPLACED in said
    check_kept(kept, clients)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda one: one.__name__)
def test_a_server_whose_files_are_replaced_stops_and_loses_nothing(
    tmp_path: Path, sabotage: Sabotage, tally: Tally
) -> None:
    check_stops(one_server, sabotage, tmp_path, tally)


@pytest.mark.parametrize(
    "sabotage",
    [delete_engines_lock, replace_folder],
    ids=lambda one: one.__name__,
)
def test_workers_whose_files_are_replaced_stop_and_lose_nothing(
    tmp_path: Path, sabotage: Sabotage, tally: Tally
) -> None:
    check_stops(three_workers, sabotage, tmp_path, tally)


@pytest.mark.parametrize("start", [one_server, three_workers])
def test_a_server_that_nobody_writes_to_learns_it_too(
    tmp_path: Path, start: Callable[..., object], tally: Tally
) -> None:
    """It stops within seconds, so that its health cannot go on saying that it is well."""
    data_dir = tmp_path / "data"
    running = one_server(data_dir) if start is one_server else three_workers(data_dir)
    with running as (target, ended):
        check_serves(target)
        replace_folder(data_dir, tmp_path / "beside")
        code, said = ended()
    tally("ways to replace files under a server", runs=1, failures=int(code != EXIT_FATAL))
    assert code == EXIT_FATAL
    assert REPLACED in said


def take_over(data_dir: Path, sabotage: Sabotage, *, plant: Callable[[], None] = nothing) -> tuple[int, int]:
    """Let a second server take a store from one that is stopped meanwhile; then both are asked to write.

    Returns:
        How many writes the first one said OK to then, and how many of all that were said OK to are gone.
    """
    with ExitStack() as stack:
        target, ended = stack.enter_context(one_server(data_dir, plant=plant))
        before = acknowledged(target, 2)
        first = _only_process(data_dir)
        os.kill(first, signal.SIGSTOP)
        sabotage(data_dir, data_dir)
        [second] = stack.enter_context(programs([serve_arguments(data_dir)], data_dir.with_name("logs")))
        assert second.serves(), second.said
        during = acknowledged(second.target, 2)
        os.kill(first, signal.SIGCONT)
        late = acknowledged(target)
        if not late:
            assert ended()[0] == EXIT_FATAL
        return len(late), _missing(second, [*before, *during, *late, *acknowledged(second.target)])


def _only_process(data_dir: Path) -> int:
    return int((data_dir / "LOCK").read_text())


def _missing(server: Program, run_ids: list[str]) -> int:
    """Return how many runs are gone, after the store was read by a process that began afresh."""
    with own_channel(server.target) as channel:
        stub = RunIndexStub(channel)
        there = [stub.RunExists(pb.RunExistsRequest(run_id=one), timeout=WAIT_S).exists for one in run_ids]
    return there.count(False)


@pytest.mark.parametrize("sabotage", [delete_own_lock, delete_both_locks], ids=lambda one: one.__name__)
def test_a_second_server_takes_over_wholly(tmp_path: Path, sabotage: Sabotage, tally: Tally) -> None:
    """Neither locks each other out any more; the first one writes nothing after the second has begun."""
    late, gone = take_over(tmp_path / "data", sabotage)
    tally("takings over by a second server", runs=1, failures=int(bool(late or gone)))
    assert (late, gone) == (0, 0)
    asyncio.run(check_data_dir(tmp_path / "data"))


def look_away() -> None:
    """Let a server not look at its files."""
    StoreFiles.are_in_place = lambda self: True  # type: ignore[method-assign]  # noqa: ARG005  # That is the fault.


def test_a_server_that_does_not_look_at_its_files_is_found(tmp_path: Path) -> None:
    """What the fault costs is what the others prove to be absent: a write that was acknowledged is gone."""
    late, gone = take_over(tmp_path / "data", delete_both_locks, plant=look_away)
    assert late == 1
    assert gone >= 1


def test_a_second_server_that_starts_under_load_loses_nothing_of_the_first(
    tmp_path: Path, tally: Tally
) -> None:
    data_dir = tmp_path / "data"
    with (
        three_workers(data_dir) as (target, ended),
        writing(target, "both", clients=CLIENTS, enough=ENOUGH) as clients,
    ):
        delete_both_locks(data_dir, tmp_path)
        with programs([serve_arguments(data_dir)], tmp_path / "logs") as [second]:
            assert second.serves(), second.said
            code, _ = ended()
            for client in clients:
                client.verify(second.target)
            check_serves(second.target)
    tally("takings over by a second server", runs=1, failures=int(code != EXIT_FATAL))
    assert code == EXIT_FATAL
    check_kept(data_dir, [])
