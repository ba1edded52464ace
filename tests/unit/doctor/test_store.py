"""The store as `doctor` sees it, while no server has it open."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runindex.v1 import maintenance_pb2 as pb
from runindex_server import __version__
from runindex_server.cli.diagnosis import store
from runindex_server.cli.diagnosis.network import check_server
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.diagnosis.store import check_clock, check_map
from runindex_server.kv.api import WriteTxn
from runindex_server.schema import keys
from runindex_server.schema.header import STORAGE_VERSION, read_header, replace_header
from runindex_server.schema.retention_state import ClockTick, write_clock_tick
from runindex_server.settings import Settings
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, ManualClock
from tests.unit.doctor.conftest import MAP_BYTES, Examine, Write, as_pair

NOW: Final = "2026-03-01 12:00:30 UTC"
DATA_FILE: Final = Path("data/store/data.mdb")


def with_version(version: int) -> Callable[[WriteTxn], None]:
    return lambda txn: replace_header(txn, replace(read_header(txn), storage_version=version))


def test_a_sound_store(examined: Examine, at_rest: Path) -> None:
    found, kib = examined(), DATA_FILE.stat().st_size // 1024
    assert found["store"] == ("ok", f"data/store/data.mdb is whole: {kib}.0 KiB")
    assert found["version"] == ("ok", f"storage version {STORAGE_VERSION}")
    assert found["map"] == ("ok", f"{kib}.0 KiB of 256.0 MiB in use")
    assert found["clock"] == ("ok", NOW)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8192])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (Path.unlink, f"{DATA_FILE} is missing; restore a backup, or use another data directory."),
        (
            lambda path: path.write_bytes(b"something else" * 1_000),
            (
                f"{DATA_FILE} is not a data file of RunIndex: it does not begin as one; restore a backup, "
                "or use another data directory."
            ),
        ),
        (cut, f"{DATA_FILE} was cut short: pages in use lie behind its end; restore a backup."),
        (
            flip,
            (
                f"{DATA_FILE} is damaged: it is not what it was when its store was closed; restore a "
                f"backup, or remove {DATA_FILE}.seal to look at what is left."
            ),
        ),
    ],
)
def test_a_store_that_is_not_opened(
    examined: Examine, at_rest: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(DATA_FILE)
    found = examined()
    assert found["store"] == ("problem", told)
    assert not found.keys() & {"version", "map"}


def test_a_restore_that_was_interrupted(examined: Examine) -> None:
    Path("data/store.restoring").mkdir(parents=True)
    assert examined()["store"] == (
        "problem",
        (
            "data/store.restoring is what an interrupted restore left; run the restore again, or remove "
            "it to begin with an empty store."
        ),
    )


def test_a_store_of_an_older_server(examined: Examine, write: Write) -> None:
    write(with_version(2))
    assert examined()["version"] == (
        "warning",
        (
            f"storage version 2: the next start migrates it to {STORAGE_VERSION}, and there is no way "
            "back; copy the folder first"
        ),
    )


def test_a_store_of_a_newer_server(examined: Examine, write: Write) -> None:
    write(with_version(99))
    assert examined()["version"] == (
        "problem",
        (
            f"the store has storage version 99; this server reads up to {STORAGE_VERSION}: start the "
            "version of the server that wrote it, or a newer one"
        ),
    )


def test_a_store_without_its_header(examined: Examine, write: Write) -> None:
    write(lambda txn: txn.delete(keys.STORE_HEADER))
    assert examined()["version"] == ("problem", "data is damaged: no store header.")


def test_a_store_that_fills_its_map(
    examined: Examine, at_rest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = DATA_FILE.stat().st_size
    monkeypatch.setattr(store, "MAP_PERCENT_WARNED", size * 100 / MAP_BYTES - 0.0001)
    assert examined()["map"] == (
        "warning",
        (
            f"{size // 1024}.0 KiB of 256.0 MiB in use: from 90 % on, only writes that also delete are "
            "taken; "
            "raise --map-bytes"
        ),
    )
    monkeypatch.setattr(store, "MAP_PERCENT_WARNED", size * 100 / MAP_BYTES + 0.0001)
    assert examined()["map"][0] == "ok"


@pytest.mark.parametrize(
    ("tick_us", "distrust_us", "level", "told"),
    [
        (0, 0, "ok", ""),
        (MINUTE_US, 0, "ok", ""),
        (HOUR_US, 0, "warning", ", which is 1h before the store noted the time last; set it right"),
        (-HOUR_US, 0, "ok", ""),
        (
            -DAY_US,
            0,
            "ok",
            (
                "; after a pause of 1d retention removes nothing for 1d, unless compact --trust-clock "
                "says that the clock is right"
            ),
        ),
        (
            -MINUTE_US,
            HOUR_US,
            "ok",
            (
                "; after a pause of 1m retention removes nothing for 1h 1m, unless compact --trust-clock "
                "says that the clock is right"
            ),
        ),
    ],
)
def test_the_clock(
    examined: Examine,
    write: Write,
    clock: ManualClock,
    tick_us: int,
    distrust_us: int,
    level: str,
    told: str,
) -> None:
    noted = ClockTick(clock.now_us() + tick_us, distrust_us)
    write(lambda txn: write_clock_tick(txn, noted))
    assert examined()["clock"] == (level, f"{NOW}{told}")


@pytest.fixture
def running(at_rest: Path, clock: ManualClock) -> Callable[..., Patient]:
    """Return what makes a folder whose server tells this."""

    def tell(**told: object) -> Patient:
        patient = Patient(Settings(data_dir=at_rest), clock)
        usual = {
            "store": pb.StoreIdentity(storage_version=STORAGE_VERSION, server_version=__version__),
            "sizes": pb.StoreSizes(used_bytes=1024, map_bytes=1000 * 1024),
        }
        vars(patient)["status"] = pb.GetStatusResponse(**{**usual, **told})
        return patient

    return tell


def test_what_a_running_server_tells(running: Callable[..., Patient]) -> None:
    (finding,) = check_server(running(readers=pb.StoreReaders(count=3), backlog=pb.Backlog(erasing_runs=1)))
    assert as_pair(finding) == (
        "ok",
        f"RunIndex {__version__}; 3 of 1,024 readers; 1 run to erase, 0 changes to merge",
    )


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            {"readers": pb.StoreReaders(count=512)},
            (
                "512 of 1,024 readers are taken; when none is left, reads are refused by OVERLOADED: call "
                "less at one time"
            ),
        ),
        (
            {"readers": pb.StoreReaders(count=1, oldest_lag_commits=10_000)},
            (
                "a snapshot is 10,000 commits behind, and the file grows as long as it is open; start the "
                "server again"
            ),
        ),
        (
            {"backlog": pb.Backlog(erasing_runs=10_000)},
            "10,000 runs to erase or more: the background jobs do not keep up; look at the disk's load",
        ),
        (
            {"backlog": pb.Backlog(unmerged_changes=10_000)},
            "10,000 changes to merge or more: the background jobs do not keep up; look at the disk's load",
        ),
        (
            {"store": pb.StoreIdentity(server_version="0.0.1")},
            f"RunIndex 0.0.1 runs, and {__version__} is installed; start the server again",
        ),
    ],
)
def test_what_troubles_a_running_server(
    running: Callable[..., Patient], told: dict[str, object], text: str
) -> None:
    (finding,) = check_server(running(**told))
    assert as_pair(finding) == ("warning", text)


@pytest.mark.parametrize(
    ("used", "level", "told"),
    [
        (749, "ok", ""),
        (750, "warning", ": from 90 % on, only writes that also delete are taken; raise --map-bytes"),
        (900, "problem", ": only writes that also delete are taken; raise --map-bytes, or delete runs"),
    ],
)
def test_how_full_a_running_server_says_that_its_map_is(
    running: Callable[..., Patient], used: int, level: str, told: str
) -> None:
    (finding,) = check_map(running(sizes=pb.StoreSizes(used_bytes=used * 1024, map_bytes=1000 * 1024)))
    assert as_pair(finding) == (level, f"{used}.0 KiB of 1000.0 KiB in use{told}")


def test_a_clock_of_which_a_running_server_says_that_it_jumped(
    running: Callable[..., Patient], clock: ManualClock
) -> None:
    resume = Timestamp(seconds=clock.now_us() // 1_000_000 + 7200)
    jump = pb.ClockJump(ahead=Duration(seconds=7200), resume_time=resume)
    (finding,) = check_clock(running(retention=pb.RetentionStatus(clock_jump=jump)))
    assert as_pair(finding) == (
        "warning",
        (
            f"{NOW}: it jumped 2h forward, and retention removes nothing until 2026-03-01 14:00:30 UTC; "
            "set it right, or trust it: runindex-server compact --trust-clock"
        ),
    )
    (finding,) = check_clock(running())
    assert as_pair(finding) == ("ok", NOW)
