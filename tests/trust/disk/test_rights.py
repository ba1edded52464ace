"""A disk that takes no writes, and folders without rights, are told in a sentence; others get no rights.

The server names the path, what the system said of it, and where to look; and whatever it makes is readable
and writable by its own user alone, whatever the umask.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.crash.offline import make_store, read_store
from tests.support.tally import Tally
from tests.trust.disk.faulty import MAP_BYTES, Nursery, PlanFile, build_shim

WAIT_S: Final = 60.0
NOBODY: Final = 65_534
MAP: Final = ("--map-bytes", str(MAP_BYTES))
REFUSED: Final = 1
USAGE: Final = 2

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk, and lets others run a server"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc to compile what starts servers"),
]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    folder = tmp_path / "nursery"
    folder.mkdir()
    nursery = Nursery(PlanFile(folder / "plan"), build_shim(folder))
    yield nursery
    nursery.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder into which everybody may look."""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    return tmp_path


def serve(data_dir: Path, *options: str) -> tuple[str, ...]:
    return ("serve", "--address", "127.0.0.1:0", "--data-dir", str(data_dir), *MAP, *options)


def check_told(code: int, log: str, *wanted: str) -> None:
    """Check that a server did not start, and why."""
    assert code == REFUSED, log
    assert len(log.strip().splitlines()) == 1, log
    for text in wanted:
        assert text in log


def test_a_read_only_disk_is_told(nursery: Nursery, tmp_path: Path, tally: Tally) -> None:
    data_dir = tmp_path / "data"
    original = make_store(data_dir)
    subprocess.run(["mount", "--bind", str(data_dir), str(data_dir)], check=True, timeout=WAIT_S)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(data_dir)], check=True, timeout=WAIT_S)
        command = nursery.start(tmp_path, *serve(data_dir))
        assert command.target() is None
        code, log = command.exit_code(), command.logged()
    finally:
        subprocess.run(["umount", "--lazy", str(data_dir)], check=True, timeout=WAIT_S)
    tally("disks that take no writes", runs=1, failures=int(code != REFUSED))

    check_told(code, log, str(data_dir), "Read-only file system", "look at its permissions, its disk")
    assert read_store(data_dir) == original


def no_parent(data_dir: Path) -> None:
    data_dir.parent.mkdir(mode=0o755)


def no_lock(data_dir: Path) -> None:
    make_store(data_dir)
    data_dir.chmod(0o755)


def no_store(data_dir: Path) -> None:
    make_store(data_dir)
    for path in (data_dir, data_dir / "LOCK"):
        os.chown(path, NOBODY, NOBODY)


def no_file(data_dir: Path) -> None:
    no_store(data_dir)
    os.chown(data_dir / "store", NOBODY, NOBODY)


def no_write(data_dir: Path) -> None:
    no_file(data_dir)
    for path in (data_dir / "store").iterdir():
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o400)


LACKS: Final = (no_parent, no_lock, no_store, no_file, no_write)


@pytest.mark.parametrize("lack", LACKS)
def test_missing_rights_are_told(
    nursery: Nursery, place: Path, lack: Callable[[Path], None], tally: Tally
) -> None:
    data_dir = place / "parent" / "data"
    if lack is not no_parent:
        data_dir.parent.mkdir(mode=0o755)
    lack(data_dir)
    command = nursery.start(place, *serve(data_dir), uid=NOBODY)
    assert command.target() is None
    code, log = command.exit_code(), command.logged()
    tally("folders without rights", runs=1, failures=int(code != REFUSED))
    check_told(code, log, str(data_dir), "ermission denied", "look at its permissions")


def test_a_folder_that_cannot_be_read_is_told_by_the_command_line(
    nursery: Nursery, place: Path, tally: Tally
) -> None:
    data_dir = place / "data"
    make_store(data_dir)
    command = nursery.start(place, *serve(data_dir), uid=NOBODY)
    assert command.target() is None
    code, log = command.exit_code(), command.logged()
    tally("folders without rights", runs=1, failures=int(code != USAGE))
    assert code == USAGE
    assert f"'{data_dir}' is not readable" in log


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_a_server_makes_belongs_to_its_user_alone(
    nursery: Nursery, tmp_path: Path, umask: int, tally: Tally
) -> None:
    """Created, served, backed up, restored, and closed."""
    work = tmp_path / "work"
    work.mkdir()
    data_dir, file, restored = work / "data", work / "backup", work / "restored"
    # What serves is one process, what backs it up is another one.
    beside_folder = tmp_path / "beside"
    beside_folder.mkdir()
    beside = Nursery(PlanFile(beside_folder / "plan"), build_shim(beside_folder))
    try:
        server = nursery.start(work, *serve(data_dir), umask=umask)
        target = server.target()
        assert target is not None, server.logged()
        modes = modes_in(work)
        backup = beside.start(work, "backup", str(file), "--address", target, umask=umask)
        assert backup.exit_code() == 0, backup.logged()
        server.terminate()
        assert server.exit_code() == 0
        restore = beside.start(work, "restore", str(file), "--data-dir", str(restored), *MAP, umask=umask)
        assert restore.exit_code() == 0, restore.logged()
    finally:
        beside.close()
    modes = {**modes, **modes_in(work)}
    wrong = {path: oct(mode) for path, mode in modes.items() if mode != expected_mode(work / path)}
    tally("files and folders", runs=len(modes), failures=len(wrong))
    assert wrong == {}
    assert {
        "data",
        "data/LOCK",
        "data/store",
        "data/store/data.mdb",
        "backup",
        "restored/store",
    } <= modes.keys()


def modes_in(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def expected_mode(path: Path) -> int:
    return 0o700 if path.is_dir() else 0o600
