"""`serve` with access, and `token`: the real processes, with one worker and with several."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import grpc
import pytest
import trustme
from typer.testing import CliRunner

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server.access.caller import Role
from runindex_server.cli import exits
from runindex_server.cli.app import app
from runindex_server.logs import configure_logs
from runindex_server.rpc.tls import TlsFiles
from tests.access.conftest import trusting
from tests.access.refusals import reason_of

WAIT_S: Final = 60.0
SERVER: Final = (sys.executable, "-m", "runindex_server")

Serve = Callable[..., str]


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), env=environment)
    # The command may have let the log go to where its errors went, which is closed now.
    configure_logs("warning", "json")
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what starts a server and returns its address; all are ended after the test, without a fault."""
    processes = []

    def start(*arguments: str) -> str:
        process = subprocess.Popen(
            [*SERVER, "serve", "--data-dir", str(tmp_path / "data"), "--drain-s", "1", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().split(" listens on ")[1].split(";")[0]

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        with process:
            assert process.wait(WAIT_S) == 0


def token_create(path: Path, role: Role, *more: str) -> str:
    """Make a token by the command, and return its text."""
    code, out, err = run(
        "token", "create", "--tokens-file", str(path), "--name", f"the {role}", "--role", role, *more
    )
    assert code == 0, err
    assert "Keep it" in err
    return out.strip()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_with_all_of_it(
    serve: Serve, tls_files: TlsFiles, authority: trustme.CA, tmp_path: Path, workers: int
) -> None:
    """Certificates, tokens, an audit log and commands that reach it, on an address that others reach."""
    tokens_file, audit_log = tmp_path / "tokens.json", tmp_path / "audit.jsonl"
    admin, reader = (token_create(tokens_file, role) for role in (Role.ADMIN, Role.READER))
    address = serve(
        *("--address", "0.0.0.0:0", "--workers", str(workers), "--tls-cert", str(tls_files.cert)),
        *("--tls-key", str(tls_files.key), "--tokens-file", str(tokens_file), "--audit-log", str(audit_log)),
    ).replace("0.0.0.0", "127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    environment = {"RUNINDEX_TLS_CA": str(tmp_path / "ca.pem"), "RUNINDEX_TOKEN": reader}

    assert run("health", "--address", address, **environment) == (0, "SERVING\n", "")
    code, out, _ = run("status", "--address", address, **environment)
    assert (code, out.splitlines()[0].endswith(f" at {address}")) == (0, True)
    code, _, err = run("compact", "--address", address, **environment)
    assert (code, "'admin'" in err) == (exits.EXIT_REFUSED, True)
    assert run("compact", "--address", address, **{**environment, "RUNINDEX_TOKEN": admin})[0] == 0
    with (
        grpc.secure_channel(address, trusting(authority)) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        pb_grpc.RunIndexStub(channel).CountRuns(pb.CountRunsRequest(), timeout=WAIT_S)
    assert reason_of(refused.value) == "CREDENTIALS_MISSING"

    lines = [json.loads(line) for line in audit_log.read_text().splitlines()]
    assert [(line["caller"], line["reason"]) for line in lines] == [
        ("the reader", "PERMISSION_DENIED"),
        ("the admin", ""),
        ("", "CREDENTIALS_MISSING"),
    ]
    assert audit_log.stat().st_mode & 0o777 == 0o600


CERT: Final = ("--tls-cert", "cert.pem", "--tls-key", "key.pem")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), ("in the clear", "does not ask callers")),
        (("--tokens-file", "tokens.json"), ("in the clear",)),
        (CERT, ("does not ask callers",)),
    ],
)
def test_off_loopback_it_takes_both_certificates_and_who_calls(
    arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    code, _, err = run("serve", "--address", "0.0.0.0:0", *arguments)

    assert code == exits.EXIT_INSECURE
    assert [what for what in ("in the clear", "does not ask callers") if what in err] == list(told)
    for way_out in ("--tls-cert", "--tokens-file", "--address 127.0.0.1", "--insecure-allow-remote"):
        assert way_out in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tls-cert", "cert.pem"), "--tls-cert and --tls-key need each other"),
        (("--tls-key", "key.pem"), "--tls-cert and --tls-key need each other"),
        (("--tls-client-ca", "ca.pem"), "--tls-client-ca needs --tls-cert and --tls-key"),
        ((*CERT, "--tls-client-ca", "ca.pem"), "and not what they may do: give --certificate-roles"),
        ((*CERT, "--certificate-roles", "a=writer"), "which need --tls-client-ca"),
        (("--certificate-roles", "a"), "'a' is not name=role, of a role of reader, writer, admin"),
        (("--certificate-roles", "=writer"), "'=writer' is not name=role"),
        (("--certificate-roles", "a=writer,b=owner"), "'b=owner' is not name=role"),
        (CERT, "cert.pem"),
        (("--audit-log", "absent/audit.jsonl"), "the audit log absent/audit.jsonl cannot be written"),
        (("--tokens-file", "folder"), "folder cannot be read"),
        (("--calls-per-s", "-1"), "--calls-per-s"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    code, _, err = run("serve", "--address", "127.0.0.1:0", *arguments)

    assert code == exits.EXIT_REFUSED
    assert told in err
    assert not (tmp_path / "data").exists()


def test_tokens_are_listed_without_their_secrets(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    assert run("token", "list", "--tokens-file", str(path)) == (0, f"There are no tokens in {path}.\n", "")
    texts = [token_create(path, Role.READER), token_create(path, Role.ADMIN, "--expires-in", "90d")]

    code, out, _ = run("token", "list", RUNINDEX_TOKENS_FILE=str(path))
    assert code == 0
    header, *rows = out.splitlines()
    assert header.split() == ["token", "name", "role", "created", "(UTC)", "expires"]
    assert [row.split()[0] for row in rows] == [text.split("_")[1] for text in texts]
    assert (rows[0].split()[-1], rows[1].split()[-1]) == ("never", "UTC")
    listed = json.loads(run("token", "list", "--json", RUNINDEX_TOKENS_FILE=str(path))[1])["tokens"]
    assert [set(token) for token in listed] == [{"id", "name", "role", "create_time", "expire_time"}] * 2


def test_a_token_is_revoked_by_its_id(tmp_path: Path) -> None:
    environment = {"RUNINDEX_TOKENS_FILE": str(tmp_path / "tokens.json")}
    text = token_create(tmp_path / "tokens.json", Role.WRITER)
    token_id = text.split("_")[1]

    assert run("token", "revoke", token_id, **environment)[:2] == (
        0,
        f"Revoked token {token_id} of the writer, writer.\n",
    )
    for unknown in (token_id, text):
        code, _, err = run("token", "revoke", unknown, **environment)
        assert code == exits.EXIT_REFUSED
        assert "`runindex-server token list` tells the ids" in err
        assert text not in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--name", "", "--role", "reader"), "--name: a name has 1 to 128"),
        (("--name", "a", "--role", "reader", "--expires-in", "soon"), "'soon' is no span of time"),
        (("--name", "a", "--role", "reader", "--expires-in", "0s"), "'0s' is no span of time"),
    ],
)
def test_what_is_no_token_is_refused(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    path = tmp_path / "tokens.json"
    code, out, err = run("token", "create", "--tokens-file", str(path), *arguments)

    assert (code, out) == (exits.EXIT_REFUSED, "")
    assert told in err
    assert not path.exists()


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"RUNINDEX_TOKEN": "ri_x"}, "A token is sent only over TLS, or to loopback: set RUNINDEX_TLS_CA."),
        ({"RUNINDEX_TLS_CA": "absent.pem"}, "RUNINDEX_TLS_CA: absent.pem cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["status", "health"])
def test_commands_send_no_token_in_the_clear(command: str, environment: dict[str, str], told: str) -> None:
    code, _, err = run(command, "--address", "192.0.2.1:50051", **environment)
    assert code == exits.EXIT_REFUSED
    assert told in err


def test_secrets_stay_out_of_the_process_list() -> None:
    """No command takes a token as an argument."""
    for command in ("status", "compact", "health"):
        _, out, _ = run(command, "--help")
        assert "--token " not in out
    assert "RUNINDEX_TOKEN" not in os.environ


def test_it_takes_as_many_connections_as_the_machine_allows(serve: Serve) -> None:
    """However few files are allowed to begin with: each of 200 connections is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        host, _, port = serve("--address", "127.0.0.1:0").rpartition(":")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=WAIT_S))
        assert run("health", "--address", f"{host}:{port}")[1] == "SERVING\n"
