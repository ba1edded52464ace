"""A damaged store is refused with a named error: no answer differs in silence, nothing dies, nothing hangs.

A store that holds everything is closed, and its data file damaged in thousands of ways, as a disk or a copy
may do it. It is opened as the server opens it, and all that callers can read is held against the answers of
the sound store.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import lmdb
import pytest

from runindex_server.kv.seal import SEAL_NAME
from tests.support.tally import Tally
from tests.trust.disk.damage import KINDS
from tests.trust.disk.trial import Bench, Outcome

MUTANTS: Final = 2_000
WAIT_S: Final = 900.0
SEED: Final = 1


def try_mutants(folder: Path, *options: str) -> dict[str, object]:
    """Return the report of mutants, which are tried in processes of their own."""
    report = folder / "report"
    command = [sys.executable, "-m", "tests.trust.disk.mutants", "--report", str(report), *options]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert report.exists(), tried.stderr
    told: dict[str, object] = json.loads(report.read_text())
    return told


def test_no_damage_goes_unnoticed(tmp_path: Path, tally: Tally) -> None:
    report = try_mutants(tmp_path, "--mutants", str(MUTANTS), "--seed", str(SEED))
    total, failed = report["total"], report["failed"]
    assert isinstance(total, int)
    assert isinstance(failed, int)
    tally("mutants of a store", runs=total, failures=failed)

    assert report["failures"] == []
    assert (total, failed) == (MUTANTS, 0)
    table = report["table"]
    assert isinstance(table, dict)
    assert table.keys() == KINDS.keys()
    refused = sum(counts.get(Outcome.REFUSED.name, 0) for counts in table.values())
    # Of very few the damage is none: a page in its own place, say.
    assert refused > MUTANTS * 9 // 10


def test_without_the_seal_the_harness_finds_damage(tmp_path: Path, tally: Tally) -> None:
    """The engine and the checksums of records alone do not notice all: there is something to find."""
    report = try_mutants(tmp_path, "--mutants", "60", "--seed", str(SEED), "--unsealed")
    failures = report["failures"]
    assert isinstance(failures, list)
    found = any(Outcome.SILENT in failure for failure in failures)
    tally("planted faults", runs=1, failures=int(not found))
    assert found


# What is no damage of pages, one by one.

Special = Callable[[Bench, Path], None]


def empty(bench: Bench, _: Path) -> None:
    bench.file.write_bytes(b"")


def one_byte(bench: Bench, _: Path) -> None:
    bench.file.write_bytes(b"\x00")


def zeros(bench: Bench, _: Path) -> None:
    bench.file.write_bytes(bytes(len(bench.image.now)))


def text(bench: Bench, _: Path) -> None:
    bench.file.write_text("this is not a store\n" * 1_000)


def other_database(bench: Bench, _: Path) -> None:
    bench.file.write_bytes(b"SQLite format 3\x00" + bytes(8_176))


def newer_format(bench: Bench, folder: Path) -> None:
    with lmdb.open(str(folder / "newer"), max_dbs=2, lib_version=1) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"1")
    bench.file.write_bytes((folder / "newer" / "data.mdb").read_bytes())


def foreign_environment(bench: Bench, folder: Path) -> None:
    with lmdb.open(str(folder / "foreign"), max_dbs=2, lib_version=0) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"1")
    bench.file.write_bytes((folder / "foreign" / "data.mdb").read_bytes())


def an_older_copy(bench: Bench, _: Path) -> None:
    """A sound file, but not that which was closed: commits would be lost without a word."""
    bench.file.write_bytes(bench.image.earlier)


def missing(bench: Bench, _: Path) -> None:
    bench.file.unlink()


def a_folder(bench: Bench, _: Path) -> None:
    bench.file.unlink()
    bench.file.mkdir()


def a_link_to_nothing(bench: Bench, folder: Path) -> None:
    bench.file.unlink()
    bench.file.symlink_to(folder / "nothing")


REFUSED: Final = (
    empty,
    one_byte,
    zeros,
    text,
    other_database,
    newer_format,
    foreign_environment,
    an_older_copy,
    missing,
    a_folder,
    a_link_to_nothing,
)


def lock_of_noise(bench: Bench, _: Path) -> None:
    bench.file.with_name("lock.mdb").write_bytes(b"\xa5" * 8_192)


def lock_of_zeros(bench: Bench, _: Path) -> None:
    bench.file.with_name("lock.mdb").write_bytes(bytes(8_192))


def lock_empty(bench: Bench, _: Path) -> None:
    bench.file.with_name("lock.mdb").write_bytes(b"")


def lock_missing(bench: Bench, _: Path) -> None:
    bench.file.with_name("lock.mdb").unlink()


def seal_of_noise(bench: Bench, _: Path) -> None:
    bench.file.with_name(SEAL_NAME).write_bytes(b"\xa5" * 24)


def seal_empty(bench: Bench, _: Path) -> None:
    bench.file.with_name(SEAL_NAME).write_bytes(b"")


def seal_missing(bench: Bench, _: Path) -> None:
    bench.file.with_name(SEAL_NAME).unlink()


HARMLESS: Final = (
    lock_of_noise,
    lock_of_zeros,
    lock_empty,
    lock_missing,
    seal_of_noise,
    seal_empty,
    seal_missing,
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench.made_in(tmp_path / "data", is_sealed=True)
    bench.lay_out(bench.image.now)
    yield bench
    assert bench.sound


@pytest.mark.parametrize("special", REFUSED)
def test_what_is_not_the_store_is_refused(
    special: Special, bench: Bench, tmp_path: Path, tally: Tally
) -> None:
    special(bench, tmp_path)
    verdict = bench.judge()
    tally("files in the place of a store", runs=1, failures=int(verdict.outcome is not Outcome.REFUSED))
    assert verdict.outcome is Outcome.REFUSED, verdict


@pytest.mark.parametrize("special", HARMLESS)
def test_what_means_nothing_at_rest_changes_nothing(
    special: Special, bench: Bench, tmp_path: Path, tally: Tally
) -> None:
    special(bench, tmp_path)
    verdict = bench.judge()
    tally("files beside a store", runs=1, failures=int(verdict.outcome is not Outcome.EQUAL))
    assert verdict.outcome is Outcome.EQUAL, verdict


def test_a_server_says_what_is_damaged_and_the_way_out(bench: Bench, tally: Tally) -> None:
    data = bytearray(bench.image.now)
    data[-1] ^= 1
    bench.lay_out(bytes(data))
    command = [sys.executable, "-m", "runindex_server", "serve", "--address", "127.0.0.1:0"]
    started = subprocess.run(
        [*command, "--data-dir", str(bench.data_dir)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    tally("servers over a damaged store", runs=1, failures=int(started.returncode != 1))
    assert started.returncode == 1
    assert started.stdout == ""
    assert started.stderr.strip() == (
        f"{bench.file} is damaged: it is not what it was when its store was closed; restore a backup, or "
        f"remove {bench.file.with_name(SEAL_NAME)} to look at what is left."
    )
