"""`export` and `import`: what is refused, and that a refused import writes nothing."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex_server.cli.exits import EXIT_REFUSED
from runindex_server.kv.lmdb_store import LmdbStore
from runindex_server.schema import keys, records
from tests.support import calls
from tests.support.bundle_stores import Served, all_rows, invoke, use
from tests.support.clock import ManualClock
from tests.support.repository import ROOT

OLD_STORE: Final = ROOT / "tests" / "data" / "storage-1.mdb.gz"
NEWER: Final = (
    "has format version 2, and this server reads up to 1: use the version of the server that made it, or a "
    "newer one"
)


def test_an_id_that_exists_is_refused_and_nothing_is_written(
    bundle: Path, filled: list[str], target: Path, clock: ManualClock
) -> None:
    assert invoke("import", bundle, "--data-dir", target)[0] == 0
    before = use(target, clock, all_rows)
    code, out, err = invoke("import", bundle, "--data-dir", target)

    assert (code, out) == (EXIT_REFUSED, "")
    assert err == (
        f"The store has the run {', '.join(filled[:3])} and 17 more already; nothing was imported.\n"
    )
    assert use(target, clock, all_rows) == before


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda data: data[:-1], "was cut short or is damaged: its checksum is not that of what it holds"),
        (lambda data: data[:200], "was cut short or is damaged: its checksum is not that of what it holds"),
        (lambda data: data[:11], "is no bundle of RunIndex"),
        (lambda data: data[:0], "is no bundle of RunIndex"),
        (lambda data: data[5:], "is no bundle of RunIndex"),
        (lambda data: data + b"x", "was cut short or is damaged: its checksum is not that of what it holds"),
        (
            lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
            "is damaged: its checksum is not that of what it holds",
        ),
        (
            lambda data: data[:8] + bytes([0, 0, 0, 2]) + data[12:],
            NEWER,
        ),
        (lambda data: data[:8] + bytes(4) + data[12:], "has format version 0, which there never was"),
    ],
)
def test_what_is_no_sound_bundle_is_refused_and_nothing_is_written(
    bundle: Path, target: Path, clock: ManualClock, damage: Callable[[bytes], bytes], problem: str
) -> None:
    bundle.write_bytes(damage(bundle.read_bytes()))
    before = use(target, clock, all_rows)
    code, out, err = invoke("import", bundle, "--data-dir", target)

    assert (code, out, err) == (EXIT_REFUSED, "", f"{bundle} is not imported: it {problem}.\n")
    assert use(target, clock, all_rows) == before


def test_a_bundle_of_times_to_come_is_refused(
    serve: Served, source: Path, target: Path, tmp_path: Path, clock: ManualClock
) -> None:
    clock.set(4_000_000_000_000_000)
    server = serve(source)
    run_id = calls.create_in(server.stub(), pb.RUN_STATE_COMPLETED).run_id
    server.stop()
    assert invoke("export", run_id, tmp_path / "b", "--data-dir", source)[0] == 0
    code, _, err = invoke("import", tmp_path / "b", "--data-dir", target)

    assert code == EXIT_REFUSED
    assert err.startswith(f"{tmp_path / 'b'} is not imported: it holds times that are ")
    assert err.endswith(" s ahead of this machine's clock; set the clock right.\n")


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("default", "The default run is not exported: every store has its own."),
        (calls.UNKNOWN_ID, f"There is no run {calls.UNKNOWN_ID}."),
        ("nonsense", "'nonsense' is no run id."),
        ("-", "No run is named."),
    ],
)
def test_runs_that_cannot_be_exported_are_told(
    filled: list[str], source: Path, tmp_path: Path, named: str, problem: str
) -> None:
    code, out, err = invoke("export", named, tmp_path / "b", "--data-dir", source, text="")

    assert (code, out, err) == (EXIT_REFUSED, "", f"{problem}\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("b")) == []


def test_a_file_that_exists_is_not_overwritten(bundle: Path, filled: list[str], source: Path) -> None:
    before = bundle.read_bytes()
    code, _, err = invoke("export", filled[0], bundle, "--data-dir", source)

    assert code == EXIT_REFUSED
    assert err == f"{bundle} exists, and is not overwritten; name another file, or remove it.\n"
    assert bundle.read_bytes() == before


def test_a_store_that_is_held_is_refused_with_the_holder(
    bundle: Path, filled: list[str], source: Path, target: Path, tmp_path: Path, clock: ManualClock
) -> None:
    async def invoke_meanwhile(_: LmdbStore) -> list[tuple[int, str, str]]:
        return [
            await asyncio.to_thread(invoke, "import", bundle, "--data-dir", target),
            await asyncio.to_thread(invoke, "export", filled[0], tmp_path / "b", "--data-dir", target),
            await asyncio.to_thread(
                invoke, "export", filled[0], tmp_path / "b", "--file", target / "store" / "data.mdb"
            ),
        ]

    for code, out, err in use(target, clock, invoke_meanwhile):
        assert (code, out) == (EXIT_REFUSED, "")
        assert "LOCK is held by process" in err
    assert not (tmp_path / "b").exists()


def test_a_folder_without_a_store_is_refused(bundle: Path, filled: list[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    for command in (["import", bundle], ["export", filled[0], tmp_path / "b"]):
        assert invoke(*command, "--data-dir", empty) == (
            EXIT_REFUSED,
            "",
            f"{empty} holds no store; name the data directory of one.\n",
        )
    assert not empty.exists()


def test_a_backup_of_an_older_version_is_not_exported(tmp_path: Path) -> None:
    file = tmp_path / "old"
    file.write_bytes(gzip.decompress(OLD_STORE.read_bytes()))
    code, _, err = invoke("export", calls.UNKNOWN_ID, tmp_path / "b", "--file", file)

    assert code == EXIT_REFUSED
    assert err.startswith(f"{file} is of an older storage version; ")


def test_a_missing_bundle_is_told(target: Path, tmp_path: Path) -> None:
    assert invoke("import", tmp_path / "b", "--data-dir", target) == (
        EXIT_REFUSED,
        "",
        f"{tmp_path / 'b'}: No such file or directory.\n",
    )


def test_damaged_data_is_not_exported(
    filled: list[str], source: Path, tmp_path: Path, clock: ManualClock
) -> None:
    run_id = UUID(filled[1]).bytes

    async def damage(store: LmdbStore) -> None:
        def fn(txn: Any) -> None:
            run = records.decode_run(keys.run(run_id), txn.get(keys.run(run_id)))
            txn.delete(
                keys.TRANSITION.prefix
                + run_id
                + run.generation.to_bytes(8, "big")
                + run.version.to_bytes(8, "big")
            )

        await store.write(fn)

    use(source, clock, damage)
    code, _, err = invoke("export", filled[1], tmp_path / "b", "--data-dir", source)

    assert code == EXIT_REFUSED
    assert err.startswith(
        f"{source} is damaged: the bundle holds what no store has written: of the run {filled[1]} "
    )
    assert not (tmp_path / "b").exists()
