"""A store has one server: whoever comes second, and by whatever way, is refused and changes nothing."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.cli.exits import EXIT_NOT_VERIFIED
from runindex_server.exit_codes import EXIT_REFUSED
from tests.crash.process import WAIT_S, serving
from tests.crash.workers import serving_workers
from tests.support.tally import Tally
from tests.trust.processes.commands import (
    Ended,
    check_serves,
    contents,
    own_channel,
    run_to_end,
    serve_arguments,
)
from tests.trust.processes.programs import Program, ended, programs

ROUNDS: Final = 20
WORKERS: Final = 3


def can_unshare() -> bool:
    """Tell whether this process may make namespaces: root mostly may, but not in every container."""
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_namespaces: Final = pytest.mark.skipif(not can_unshare(), reason="namespaces cannot be made here")


@dataclass(frozen=True)
class Held:
    """A store that a server holds.

    Attributes:
        folder: Beside its data directory there are a backup and a bundle.
        pid: Of the server; of several processes, of the supervisor.
        target: Where it can be called.
    """

    folder: Path
    pid: int
    target: str

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self.folder / "data"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a backup of a store, and a bundle of its run."""
    folder = tmp_path_factory.mktemp("material")
    with serving(folder / "data") as server:
        with own_channel(server.target) as channel:
            stub = RunIndexStub(channel)
            run_id = stub.CreateRun(pb.CreateRunRequest()).run.run_id
            stub.CloseRun(pb.CloseRunRequest(run_id=run_id))
        arguments = ["backup", str(folder / "backup"), "--address", server.target]
        backup = ended(arguments, folder / "logs")
    arguments = ["export", run_id, str(folder / "bundle"), "--file", str(folder / "backup")]
    bundle = ended(arguments, folder / "logs")
    assert (backup.code, bundle.code) == (0, 0), (backup, bundle)
    return folder


@pytest.fixture(scope="module", params=[1, WORKERS], ids=["one process", "three workers"])
def first(
    request: pytest.FixtureRequest, material: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Held]:
    """Return a store that a server of some processes holds."""
    folder = tmp_path_factory.mktemp("held")
    for name in ("backup", "bundle"):
        shutil.copy(material / name, folder)
    with ExitStack() as stack:
        if request.param == 1:
            one = stack.enter_context(serving(folder / "data"))
            held = Held(folder, one.pid, one.target)
        else:
            several = stack.enter_context(serving_workers(folder / "data", workers=request.param))
            held = Held(folder, several.pid, several.target)
        check_serves(held.target)
        yield held


def names(refusal: Ended, held: Held) -> bool:
    """Tell whether a refusal names the holder and the way out, in a sentence and not in a traceback."""
    sentence = f"LOCK is held by process {held.pid}; stop it, or use another data directory."
    is_told = sentence in refusal.said and "Traceback" not in refusal.said
    return is_told and refusal.code in (EXIT_REFUSED, EXIT_NOT_VERIFIED)


def check_refused(first: Held, tally: Tally, tried: dict[str, Ended], before: dict[str, str]) -> None:
    """Check that all that was tried was refused as it must be, and has changed nothing."""
    wrong = {how: refusal for how, refusal in tried.items() if not names(refusal, first)}
    after = contents(first.data_dir)
    tally("ways of a second process to a store", runs=len(tried), failures=len(wrong) + (before != after))
    assert wrong == {}
    assert before == after
    check_serves(first.target)


def test_a_second_server_is_refused_however_it_spells_the_folder(first: Held, tally: Tally) -> None:
    link, above = first.folder / "link", first.folder.with_name(f"{first.folder.name}-link")
    link.unlink(missing_ok=True)
    above.unlink(missing_ok=True)
    link.symlink_to(first.data_dir)
    above.symlink_to(first.folder)
    (first.folder / "beside").mkdir(exist_ok=True)
    spellings = {
        "the same": first.data_dir,
        "with dots": f"{first.folder}/beside/../data/./",
        "a link": link,
        "a link above it": above / "data",
        "from within": ".",
        "by a descriptor": "/proc/self/cwd",
    }
    before = contents(first.data_dir)
    logs = first.folder / "logs"
    tried = {
        name: ended(serve_arguments(spelling), logs, folder=first.data_dir)
        for name, spelling in spellings.items()
    }
    tried["from beside"] = ended(serve_arguments("../data"), logs, folder=first.folder / "beside")
    tried["with workers"] = ended(serve_arguments(first.data_dir, workers=WORKERS), logs)
    check_refused(first, tally, tried, before)


@needs_namespaces
def test_a_second_server_is_refused_in_namespaces_of_its_own(first: Held, tally: Tally) -> None:
    mounted = first.folder / "mounted"
    mounted.mkdir(exist_ok=True)
    mount = (
        "unshare",
        "--mount",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        f'mount --bind {first.data_dir} {mounted} && exec "$@"',
        "-",
    )
    before = contents(first.data_dir)
    tried = {
        "a bind mount": run_to_end(*serve_arguments(mounted), before=mount),
        "a bind mount, with workers": run_to_end(*serve_arguments(mounted, workers=WORKERS), before=mount),
        "another pid namespace": run_to_end(
            *serve_arguments(first.data_dir), before=("unshare", "--pid", "--fork", "--kill-child")
        ),
    }
    check_refused(first, tally, tried, before)


@needs_namespaces
def test_a_holder_that_cannot_be_seen_is_named_as_that(first: Held, tally: Tally) -> None:
    """In a container of its own the second one cannot see the first, whose number means nothing there."""
    before = contents(first.data_dir)
    refusal = run_to_end(
        *serve_arguments(first.data_dir),
        before=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
    )
    said = f"is held by process {first.pid}, which cannot be seen from here"
    tally("ways of a second process to a store", runs=1, failures=int(said not in refusal.said))
    assert said in refusal.said
    assert refusal.code == EXIT_REFUSED
    assert contents(first.data_dir) == before


def test_commands_on_a_held_store_are_refused(first: Held, tally: Tally) -> None:
    data_dir, folder = str(first.data_dir), first.folder
    data_file = f"{data_dir}/store/data.mdb"
    link = folder / "a link to its file"
    link.unlink(missing_ok=True)
    link.symlink_to(data_file)
    before = contents(first.data_dir)
    commands = {
        "restore over it": ["restore", str(folder / "backup"), "--data-dir", data_dir],
        "restore from it": ["restore", data_file, "--data-dir", str(folder / "new")],
        "restore from a link to it": ["restore", str(link), "--data-dir", str(folder / "new")],
        "shrink": ["shrink", "--data-dir", data_dir],
        "export": ["export", "default", str(folder / "other"), "--data-dir", data_dir],
        "export from its file": ["export", "default", str(folder / "other"), "--file", data_file],
        "import": ["import", str(folder / "bundle"), "--data-dir", data_dir],
        "import, dry": ["import", str(folder / "bundle"), "--data-dir", data_dir, "--dry-run"],
        "verify its file": ["verify", "--file", data_file],
        "verify a link to it": ["verify", "--file", str(link)],
    }
    tried = {name: ended(arguments, folder / "logs") for name, arguments in commands.items()}
    check_refused(first, tally, tried, before)
    assert not (folder / "other").exists()


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_port_that_is_taken_is_refused(first: Held, tally: Tally, tmp_path: Path, workers: int) -> None:
    """Another folder: the port alone is refused, and calls go on to the first."""
    refusal = ended(
        serve_arguments(tmp_path / "other", address=first.target, workers=workers), tmp_path / "logs"
    )
    said = f"cannot listen on {first.target}: is another server running there?"
    tally("ways of a second process to a port", runs=1, failures=int(said not in refusal.said))
    assert said in refusal.said
    assert refusal.code == EXIT_REFUSED
    check_serves(first.target)


def test_a_store_by_another_name_is_refused(tmp_path: Path, tally: Tally) -> None:
    """Links inside the folder lead to the store past its lock: two writers would not see each other."""
    with serving(tmp_path / "data") as server:
        store = tmp_path / "data" / "store"
        for name in ("folder", "file", "hard"):
            (tmp_path / name).mkdir()
        (tmp_path / "folder" / "store").symlink_to(store)
        for name in ("file", "hard"):
            (tmp_path / name / "store").mkdir()
        (tmp_path / "file" / "store" / "data.mdb").symlink_to(store / "data.mdb")
        (tmp_path / "hard" / "store" / "data.mdb").hardlink_to(store / "data.mdb")
        tried = {
            (name, workers): ended(serve_arguments(tmp_path / name, workers=workers), tmp_path / "logs")
            for name in ("folder", "file", "hard")
            for workers in (1, 2)
        }
        tried |= {
            (name, 0): ended(["shrink", "--data-dir", str(tmp_path / name)], tmp_path / "logs")
            for name in ("folder", "file", "hard")
        }
        said = "is a link, or has another name, by which a second server can open it"
        wrong = {how: one for how, one in tried.items() if one.code != EXIT_REFUSED or said not in one.said}
        tally("ways of a second process to a store", runs=len(tried), failures=len(wrong))
        assert wrong == {}
        check_serves(server.target)


def test_those_that_a_killed_supervisor_left_are_named(tmp_path: Path, tally: Tally) -> None:
    """The process that took the lock is gone: who is to be stopped are the workers, until they have ended."""
    data_dir = tmp_path / "data"
    with serving_workers(data_dir) as server:
        workers = sorted(server.worker(number) for number in range(2))
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        server.kill()
        both = ended(serve_arguments(data_dir), tmp_path / "logs")
        os.kill(workers[0], signal.SIGKILL)
        wait_until_gone(workers[0])
        one = ended(serve_arguments(data_dir), tmp_path / "logs")
        os.kill(workers[1], signal.SIGCONT)
        server.exit_code()
    told = [
        f"held by processes {workers[0]}, {workers[1]}; stop them, or use another data directory."
        in both.said,
        f"held by process {workers[1]}; stop it, or use another data directory." in one.said,
    ]
    tally("ways of a second process to a store", runs=2, failures=told.count(False))
    assert all(told), (both, one)
    with serving(data_dir) as server_again:
        check_serves(server_again.target)


def test_of_two_that_start_at_the_same_instant_one_serves(tmp_path: Path, tally: Tally) -> None:
    """Half of the rounds on a store that is there, half on a folder in which it is yet to be made."""
    wrong = []
    for number in range(ROUNDS):
        data_dir = tmp_path / ("data" if number % 2 else f"new-{number}")
        with programs([serve_arguments(data_dir)] * 2, tmp_path / "logs") as both:
            winners = [program for program in both if program.serves()]
            losers = [program for program in both if program not in winners]
            if len(winners) == 1 and is_refused_by(losers[0], winners[0]):
                check_serves(winners[0].target)
            else:
                wrong.append([(program.pid, program.code, program.said) for program in both])
    tally("starts of two servers at the same instant", runs=ROUNDS, failures=len(wrong))
    assert wrong == []


def lock_nothing() -> None:
    """Let a lock be taken by anybody."""
    fcntl.flock = lambda *_: None


def test_a_lock_that_does_not_hold_is_found(tmp_path: Path) -> None:
    """Then both serve: what the rounds above count."""
    servers = [serve_arguments(tmp_path / "data")] * 2
    with serving(tmp_path / "data") as server:
        server.terminate()
        assert server.exit_code() == 0
    with programs(servers, tmp_path / "logs", plant=lock_nothing) as both:
        assert [program.serves() for program in both] == [True, True]


def wait_until_gone(pid: int) -> None:
    """Wait until a process that was killed has given back what it held."""
    deadline = time.monotonic() + WAIT_S
    # Whoever adopts it may leave it unburied.
    while (status := Path(f"/proc/{pid}/stat")).exists() and status.read_text().rpartition(")")[2][1] != "Z":
        assert time.monotonic() < deadline


def is_refused_by(loser: Program, winner: Program) -> bool:
    """Tell whether a server that came second has named the first."""
    return loser.code == EXIT_REFUSED and f"LOCK is held by process {winner.pid};" in loser.said
