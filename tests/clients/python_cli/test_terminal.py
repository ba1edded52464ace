"""What is other on a terminal: colours, tables that fit, a bar, and questions."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

import pytest

from runindex import Client
from runindex.cli.exits import EXIT_DECLINED, EXIT_USAGE
from runindex.cli.progress import LONG
from tests.clients.python_cli.conftest import Run, run_id
from tests.support.clock import MINUTE_US, ManualClock
from tests.support.server import RunningServer

ONE, TWO, THREE = (run_id(number) for number in range(1, 4))
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
WAIT_S = 60.0

OnTerminal = Callable[..., tuple[int, str]]


@pytest.fixture
def on_terminal(server: RunningServer) -> OnTerminal:
    """Return what runs a command on a terminal so many characters wide, and types when it is asked."""

    def run(*arguments: str, typed: str = "", width: int = 80, **environment: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        known = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "RUNINDEX_ADDRESS": server.target}
        process = subprocess.Popen(
            [sys.executable, "-m", "runindex.cli", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=known | environment,
        )
        os.close(theirs)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
            if typed and printed.endswith(b"[y/N] "):
                os.write(ours, typed.encode())
                typed = ""
        os.close(ours)
        return process.wait(WAIT_S), printed.decode().replace("\r\n", "\n")

    return run


def _read(terminal: int) -> bytes:
    """Return what was printed next; nothing when nobody prints any more."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def lines(printed: str) -> list[str]:
    """Return what a person reads."""
    return [line.rstrip() for line in SEQUENCE.sub("", printed).splitlines()]


@pytest.fixture(autouse=True)
def recorded(client: Client, clock: ManualClock) -> None:
    """Record runs in several states."""
    client.create(tags=["nightly", "eu-central", "gpu", "retried"])
    client.create(tags=["nightly"])
    client.create()
    clock.advance(MINUTE_US)
    client.fail(ONE, "no")
    client.pause(TWO)


def test_states_have_colours(on_terminal: OnTerminal, run: Run) -> None:
    code, printed = on_terminal("list", "--tag", "nightly", width=120)

    assert code == 0
    assert "\x1b[31mfailed\x1b[0m" in printed
    assert "\x1b[35mpaused\x1b[0m" in printed
    assert "\x1b[31mfailed\x1b[0m" in run("get", ONE, can_draw=True).out
    assert "\x1b[31mfailed\x1b[0m" in run("tree", ONE, can_draw=True).out


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_done_without(on_terminal: OnTerminal, environment: dict[str, str]) -> None:
    _, printed = on_terminal("list", "--tag", "nightly", width=120, **environment)

    assert not re.search(r"\x1b\[3\dm", printed)
    assert lines(printed)[1].startswith(f"{TWO}  paused  ")


def test_nothing_but_terminals_gets_colours(run: Run) -> None:
    for command in (["list"], ["get", ONE], ["tree", ONE], ["delete", "--dry-run", ONE]):
        assert "\x1b" not in "".join(run(*command)[1:])


@pytest.mark.parametrize(
    ("width", "cut", "folded"),
    [
        (120, ONE, ["nightly, eu-central, gpu, retried"]),
        (80, ONE, ["nightly,", "eu-central,", "gpu, retried"]),
        (60, f"{ONE[:20]}…", ["nightly,", "eu-central", ", gpu,", "retried"]),
    ],
)
def test_tables_fit_the_terminal(
    invoke: Run, server: RunningServer, width: int, cut: str, folded: list[str]
) -> None:
    code, printed, _ = invoke(
        "list", "--state", "failed", "--address", server.target, can_draw=True, width=width
    )
    told = lines(printed)

    assert code == 0
    assert max(map(len, told)) <= width
    assert [line.split("  ")[-1].strip() for line in told[1:]] == folded
    assert told[1].startswith(f"{cut}  failed  1 min ago  60.0 s  nightly,")


def test_figures_are_never_cut(run: Run) -> None:
    printed = run("stats", "--by", "day", "--since", "1d", can_draw=True, width=40).out

    assert "…" not in printed
    assert lines(printed)[-1].startswith("all of these         1 ")


def test_what_could_make_a_terminal_obey_is_shown_instead(
    on_terminal: OnTerminal, run: Run, client: Client
) -> None:
    client.fail(THREE, "\x1b]0;title\x07 \x1b[2J")

    assert lines(on_terminal("get", THREE)[1])[2] == "Error      \\x1b]0;title\\x07 \\x1b[2J"
    assert "\\x1b]<n>;title\\x07 \\x1b[<n>J" in run("errors", can_draw=True, width=120).out


def test_questions_are_asked_and_answered(on_terminal: OnTerminal, client: Client) -> None:
    code, printed = on_terminal("delete", THREE, typed="n\n", width=120)
    asked = lines(printed)
    assert code == EXIT_DECLINED
    assert asked[1].endswith("nothing")
    assert asked[2:] == ["Delete this run? [y/N] n", "Nothing was done."]
    code, printed = on_terminal("delete", THREE, typed="y\n", width=120)
    assert code == 0
    assert lines(printed)[2:] == ["Delete this run? [y/N] y", f"deleted {THREE}, which held nothing"]
    assert client.get(THREE, default=None) is None


def test_nobody_waits_at_a_terminal_for_ids(on_terminal: OnTerminal) -> None:
    code, printed = on_terminal("cancel")

    assert (code, lines(printed)[0][:11]) == (EXIT_USAGE, "Which runs?")


def test_long_work_shows_how_far_it_is(on_terminal: OnTerminal, client: Client) -> None:
    ids = [client.create().run_id for _ in range(LONG)]
    code, printed = on_terminal("cancel", "--yes", *ids, width=120)

    assert code == 0
    assert f"{LONG}/{LONG}" in printed
    assert [run_id for run_id in ids if f"cancelled {run_id}\n" not in printed] == []
    assert "1/1" not in on_terminal("resume", TWO)[1]
