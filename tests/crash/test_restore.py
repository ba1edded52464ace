"""Kill -9 at each step of a restore: the folder is empty or complete, and the same command completes it."""

import signal
from pathlib import Path

import pytest

from runindex_server.cli.exits import EXIT_REFUSED
from runindex_server.kv.guard import RestoreUnfinished
from runindex_server.kv.lmdb_restore import REVISIONS_SKIPPED
from tests.crash.offline import Contents, make_store, read_store, take_backup, use_store
from tests.crash.process import MAP_BYTES, ServerProcess
from tests.crash.steps import STEPS_MAX, run_until


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir()) if path.exists() else []


def check_restored(target: Path, original: Contents) -> None:
    """Check that a folder holds the original's runs in a new history."""
    restored = read_store(target)
    assert names(target) == ["LOCK", "store"]
    assert names(target / "store") == ["data.mdb", "data.mdb.seal", "lock.mdb"]
    assert restored.rows == original.rows
    assert restored.revision == original.revision + REVISIONS_SKIPPED
    assert restored.header != original.header


def test_a_restore_that_is_killed_leaves_all_or_nothing(tmp_path: Path) -> None:
    original = make_store(tmp_path / "data")
    backup = tmp_path / "backup"
    backup.write_bytes(use_store(tmp_path / "data", take_backup))
    unfinished = complete = 0
    for step in range(1, STEPS_MAX):
        target = tmp_path / f"target-{step}"
        command = ["restore", str(backup), "--data-dir", str(target), "--map-bytes", str(MAP_BYTES)]
        code = run_until(command, step)
        if code == 0:
            check_restored(target, original)
            break
        assert code == -signal.SIGKILL
        if (target / "store").exists():
            complete += 1
            check_restored(target, original)
            assert run_until(command, STEPS_MAX) == EXIT_REFUSED
        else:
            if (target / "store.restoring").exists():
                unfinished += 1
                with pytest.raises(RestoreUnfinished):
                    read_store(target)
            assert run_until(command, STEPS_MAX) == 0
        check_restored(target, original)
    else:
        pytest.fail("it has too many steps")
    # It was killed on both sides of the moment that counts.
    assert unfinished > 4
    assert complete >= 2


def test_serve_refuses_what_a_killed_restore_left(tmp_path: Path) -> None:
    (tmp_path / "data" / "store.restoring").mkdir(parents=True)
    with pytest.raises(AssertionError, match="run the restore again"):
        ServerProcess(tmp_path / "data")
    assert names(tmp_path / "data") == ["LOCK", "store.restoring"]
