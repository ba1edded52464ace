"""The operator's commands: what they refuse, how they exit, and how settings are given."""

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runindex_server import __version__
from runindex_server.cli import exits
from runindex_server.cli.app import app
from runindex_server.cli.serve import serve as serve_command
from runindex_server.kv.guard import DataFileForeign
from runindex_server.settings import WORKERS_MAX, Settings

WAIT_S = 30

with_workers = pytest.mark.parametrize("workers", ["1", "2"])
"""For what does not depend on how many processes serve."""

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.startswith("RUNINDEX_"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what starts the command on a free port; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "runindex_server", "serve", *flags],
            env={**os.environ, "RUNINDEX_DATA_DIR": str(tmp_path / "data"), **environment},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=WAIT_S)


def address_of(process: subprocess.Popen[str]) -> str:
    """Wait until a server listens, and return where."""
    assert process.stdout is not None
    return process.stdout.readline().split(" listens on ")[1].split(";")[0]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_each_setting_is_a_flag_of_serve() -> None:
    assert set(inspect.signature(serve_command).parameters) == set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_each_setting_is_described_in_the_help_with_its_variable(name: str) -> None:
    _, output = run("serve", "--help")

    assert f"--{name.replace('_', '-')}" in output
    assert f"RUNINDEX_{name.upper()}." in output.replace("\n", " ")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "10.1.2.3:0", "index.example:0"])
def test_an_address_that_others_reach_is_refused_and_the_way_out_told(address: str) -> None:
    code, output = run("serve", "--address", address)

    assert code == exits.EXIT_INSECURE
    assert "--insecure-allow-remote" in output


def test_it_listens_where_others_reach_it_when_told_so(serve: Serve) -> None:
    process = serve("--address", "0.0.0.0:0", "--insecure-allow-remote")
    address = address_of(process)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=WAIT_S)

    assert address.startswith("0.0.0.0:")
    assert "without authentication" in log


@pytest.mark.parametrize("address", ["50051", "127.0.0.1", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    code, output = run("serve", "--address", address)

    assert code == exits.EXIT_REFUSED
    assert "host:port" in output


@pytest.mark.parametrize(
    ("flag", "value", "name"),
    [
        ("--request-id-retention-s", "86399", "RUNINDEX_REQUEST_ID_RETENTION_S"),
        ("--map-bytes", "1", "RUNINDEX_MAP_BYTES"),
        ("--search-budget-records", "0", "RUNINDEX_SEARCH_BUDGET_RECORDS"),
        ("--default-retention", "sometimes", "RUNINDEX_DEFAULT_RETENTION"),
        ("--default-retention", "keep_latest_n=0", "RUNINDEX_DEFAULT_RETENTION"),
        ("--retention-interval-s", "-1", "RUNINDEX_RETENTION_INTERVAL_S"),
        ("--drain-s", "-1", "RUNINDEX_DRAIN_S"),
        ("--workers", "0", "RUNINDEX_WORKERS"),
        ("--workers", str(WORKERS_MAX + 1), "RUNINDEX_WORKERS"),
        ("--log-level", "loud", "RUNINDEX_LOG_LEVEL"),
        ("--log-format", "xml", "RUNINDEX_LOG_FORMAT"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(flag: str, value: str, name: str) -> None:
    code, output = run("serve", flag, value)

    assert code == exits.EXIT_REFUSED
    assert flag in output
    assert name in output
    assert value in output


@with_workers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(serve: Serve, number: signal.Signals, workers: str) -> None:
    process = serve("--address", "127.0.0.1:0", "--workers", workers)
    address_of(process)
    process.send_signal(number)
    _, log = process.communicate(timeout=WAIT_S)

    assert process.returncode == 0
    assert '"event": "stopped"' in log


@with_workers
def test_health_tells_whether_a_server_serves(serve: Serve, workers: str) -> None:
    process = serve(RUNINDEX_ADDRESS="127.0.0.1:0", RUNINDEX_WORKERS=workers)
    address = address_of(process)

    assert run("health", "--address", address) == (0, "SERVING\n")

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)

    assert run("health", "--address", address) == (exits.EXIT_REFUSED, "UNREACHABLE\n")


@pytest.mark.parametrize(("first_workers", "workers"), [("1", "1"), ("1", "2"), ("2", "1")])
def test_a_second_server_on_the_same_store_is_refused_with_the_holder(
    serve: Serve, first_workers: str, workers: str
) -> None:
    first = serve("--address", "127.0.0.1:0", "--workers", first_workers)
    address_of(first)
    second = serve("--address", "127.0.0.1:0", "--workers", workers)
    _, told = second.communicate(timeout=WAIT_S)

    assert second.returncode == exits.EXIT_REFUSED
    assert str(first.pid) in told
    assert "Traceback" not in told


@pytest.mark.parametrize(("first_workers", "workers"), [("1", "1"), ("1", "2"), ("2", "1")])
def test_a_second_server_on_the_same_port_is_refused(
    serve: Serve, tmp_path: Path, first_workers: str, workers: str
) -> None:
    address = address_of(serve("--address", "127.0.0.1:0", "--workers", first_workers))
    second = serve("--address", address, "--data-dir", str(tmp_path / "other"), "--workers", workers)
    _, told = second.communicate(timeout=WAIT_S)

    assert second.returncode == exits.EXIT_REFUSED
    assert told == f"cannot listen on {address}: is another server running there?\n"


@with_workers
def test_a_foreign_file_in_the_place_of_the_store_is_refused(
    serve: Serve, tmp_path: Path, workers: str
) -> None:
    store = tmp_path / "data" / "store"
    store.mkdir(parents=True)
    (store / "data.mdb").write_bytes(b"something else" * 1_000)
    process = serve("--address", "127.0.0.1:0", "--workers", workers, "--log-level", "warning")
    _, told = process.communicate(timeout=WAIT_S)

    assert process.returncode == exits.EXIT_REFUSED
    assert told == str(DataFileForeign(store / "data.mdb", "does not begin as one")) + "\n"
    assert "Traceback" not in told


def test_version() -> None:
    assert run("version") == (0, f"{__version__}\n")
