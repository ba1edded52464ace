"""The commands on a folder that no server holds: `restore`, `shrink`, and `verify` of a file."""

import asyncio
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import lmdb
import pytest
from typer.testing import CliRunner

from runindex_server.cli.app import app
from runindex_server.cli.exits import EXIT_DRIFTED, EXIT_NOT_VERIFIED, EXIT_REFUSED
from runindex_server.kv.lmdb_restore import REVISIONS_SKIPPED
from runindex_server.kv.lmdb_store import LmdbStore, open_lmdb
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.run_index import create_run
from runindex_server.schema import keys
from runindex_server.schema.header import StoreHeader, read_header
from runindex_server.schema.run import RunId
from tests.support.clock import ManualClock
from tests.support.repository import ROOT

OLD_STORE: Final = ROOT / "tests" / "data" / "storage-1.mdb.gz"
RUNS: Final = 20
MAP_BYTES: Final = 64 * 1024 * 1024


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def use(data_dir: Path, fn: Callable[[LmdbStore], Any]) -> Any:
    """Return what a function of the open store of a folder returns."""

    async def open_and_use() -> Any:
        store = open_lmdb(
            data_dir,
            clock=ManualClock(),
            map_bytes=MAP_BYTES,
            initialise=initialise,
            on_fatal=lambda: None,
        )
        try:
            return await fn(store)
        finally:
            await store.close()

    return asyncio.run(open_and_use())


def header_of(data_dir: Path) -> tuple[StoreHeader, int]:
    return use(data_dir, lambda store: store.read(lambda txn: (read_header(txn), txn.revision)))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return the folder of a store that no server holds."""

    async def fill(store: LmdbStore) -> None:
        for number in range(1, RUNS):
            run_id = RunId(bytes(15) + bytes([number]))
            await store.write(lambda txn, run_id=run_id: create_run(txn, Draft(run_id=run_id)))

    use(tmp_path / "data", fill)
    return tmp_path / "data"


@pytest.fixture
def backup(data_dir: Path, tmp_path: Path) -> Path:
    """Return a backup."""

    async def take(store: LmdbStore) -> bytes:
        async with store.engine.copy() as copy:
            return b"".join(copy.chunks(2**20))

    path = tmp_path / "backup"
    path.write_bytes(use(data_dir, take))
    return path


@pytest.fixture
def drifted(data_dir: Path, backup: Path) -> Path:
    """Return a backup in which a row is missing."""
    with lmdb.open(str(data_dir / "store"), max_dbs=2, map_size=MAP_BYTES) as env:
        rows = env.open_db(b"rows")
        with env.begin(write=True) as txn:
            assert txn.delete(keys.all_runs(archived=False, ordinal=RUNS), db=rows)
        env.copy(str(backup.parent), compact=True)
    return (backup.parent / "data.mdb").rename(backup)


# Restoring.


def test_a_backup_is_restored_as_a_new_history(backup: Path, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    code, out, err = invoke("restore", backup, "--data-dir", target)

    assert (code, err) == (0, "")
    assert out.startswith(f"{target} holds the store now. Sound: {RUNS} runs, ")
    (old, old_revision), (new, new_revision) = header_of(data_dir), header_of(target)
    assert new_revision == old_revision + REVISIONS_SKIPPED
    assert new.epoch != old.epoch
    assert (new.store_id, new.token_key, new.create_us) == (old.store_id, old.token_key, old.create_us)


def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "old"
    file.write_bytes(gzip.decompress(OLD_STORE.read_bytes()))
    assert invoke("verify", "--file", file) == (
        EXIT_NOT_VERIFIED,
        "",
        f"{file} is of an older storage version; `restore` brings it up to date.\n",
    )
    before = file.read_bytes()
    code, out, err = invoke("restore", file, "--data-dir", tmp_path / "new")

    assert code == 0
    assert "Sound" in out
    assert "migrating the store from storage version 1 to 2" in err
    assert file.read_bytes() == before


def test_a_backup_that_drifted_is_not_restored(drifted: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    code, out, err = invoke("restore", drifted, "--data-dir", target)

    assert code == EXIT_REFUSED
    assert out.startswith("all runs: ")
    assert err.startswith(f"{drifted} is not restored: 1 drift in {RUNS} runs")
    assert [path.name for path in target.iterdir()] == ["LOCK"]


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("something else")
    code, out, err = invoke("restore", file, "--data-dir", tmp_path / "new")

    assert (code, out) == (EXIT_REFUSED, "")
    assert err == f"{file} is not a data file of RunIndex: it is too short to be one.\n"
    code, _, err = invoke("restore", tmp_path / "missing", "--data-dir", tmp_path / "new")
    assert (code, err) == (EXIT_REFUSED, f"{tmp_path / 'missing'}: No such file or directory.\n")


def test_a_folder_that_holds_something_is_refused(backup: Path, data_dir: Path) -> None:
    code, _, err = invoke("restore", backup, "--data-dir", data_dir)

    assert (code, err) == (
        EXIT_REFUSED,
        f"{data_dir / 'store'} is in the way: a backup is restored into a new or empty folder only.\n",
    )


def test_a_setting_out_of_bounds_is_refused(backup: Path, tmp_path: Path) -> None:
    code, _, err = invoke("restore", backup, "--data-dir", tmp_path / "new", "--map-bytes", 1)

    assert code == EXIT_REFUSED
    assert "--map-bytes (RUNINDEX_MAP_BYTES)" in err
    assert not (tmp_path / "new").exists()


# Shrinking.


def test_shrink_tells_how_large_the_store_was_and_is(data_dir: Path) -> None:
    before = header_of(data_dir)
    code, out, err = invoke("shrink", "--data-dir", data_dir)

    assert (code, err) == (0, "")
    assert out.startswith(f"{data_dir}: ")
    assert " before, " in out
    assert header_of(data_dir) == before


@pytest.mark.parametrize("command", [["shrink"], ["restore", "backup"]])
def test_a_store_that_is_held_is_refused_with_the_holder(
    data_dir: Path, backup: Path, command: list[str]
) -> None:
    async def invoke_meanwhile(_: LmdbStore) -> tuple[int, str, str]:
        arguments = [str(backup) if each == "backup" else each for each in command]
        return invoke(*arguments, "--data-dir", data_dir)

    code, _, err = use(data_dir, invoke_meanwhile)

    assert code == EXIT_REFUSED
    assert "LOCK is held by process" in err


def test_a_folder_without_a_store_is_not_shrunk(tmp_path: Path) -> None:
    code, _, err = invoke("shrink", "--data-dir", tmp_path)

    assert (code, err) == (
        EXIT_REFUSED,
        f"{tmp_path} holds no store; name the data directory of one.\n",
    )


# Verifying a file.


def test_a_file_is_verified_without_a_server(backup: Path) -> None:
    before = backup.read_bytes()
    code, out, err = invoke("verify", "--file", backup)

    assert (code, err) == (0, "")
    assert out.startswith(f"Sound: {RUNS} runs, ")
    assert backup.read_bytes() == before
    assert not backup.with_name("backup-lock").exists()


def test_a_drift_of_a_file_is_told(drifted: Path) -> None:
    code, out, _ = invoke("verify", "--file", drifted)

    assert code == EXIT_DRIFTED
    assert out.startswith("all runs: ")
    assert f"1 drift in {RUNS} runs" in out


def test_what_is_no_backup_is_not_verified(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"something else" * 1_000)
    code, out, err = invoke("verify", "--file", file)

    assert (code, out) == (EXIT_NOT_VERIFIED, "")
    assert "is not a data file of RunIndex" in err


def test_a_damaged_file_is_not_verified(backup: Path, tmp_path: Path) -> None:
    pages = bytearray(backup.read_bytes())
    for start in range(2 * 4096, len(pages), 4096):
        # No page is what it was.
        pages[start + 10] = 0x40
    backup.write_bytes(pages)
    code, out, err = invoke("verify", "--file", backup)

    assert (code, out) == (EXIT_NOT_VERIFIED, "")
    assert err.startswith(f"{backup} is damaged: ")
    shutil.rmtree(tmp_path / "data")
    assert invoke("restore", backup, "--data-dir", tmp_path / "data")[0] == EXIT_REFUSED
