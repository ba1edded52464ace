"""The folder as `doctor` sees it."""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from runindex_server.kv import lock_file
from runindex_server.kv.lock_file import LockFile
from tests.unit.doctor.conftest import Examine

ME: Final = pwd.getpwuid(os.geteuid()).pw_name
MIB: Final = 1024**2

NO_USER: Final = 64_001
"""An id that no user of the machine has."""


def test_what_is_not_there_is_made_at_the_first_start(examined: Examine) -> None:
    found = examined()
    assert found["rights"] == ("ok", "data is made at the first start")
    assert found["lock"] == ("ok", "nobody holds data")
    assert found["store"] == ("ok", "there is none yet; the first start makes it")
    assert "version" not in found
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("kind", "level", "told"),
    [
        ("ext4", "ok", "data is on ext4"),
        (
            "overlay",
            "warning",
            "data is on overlay: what is written there goes with its container; mount a volume there",
        ),
        (
            "tmpfs",
            "warning",
            (
                "data is on tmpfs: what is written there is in memory, and goes with the machine's next "
                "start; use a disk"
            ),
        ),
        (
            "nfs4",
            "problem",
            (
                "data is on a file system of type nfs4, on which LMDB's locks and memory map cannot be "
                "trusted; use a data directory on a local disk."
            ),
        ),
    ],
)
def test_the_file_system(
    examined: Examine, mounted: Callable[[str], None], kind: str, level: str, told: str
) -> None:
    mounted(kind)
    assert examined()["file system"] == (level, told)


def disk(monkeypatch: pytest.MonkeyPatch, **facts: int) -> None:
    """Let the disk be like this."""
    usual = {
        "f_flag": 0,
        "f_frsize": 4096,
        "f_bavail": 2**20,
        "f_blocks": 2**21,
        "f_files": 10**6,
        "f_favail": 10**6,
    }
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**{**usual, **facts}))


def test_a_disk_that_takes_no_writes(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, f_flag=os.ST_RDONLY)
    assert examined()["file system"] == (
        "problem",
        "data is on ext4, which is mounted read-only; mount it for writing",
    )


def test_room_on_the_disk(examined: Examine, at_rest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_bytes = (at_rest / "store" / "data.mdb").stat().st_size + 64 * MIB
    assert copy_bytes % 4096 == 0
    disk(monkeypatch)
    assert examined()["disk"] == ("ok", "4.0 GiB of 8.0 GiB free")
    disk(monkeypatch, f_bavail=copy_bytes // 4096)
    assert examined()["disk"] == ("ok", "64.0 MiB of 8.0 GiB free")
    disk(monkeypatch, f_bavail=copy_bytes // 4096 - 1)
    assert examined()["disk"] == (
        "warning",
        (
            "64.0 MiB of 8.0 GiB free: verify and backup copy the store first, which may take 64.0 MiB; "
            "make room"
        ),
    )
    disk(monkeypatch, f_bavail=16 * MIB // 4096 - 1)
    assert examined()["disk"] == (
        "problem",
        "16.0 MiB of 8.0 GiB free: writes are refused by STORE_FULL; make room",
    )


def test_inodes(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, f_favail=999)
    assert examined()["disk"] == (
        "warning",
        "999 inodes free: soon no file can be made; remove files that nobody needs",
    )
    disk(monkeypatch, f_files=0, f_favail=0)
    assert examined()["disk"][0] == "ok"


def test_a_folder_for_its_owner_alone(examined: Examine, at_rest: Path) -> None:
    assert examined()["rights"] == ("ok", f"data is {ME}'s alone")
    at_rest.chmod(0o750)
    assert examined()["rights"] == (
        "warning",
        "data has the mode 0750, so that others can use it; close it: chmod -R go= data",
    )


def test_files_of_several_users(examined: Examine, at_rest: Path) -> None:
    """As when somebody shrank the store as root, and the server is not root."""
    os.chown(at_rest / "store" / "data.mdb", NO_USER, -1)
    assert examined()["rights"] == (
        "problem",
        f"data/store/data.mdb is user {NO_USER}'s, and data {ME}'s; give all to one: chown -R {ME} data",
    )


def test_a_folder_that_this_user_may_not_write(
    examined: Examine, at_rest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def access(path: Path, _: int, **__: Any) -> bool:
        return path.name != "data.mdb"

    monkeypatch.setattr(os, "access", access)
    assert examined()["rights"] == (
        "problem",
        (
            f"{ME} may not read and write data/store/data.mdb, which is {ME}'s and has the mode 0600; run "
            f"as {ME}, "
            "or open it: chmod -R u+rwX data"
        ),
    )


def test_a_folder_that_this_user_may_not_make(
    examined: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert examined()["rights"] == (
        "problem",
        f"data cannot be made: {ME} may not write {tmp_path}",
    )


@pytest.fixture
def lock(at_rest: Path) -> Iterator[LockFile]:
    """Hold the folder."""
    lock = LockFile.take_directory(at_rest)
    yield lock
    lock.release()


def test_a_folder_that_is_held(examined: Examine, lock: LockFile) -> None:
    found = examined(address="127.0.0.1:1")
    assert found["lock"] == ("ok", f"data/LOCK is held by process {os.getpid()}")
    assert found["version"] == ("ok", "not looked at: the store is open")
    assert found["address"] == (
        "warning",
        (
            "data is held, and no server answers at 127.0.0.1:1: it listens elsewhere (--address), speaks "
            "TLS (set "
            "RUNINDEX_TLS_CA), or hangs"
        ),
    )
    assert "server" not in found


def test_a_folder_whose_lock_file_was_removed(examined: Examine, lock: LockFile, at_rest: Path) -> None:
    (at_rest / "store" / "lock.mdb").unlink()
    assert examined(address="127.0.0.1:1")["lock"] == (
        "problem",
        (
            f"data/LOCK is held by process {os.getpid()}, and data/store/lock.mdb was removed meanwhile; "
            "stop the "
            "server, and start it again"
        ),
    )


def test_a_folder_that_is_held_by_who_cannot_be_seen(
    examined: Examine, lock: LockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another user, or in another container: the lock itself tells."""
    monkeypatch.setattr(lock_file, "_holders", lambda _: {})
    assert examined(address="127.0.0.1:1")["lock"] == (
        "warning",
        (
            f"data/LOCK is held by process {os.getpid()}, which cannot be seen from here: it is another "
            "user's, or another container's; another server is refused until it ends"
        ),
    )
    lock.release()
    assert examined()["lock"] == ("ok", "nobody holds data")


@contextmanager
def inheriting(lock: LockFile) -> Iterator[int]:
    """Let a process inherit a lock, and return its id."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    assert lock._fd is not None
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock._fd]) as process:
        yield process.pid


def test_a_folder_that_workers_hold_without_their_supervisor(examined: Examine, lock: LockFile) -> None:
    with ExitStack() as stack:
        first, second = sorted(stack.enter_context(inheriting(lock)) for _ in range(2))
        lock.release()
        assert examined(address="127.0.0.1:1")["lock"] == (
            "warning",
            f"data/LOCK is held by processes {first}, {second}; another server is refused until it ends",
        )
    assert examined()["lock"] == ("ok", "nobody holds data")
