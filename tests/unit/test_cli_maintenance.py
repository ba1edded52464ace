"""The commands on a running server: what they print, and how they exit."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from typer.testing import CliRunner

from runindex.v1 import run_index_pb2 as index_pb
from runindex_server import __version__
from runindex_server.cli.app import app
from runindex_server.cli.backup import partial_file
from runindex_server.cli.exits import EXIT_DRIFTED, EXIT_NOT_VERIFIED, EXIT_REFUSED
from runindex_server.cli.remote import maintenance
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.engine import Readers
from runindex_server.kv.lmdb_engine import LmdbEngine
from runindex_server.maintenance.backup import Begin, Chunk
from runindex_server.maintenance.verify.findings import Drift, Progress, Summary
from runindex_server.schema.run import RetentionPolicy
from tests.support.calls import Stub
from tests.support.clock import DAY_US, HOUR_US, ManualClock
from tests.support.data_calls import Data, put
from tests.support.server import RunningServer, StartServer
from tests.support.stores import ON_DISK

NOWHERE = "127.0.0.1:1"

Run = Callable[..., tuple[int, str, str]]

pytestmark = ON_DISK


@pytest.fixture(autouse=True)
def on_disk(store_kind: str) -> None:
    """Let the mark apply to each test."""


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def run(server: RunningServer) -> Run:
    """Return what runs a command on the server."""
    return lambda *arguments: invoke(*arguments, "--address", server.target)


def create_ended(stub: Stub, **policy: Any) -> str:
    run_id = stub.CreateRun(index_pb.CreateRunRequest()).run.run_id
    if policy:
        stub.SetRunRetention(
            index_pb.SetRunRetentionRequest(run_id=run_id, policy=index_pb.RetentionPolicy(**policy))
        )
    stub.CloseRun(index_pb.CloseRunRequest(run_id=run_id))
    return run_id


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], EXIT_REFUSED),
        (["compact"], EXIT_REFUSED),
        (["backup", "file"], EXIT_REFUSED),
        (["verify"], EXIT_NOT_VERIFIED),
    ],
)
def test_where_no_server_answers_it_is_said(arguments: list[str], code: int, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "file") if each == "file" else each for each in arguments]

    assert invoke(*arguments, "--address", NOWHERE) == (
        code,
        "",
        f"No answer from {NOWHERE}: is a server running there?\n",
    )
    assert list(tmp_path.iterdir()) == []


class FailedCall(grpc.RpcError):
    """A call that ended with a status, but without a refusal of ours."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "made up"

    def trailing_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (grpc.StatusCode.UNAVAILABLE, f"No answer from {NOWHERE}: is a server running there?"),
        (
            grpc.StatusCode.UNIMPLEMENTED,
            f"The server at {NOWHERE} does not know this; it is older than this command.",
        ),
        (grpc.StatusCode.CANCELLED, f"The call to {NOWHERE} failed: CANCELLED, made up"),
    ],
)
def test_whatever_fails_is_a_sentence(
    code: grpc.StatusCode, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def call() -> None:
        with maintenance(NOWHERE, exit_code=7):
            raise FailedCall(code)

    with pytest.raises(typer.Exit) as ended:
        call()
    assert ended.value.exit_code == 7
    assert capsys.readouterr().err == f"{told}\n"


# Status.


def test_status_is_a_table(run: Run, stub: Stub) -> None:
    create_ended(stub)
    code, out, err = run("status")

    assert (code, err) == (0, "")
    assert f"RunIndex {__version__}" in out
    assert "active 1, paused 0, completed 1, failed 0, cancelled 0, archived 0" in out
    assert re.search(r"^Sizes +[\d.]+ \w+ used, [\d.]+ \w+ free$", out, re.MULTILINE)
    assert re.search(r"^Readers +none$", out, re.MULTILINE)
    assert re.search(r"^Retention +default policy keep_all$", out, re.MULTILINE)
    assert "no compaction yet" in out
    assert "next compaction 2026-03-01 12:10:30 UTC" in out
    assert "THE WALL CLOCK" not in out


def test_status_tells_a_jump_of_the_clock(run: Run, stub: Stub, clock: ManualClock) -> None:
    clock.set(clock.now_us() + 2 * DAY_US)
    _, out, _ = run("status")

    assert "THE WALL CLOCK JUMPED 2d forward" in out
    assert "until 2026-03-05 12:00:30 UTC" in out
    assert "--trust-clock" in out


def test_status_for_programs_is_the_response(run: Run, stub: Stub) -> None:
    create_ended(stub)
    code, out, err = run("status", "--json")
    told = json.loads(out)

    assert (code, err) == (0, "")
    assert {"state": "RUN_STATE_COMPLETED", "count": "1"} in told["runs"]
    assert told["backlog"] == {"erasingRuns": "0", "unmergedChanges": "3", "dueRuns": "0"}


def test_status_tells_readers_and_what_the_last_compaction_removed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LmdbEngine, "readers", lambda _: Readers(count=2, oldest_lag_commits=1_000))
    assert run("compact")[0] == 0
    _, out, _ = run("status")

    assert "2, the oldest 1,000 commits behind" in out
    assert "last compaction 2026-03-01 12:00:30 UTC: 0 runs deleted;" in out


def test_status_tells_that_no_compaction_is_scheduled(start: StartServer) -> None:
    server = start(retention_interval_s=0)
    _, out, _ = invoke("status", "--address", server.target)

    assert "no compaction is scheduled" in out


# Compaction.


def test_compact_tells_what_went_of_each_run_and_why(
    run: Run, stub: Stub, data: Data, clock: ManualClock
) -> None:
    gone = create_ended(stub, delete_after={"seconds": 86_400})
    trimmed = stub.CreateRun(index_pb.CreateRunRequest()).run.run_id
    stub.SetRunRetention(
        index_pb.SetRunRetentionRequest(run_id=trimmed, policy=index_pb.RetentionPolicy(keep_latest_n=1))
    )
    for number in range(3):
        put(data, trimmed, "key", number)
    clock.advance(DAY_US + HOUR_US)
    dry = run("compact", "--dry-run")
    real = run("compact", "--trust-clock")

    assert dry[0] == real[0] == 0
    assert f"{gone}  would go: the run with 0 B of data; ended 2026-03-01" in dry[1]
    assert "(delete_after=1d)" in dry[1]
    assert f"{trimmed}  would go: 2 versions, 0 events" in dry[1]
    assert "(keep_latest_n=1)" in dry[1]
    assert "1 run deleted; 2 versions and 0 events removed from 1 run" in dry[1]
    assert "dry run: nothing was removed" in dry[1]
    assert real[1] == dry[1].replace("would go", "gone").replace(" (dry run: nothing was removed)", "")
    assert not stub.RunExists(index_pb.RunExistsRequest(run_id=gone)).exists


def test_compact_names_the_default_policy(start: StartServer, clock: ManualClock) -> None:
    server = start(default_retention=RetentionPolicy(delete_after_us=DAY_US))
    create_ended(server.stub())
    clock.advance(DAY_US + HOUR_US)
    _, out, _ = invoke("compact", "--dry-run", "--address", server.target)

    assert "(delete_after=1d, the default)" in out


def test_compact_is_refused_after_a_jump_of_the_clock(run: Run, clock: ManualClock) -> None:
    clock.set(clock.now_us() + DAY_US)
    code, out, err = run("compact")

    assert (code, out) == (EXIT_REFUSED, "")
    assert "The wall clock has jumped 86400 seconds forward" in err
    assert run("compact", "--trust-clock")[0] == 0


def test_a_dry_run_does_not_trust_the_clock(run: Run) -> None:
    code, _, err = run("compact", "--dry-run", "--trust-clock")

    assert code == EXIT_REFUSED
    assert "trust_clock" in err


def test_a_compaction_that_breaks_off_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def compact(*_: Any, **__: Any) -> Any:
        return
        yield

    monkeypatch.setattr(Retention, "compact", compact)
    code, out, err = run("compact")

    assert (code, out) == (EXIT_REFUSED, "")
    assert "Run the command again." in err


# Verification.


def test_a_sound_store_is_said_to_be(run: Run, stub: Stub) -> None:
    create_ended(stub)
    code, out, err = run("verify")

    assert (code, err) == (0, "")
    assert re.fullmatch(r"Sound: 2 runs, \d+ rows\. It took 0\.\d s\.\n", out)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list of what the server's verification yields."""
    pieces: list[Any] = []

    async def verify(_: object) -> Any:
        for piece in pieces:
            yield piece

    monkeypatch.setattr("runindex_server.rpc.maintenance_servicer.verify", verify)
    return pieces


def test_each_drift_is_a_line(run: Run, verified: list[Any]) -> None:
    verified += [
        Progress("index rows", 10, 1),
        Drift("all runs", b"\x00\x03", "a row is left over", 1),
        Drift("posting", b"\x41", "a term is missing", 1),
        Summary(runs=2, rows=10, drifts=2, duration_us=1_500_000, revision=1),
    ]

    code, out, err = run("verify")

    assert (code, err) == (EXIT_DRIFTED, "")
    assert out.splitlines() == [
        "all runs: a row is left over [0003]",
        "posting: a term is missing [41]",
        "2 drifts in 2 runs, 10 rows. It took 1.5 s.",
    ]


def test_a_verification_that_breaks_off_says_nothing_of_the_store(run: Run, verified: list[Any]) -> None:
    verified.append(Progress("index rows", 10, 1))
    code, out, err = run("verify")

    assert (code, out) == (EXIT_NOT_VERIFIED, "")
    assert "run it again" in err


# Backup.


def test_a_backup_is_a_file_that_only_its_owner_reads(run: Run, stub: Stub, tmp_path: Path) -> None:
    create_ended(stub)
    file = tmp_path / "backups" / "one"
    file.parent.mkdir()
    code, out, err = run("backup", str(file))

    assert (code, err) == (0, "")
    assert re.match(rf"{file}: [\d.]+ KiB, the store as of 2026-03-01 12:00:30 UTC, at revision 3\.", out)
    assert [path.name for path in file.parent.iterdir()] == ["one"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert invoke("verify", "--file", str(file))[:1] == (0,)


def test_a_file_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text("mine")
    code, _, err = run("backup", str(file))

    assert code == EXIT_REFUSED
    assert "not overwritten" in err
    assert file.read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    code, _, err = run("backup", str(tmp_path / "missing" / "one"))

    assert (code, err) == (
        EXIT_REFUSED,
        f"{tmp_path / 'missing' / 'one.partial'}: No such file or directory.\n",
    )


def test_what_a_killed_backup_left_is_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.partial").write_bytes(bytes(10_000_000))

    assert run("backup", str(tmp_path / "one"))[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["one"]
    assert (tmp_path / "one").stat().st_size < 1_000_000


def test_a_backup_that_is_not_whole_is_not_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def backup(*_: Any, **__: Any) -> Any:
        yield Begin(total_bytes=10, create_us=0, revision=1)
        yield Chunk(data=b"half", revision=1)

    monkeypatch.setattr("runindex_server.rpc.maintenance_servicer.backup", backup)
    code, out, err = run("backup", str(tmp_path / "one"))

    assert (code, out) == (EXIT_REFUSED, "")
    assert "not whole: it ends without a trailer" in err
    assert f"{tmp_path / 'one'} was not written" in err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_two_backups_do_not_write_one_file(run: Run, tmp_path: Path) -> None:
    with partial_file(tmp_path / "one"):
        code, _, err = run("backup", str(tmp_path / "one"))

    assert (code, err) == (EXIT_REFUSED, f"{tmp_path / 'one'} is being written by another backup.\n")
