"""Kill -9 at each step of shrinking: the store holds the same, and the same command completes it."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.crash.offline import make_store, read_store
from tests.crash.process import MAP_BYTES
from tests.crash.steps import STEPS_MAX, run_until


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_shrinking_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    original = make_store(tmp_path / "original")
    bytes_before = (tmp_path / "original" / "store" / "data.mdb").stat().st_size
    bytes_found = set()
    for step in range(1, STEPS_MAX):
        data_dir = tmp_path / f"data-{step}"
        shutil.copytree(tmp_path / "original", data_dir)
        data_file = data_dir / "store" / "data.mdb"
        command = ["shrink", "--data-dir", str(data_dir), "--map-bytes", str(MAP_BYTES)]
        code = run_until(command, step)
        bytes_found.add(data_file.stat().st_size)
        assert code in {0, -signal.SIGKILL}
        assert read_store(data_dir) == original
        # What was left is gone as soon as the store was open.
        assert names(data_dir / "store") == ["data.mdb", "data.mdb.seal", "lock.mdb"]
        assert run_until(command, STEPS_MAX) == 0
        assert read_store(data_dir) == original
        assert data_file.stat().st_size < bytes_before
        if code == 0:
            break
    else:
        pytest.fail("it has too many steps")
    # It was killed on both sides of the moment that counts.
    assert len(bytes_found) == 2
    assert bytes_before in bytes_found
