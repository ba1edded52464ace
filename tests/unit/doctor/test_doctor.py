"""`doctor` as a command: what it prints, how it exits, that it changes nothing; beside real servers too."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
import trustme
from typer.testing import CliRunner

from runindex_server import __version__
from runindex_server.access.caller import Role
from runindex_server.access.token_file import add_token
from runindex_server.access.tokens import new_token
from runindex_server.cli import exits
from runindex_server.cli.app import app
from runindex_server.cli.diagnosis.network import check_address
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.doctor import CHECKS
from runindex_server.rpc.address import AddressInUse
from runindex_server.settings import Settings
from runindex_server.supervisor.port import OwnedPort
from tests.support.clock import ManualClock
from tests.support.repository import ROOT
from tests.unit.doctor.conftest import Examine, Write, as_pair

WAIT_S: Final = 60.0

Serve = Callable[..., tuple[str, int]]


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments], env=environment)
    assert result.stderr == ""
    return result.exit_code, result.stdout


def lines_of(told: str) -> dict[str, tuple[str, str]]:
    """Return what was printed: by check its level, and what is told."""
    return {line[9:22].rstrip(): (line[:9].rstrip(), line[22:]) for line in told.splitlines()}


def everything_in(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what is in a folder: names, modes, times and bytes."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


@pytest.fixture
def serve(data_dir: Path) -> Iterator[Serve]:
    """Return what serves a folder, and returns the address and the process; all are ended without a fault."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> tuple[str, int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "runindex_server", "serve", "--address", "127.0.0.1:0", *flags],
            env={**os.environ, "RUNINDEX_DATA_DIR": "data"},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().split(" listens on ")[1].split(";")[0], process.pid

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        with process:
            assert process.wait(WAIT_S) == 0


def test_it_changes_nothing_and_exits_0(at_rest: Path, tmp_path: Path) -> None:
    before = everything_in(tmp_path)
    code, told = run("--address", "127.0.0.1:0")

    assert everything_in(tmp_path) == before
    found = lines_of(told)
    assert code == 0, told
    assert list(found) == [name for name in CHECKS if name in found]
    assert {level for level, _ in found.values()} <= {"ok", "warning"}
    assert not [line for line in told.splitlines() if line.endswith((".", " "))]


def test_a_warning_is_no_problem_and_a_problem_exits_1(at_rest: Path) -> None:
    at_rest.chmod(0o755)
    code, told = run("--address", "127.0.0.1:0")
    assert (code, lines_of(told)["rights"][0]) == (0, "warning")
    (at_rest / "store" / "data.mdb").write_bytes(b"")
    code, told = run("--address", "127.0.0.1:0")
    assert (code, lines_of(told)["store"][0]) == (exits.EXIT_PROBLEM, "problem")


def test_it_tells_programs_the_same(at_rest: Path) -> None:
    (at_rest / "store" / "data.mdb").write_bytes(b"")
    code, told = run("--address", "127.0.0.1:0", "--json")
    assert code == exits.EXIT_PROBLEM
    checks = json.loads(told)["checks"]
    assert [set(check) for check in checks] == [{"check", "level", "told"}] * len(checks)
    as_json = {check["check"]: (check["level"], check["told"]) for check in checks}
    as_text = lines_of(run("--address", "127.0.0.1:0")[1])
    for changing in ("clock", "disk"):
        del as_json[changing], as_text[changing]
    assert as_json == as_text


def test_it_takes_settings_as_serve_does(tmp_path: Path, data_dir: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--workers", "0"])
    assert result.exit_code == exits.EXIT_REFUSED
    assert "--workers (RUNINDEX_WORKERS)" in result.stderr
    by_flag = lines_of(run("--data-dir", "else", "--address", "127.0.0.1:0")[1])
    by_variable = lines_of(run(RUNINDEX_DATA_DIR="else", RUNINDEX_ADDRESS="127.0.0.1:0")[1])
    assert by_flag["rights"] == by_variable["rights"] == ("ok", "else is made at the first start")


def test_what_hides_in_a_name_does_not_reach_the_terminal(data_dir: Path) -> None:
    _, told = run("--data-dir", "a\x1b[31mb", "--address", "127.0.0.1:0")
    assert "\x1b" not in told
    assert lines_of(told)["lock"] == ("ok", r"nobody holds a\x1b[31mb")


@pytest.mark.parametrize("workers", [1, 2])
def test_beside_a_running_server(serve: Serve, workers: int) -> None:
    address, pid = serve("--workers", str(workers))
    before = everything_in(Path("data"))
    code, told = run("--address", address)
    found = lines_of(told)

    assert code == 0, told
    assert found["lock"] == ("ok", f"data/LOCK is held by process {pid}")
    assert found["address"] == ("ok", f"a server answers at {address}: SERVING")
    level, text = found["server"]
    assert level == "ok"
    assert re.fullmatch(
        rf"RunIndex {re.escape(__version__)}; \d+ of 1,024 readers; 0 runs to erase, \d+ changes? to merge",
        text,
    )
    for name in ("store", "version", "map", "clock"):
        assert found[name][0] == "ok", found[name]
    after = everything_in(Path("data"))
    assert after.keys() == before.keys()
    # The server's own reads and notes go on.
    for own in ("data/store/lock.mdb", "data/store/data.mdb"):
        del after[own], before[own]
    assert after == before


def test_a_server_that_asks_who_calls(serve: Serve) -> None:
    token, text = new_token("doctor", Role.READER, now=datetime.now(UTC), expire_time=None)
    add_token(Path("tokens.json"), token)
    address, _ = serve("--tokens-file", "tokens.json")

    code, told = run("--address", address, "--tokens-file", "tokens.json")
    assert (code, lines_of(told)["server"]) == (
        0,
        ("warning", "its status takes the token of a reader; set RUNINDEX_TOKEN"),
    )
    code, told = run("--address", address, "--tokens-file", "tokens.json", RUNINDEX_TOKEN=text)
    assert (code, lines_of(told)["server"][0]) == (0, "ok")


def test_a_server_of_another_folder(serve: Serve) -> None:
    address, _ = serve()
    code, told = run("--address", address, "--data-dir", "other")
    assert (code, lines_of(told)["address"]) == (
        exits.EXIT_PROBLEM,
        (
            "problem",
            f"a server answers at {address}, and it is not that of other; stop it, or use another --address",
        ),
    )


@pytest.fixture
def taken() -> Iterator[str]:
    """Return an address at which something listens that is no server."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


def test_a_port_that_is_taken(examined: Examine, taken: str) -> None:
    told = (
        "problem",
        (
            f"cannot listen on {taken}: is another server running there? Find it by ss -ltnp, or use "
            "another address"
        ),
    )
    assert examined(address=taken)["address"] == told
    assert examined(metrics_address=taken)["metrics"] == told


def test_each_worker_needs_a_port_for_its_figures(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(address: str) -> OwnedPort:
        if address == "127.0.0.1:9465":
            raise AddressInUse(address)
        return OwnedPort("127.0.0.1", 0, [])

    monkeypatch.setattr(OwnedPort, "take", take)
    for workers, level in ((1, "ok"), (2, "problem"), (3, "problem")):
        assert examined(metrics_address="127.0.0.1:9464", workers=workers)["metrics"][0] == level
    assert examined(metrics_address="127.0.0.1:9464")["metrics"][1] == "127.0.0.1:9464 is free"


def test_ports_that_are_free(examined: Examine) -> None:
    found = examined(metrics_address="127.0.0.1:0")
    assert found["address"] == ("ok", "127.0.0.1:0 is free")
    assert found["metrics"] == ("ok", "127.0.0.1:0 is free")


def test_a_token_is_not_sent_in_the_clear(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNINDEX_TOKEN", "ri_x")
    found = examined(address="192.0.2.1:50051", insecure_allow_remote=True)
    assert found["address"] == (
        "warning",
        ("192.0.2.1:50051 is not asked: A token is sent only over TLS, or to loopback: set RUNINDEX_TLS_CA."),
    )


def test_a_server_that_is_not_ready(at_rest: Path, clock: ManualClock) -> None:
    patient = Patient(Settings(data_dir=at_rest), clock)
    vars(patient).update(health="NOT_SERVING", holder=object())
    (finding,) = check_address(patient)
    assert as_pair(finding) == (
        "problem",
        "a server answers at 127.0.0.1:50051: NOT_SERVING; its log tells why (`not ready`)",
    )


def test_a_folder_that_cannot_be_looked_at(at_rest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the rest is looked at."""

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied", "data/store")

    monkeypatch.setattr(os, "statvfs", refuse)
    code, told = run("--address", "127.0.0.1:0")
    found = lines_of(told)
    assert (code, found["disk"]) == (
        exits.EXIT_PROBLEM,
        ("problem", "cannot be looked at: data/store: Permission denied"),
    )
    assert found["store"][0] == "ok"


def without_numbers(line: str) -> str:
    """Return a line without what differs from machine to machine."""
    return re.sub(r"\d[\d.,:]*\d|\d", "0", line)


def test_the_example_of_the_guide(at_rest: Path, write: Write) -> None:
    """Line by line, but for the numbers of the machine and its versions."""
    page = (ROOT / "docs" / "guides" / "operating.md").read_text()
    (example,) = re.findall(r"^```text\n\$ runindex-server doctor(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    flags, _, told = example.partition("\n")
    at_rest.chmod(0o755)
    end = datetime(2026, 11, 1, tzinfo=UTC).replace(tzinfo=None)
    issued = trustme.CA().issue_cert("localhost", not_before=datetime(2020, 1, 1), not_after=end)  # noqa: DTZ001
    Path("cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    Path("key.pem").touch(mode=0o600)
    Path("key.pem").write_bytes(issued.private_key_pem.bytes())
    token, _ = new_token("agents", Role.WRITER, now=datetime.now(UTC), expire_time=None)
    add_token(Path("tokens.json"), token)

    code, found = run(*flags.split(), "--address", "127.0.0.1:0")

    assert code == exits.EXIT_PROBLEM
    assert list(map(without_numbers, found.splitlines())) == list(map(without_numbers, told.splitlines()))
    assert set(lines_of(told)) <= set(CHECKS)
