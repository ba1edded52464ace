"""How the command starts, ends and completes: what it loads, what it needs, what it tells when it cannot."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from runindex.cli.exits import EXIT_INTERRUPTED, EXIT_NO_ANSWER, EXIT_NO_RIGHT, EXIT_USAGE
from tests.clients.python.faulty import FaultyServer, refusal
from tests.clients.python_cli.conftest import Run, run_id
from tests.support.server import RunningServer

COMMANDS = (
    *("list", "get", "tree", "history", "count", "stats", "search", "tags", "stale", "errors"),
    *("create", "clone", "close", "fail", "cancel", "pause", "resume", "archive", "delete"),
    *("retention", "templates"),
)
WAIT_S = 60.0
AT_A_TERMINAL = """\
import signal

import runindex.cli

# In the background of a script a shell has SIGINT ignored, and Python leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)
runindex.cli.main()
"""


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, with nothing in its environment but what is told."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **environment},
    )


MAIN = "import sys; from runindex.cli import main; sys.argv[0] = 'runindex'; main()"

LOADED = """
import sys
from runindex.cli import main
try:
    main()
finally:
    print(sorted({"grpc", "google", "rich", "pydantic"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "--help"], ["templates", "--help"], ["list", "--since", "x"]]
)
def test_what_makes_no_call_loads_neither_grpc_nor_rich(arguments: list[str]) -> None:
    done = python(LOADED, *arguments)

    assert done.returncode == (EXIT_USAGE if "--since" in arguments else 0)
    assert done.stderr.splitlines()[-1] == "[]"


def test_completing_a_name_loads_neither_grpc_nor_rich() -> None:
    done = python(LOADED, _RUNINDEX_COMPLETE="complete_bash", COMP_WORDS="runindex st", COMP_CWORD="1")

    assert done.stdout == "stats\nstale\n"
    assert done.stderr == "[]\n"


def test_what_makes_a_call_loads_grpc_and_nothing_else_that_is_large(server: RunningServer) -> None:
    options = [
        "-o",
        "ids",
        "--state",
        "active",
        "--limit",
        "1",
        "--since",
        "1d",
        "--every",
        "1",
        "--archived",
    ]
    done = python(LOADED, "list", *options, RUNINDEX_ADDRESS=server.target)

    assert (done.returncode, done.stdout, done.stderr) == (0, "default\n", "['google', 'grpc']\n")


def test_the_help_lists_all_commands(invoke: Run) -> None:
    code, out, err = invoke("--help")
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line[:3].strip()]

    assert (code, err) == (0, "")
    assert listed[: len(COMMANDS)] == list(COMMANDS)
    assert "..." not in out.partition("Commands:\n")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(invoke: Run, command: str) -> None:
    code, out, err = invoke(command, "--help")

    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: runindex {command} ")


def test_without_its_libraries_it_says_how_to_get_them(tmp_path: Path) -> None:
    without = "import sys; sys.modules['typer'] = None; from runindex.cli import main; main()"
    done = python(without, "list")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "runindex: the command line needs more than the client does: pip install 'runindex[cli]'\n"
    )


def test_another_fault_of_loading_is_not_hidden() -> None:
    done = python("import sys; sys.modules['json'] = None; from runindex.cli import main; main()", "list")

    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_it_runs_as_a_program(server: RunningServer) -> None:
    command = [sys.executable, "-m", "runindex.cli"]
    listed = subprocess.run(
        [*command, "create", "--tag", "a", "--address", server.target],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    piped = subprocess.run(
        [*command, "get", "-o", "jsonl", "--address", server.target],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
        input=listed.stdout,
    )

    assert (listed.stdout, listed.stderr) == (f"{run_id(1)}\n", "")
    assert json.loads(piped.stdout)["tags"] == ["a"]


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-"])
def test_streams_may_be_closed(server: RunningServer, closed: str) -> None:
    script = f"{sys.executable} -m runindex.cli get -o ids --address {server.target} {closed}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=WAIT_S, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# How it is told where the server is, and that it is not.


def test_options_come_before_the_environment(
    invoke: Run, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNINDEX_ADDRESS", "127.0.0.1:1")

    assert invoke("count", "--address", server.target).out == "1\n"
    assert invoke("count") == (
        EXIT_NO_ANSWER,
        "",
        "No answer from 127.0.0.1:1: is a server running there?\n",
    )


def test_a_token_is_sent(
    invoke: Run, faulty: Callable[..., FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refusal(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    server = faulty(refused)
    told = (EXIT_NO_RIGHT, "", "CREDENTIALS_INVALID: refused: CREDENTIALS_INVALID\n")

    assert invoke("count", "--address", server.target, "--token", "secret") == told
    monkeypatch.setenv("RUNINDEX_TOKEN", "other")
    assert invoke("count", "--address", server.target) == told
    assert [sent["authorization"] for sent in server.metadata] == ["Bearer secret", "Bearer other"]


def test_a_file_of_certificates_that_is_none_is_wrong_usage(invoke: Run, tmp_path: Path) -> None:
    missing, foreign = tmp_path / "missing.pem", tmp_path / "foreign.pem"
    foreign.write_text("no certificate")

    assert invoke("count", "--tls-ca", str(missing)) == (
        EXIT_USAGE,
        "",
        f"{missing}: No such file or directory.\n",
    )
    assert invoke("count", "--tls-ca", str(foreign)) == (
        EXIT_USAGE,
        "",
        f"{foreign} holds no certificate in PEM.\n",
    )


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (
            grpc.StatusCode.UNIMPLEMENTED,
            1,
            "The server at {} does not know this; it is older than this command.",
        ),
        (grpc.StatusCode.DEADLINE_EXCEEDED, EXIT_NO_ANSWER, "The server at {} took too long."),
        (grpc.StatusCode.UNAVAILABLE, EXIT_NO_ANSWER, "No answer from {}: as it was told"),
        (grpc.StatusCode.UNKNOWN, 1, "The call to {} failed: UNKNOWN: as it was told"),
    ],
)
def test_what_is_no_refusal_is_told_as_what_it_is(
    invoke: Run, faulty: Callable[..., FaultyServer], status: grpc.StatusCode, code: int, told: str
) -> None:
    server = faulty(status)

    assert invoke("count", "--address", server.target) == (code, "", f"{told.format(server.target)}\n")


def test_ctrl_c_ends_it_by_its_code(faulty: Callable[..., FaultyServer]) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def hold() -> grpc.StatusCode:
        is_asked.set()
        assert may_answer.wait(WAIT_S)
        return grpc.StatusCode.UNKNOWN

    command = [sys.executable, "-c", AT_A_TERMINAL, "count", "--address", faulty(hold).target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert is_asked.wait(WAIT_S)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
            may_answer.set()

    assert (process.returncode, out, err) == (EXIT_INTERRUPTED, "", "")


def test_a_reader_that_has_left_is_no_fault_to_tell(server: RunningServer) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "runindex.cli", "list", "-o", "ids", "--address", server.target],
            stdout=writer,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            timeout=WAIT_S,
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")


# Completion.


@pytest.mark.parametrize(
    ("shell", "marks"),
    [
        ("bash", "complete -o default -F _runindex_completion runindex"),
        ("zsh", "#compdef runindex"),
        ("fish", "complete --command runindex --no-files"),
    ],
)
def test_each_shell_gets_a_script(shell: str, marks: str) -> None:
    done = python(MAIN, _RUNINDEX_COMPLETE=f"source_{shell}")

    assert (done.returncode, done.stderr) == (0, "")
    assert marks in done.stdout
    assert f"_RUNINDEX_COMPLETE=complete_{shell}" in done.stdout


def complete(words: str, server: RunningServer | None = None, **environment: str) -> list[str]:
    """Return what bash would offer for the last of some words."""
    address = {} if server is None else {"RUNINDEX_ADDRESS": server.target}
    count = str(len(words.split(" ")) - 1)
    done = python(
        MAIN, _RUNINDEX_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count, **address, **environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_names_and_states_are_completed() -> None:
    assert complete("runindex re") == ["resume", "retention"]
    assert complete("runindex templates d") == ["delete"]
    assert complete("runindex list --state c") == ["completed", "cancelled"]
    assert complete("runindex list -o j") == ["json", "jsonl"]
    assert complete("runindex list --fo") == ["--follow"]


def test_what_only_the_server_knows_is_completed(run: Run, server: RunningServer) -> None:
    for name in ("nightly", "by-hand"):
        run("templates", "put", name)
    run("create", "--tag", "nightly")
    run("create", "--tag", "nightly", "--tag", "night-owl")
    run("archive", "--yes", run_id(2))

    assert complete("runindex create --template n", server) == ["nightly"]
    assert complete("runindex templates delete ", server) == ["by-hand", "nightly"]
    assert complete("runindex list --tag night", server) == ["nightly"]
    assert complete("runindex get 0192f3aa-0002", server) == [run_id(2)]
    assert complete("runindex get ", server) == [run_id(1), "default"]
    assert complete(f"runindex get --address {server.target} 0192f3aa-0001") == [run_id(1)]


def test_without_a_server_nothing_is_offered_and_nothing_told() -> None:
    assert complete("runindex create --template n", RUNINDEX_ADDRESS="127.0.0.1:1") == []
    assert complete("runindex get x y*", RUNINDEX_ADDRESS="127.0.0.1:1") == []
    assert complete("runindex list --tag n", RUNINDEX_TLS_CA="missing") == []


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    command = tmp_path / "runindex"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m runindex.cli "$@"\n')
    command.chmod(0o700)
    script = """
source <(_RUNINDEX_COMPLETE=source_bash runindex)
COMP_WORDS=(runindex list --state f) COMP_CWORD=3
_runindex_completion runindex
echo "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-euc", script],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )

    assert (done.stdout, done.stderr) == ("failed\n", "")
