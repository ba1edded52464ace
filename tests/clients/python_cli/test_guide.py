"""The guide of the command line: its sessions are run as they stand, and print what it says."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from runindex.cli.app import app
from runindex.cli.exits import EXIT_CODES
from runindex.cli.options import Output
from runindex.cli.session import World
from tests.clients.python_cli.conftest import EPOCH, Run
from tests.support.clock import SECOND_US, ManualClock
from tests.support.repository import ROOT
from tests.support.server import RunningServer

PAGE = ROOT / "docs/guides/command-line.md"
TEXT = PAGE.read_text()
STEP_US = 31 * SECOND_US
"""How much time passes before each line."""

# What stands for `runindex`: a world in which time is the server's.
PROGRAM = """\
#!{python}
import os
from datetime import UTC, datetime, timedelta

from runindex.cli.app import app
from runindex.cli.session import World

now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(os.environ["NOW_US"]))
world = World(
    now=lambda: now,
    is_typed=False,
    can_ask=False,
    can_draw=False,
    can_draw_errors=False,
)
app(prog_name="runindex", obj=world)
"""


class Step(NamedTuple):
    """A line that is entered, and what is printed."""

    line: str
    printed: str


def blocks(language: str) -> list[str]:
    """Return the page's examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def steps() -> list[Step]:
    """Return the lines of the page's sessions, in their order."""
    parts = [part for block in blocks("console") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Step(*part.split("\n", 1)) for part in parts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that holds the program."""
    program = tmp_path / "runindex"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o700)
    return tmp_path


class Terminal:
    """Where lines are entered: by a shell when they need one, and else here, which is quicker."""

    def __init__(self, folder: Path, server: RunningServer, world: World) -> None:
        self._world = world
        self._environment = {"PATH": f"{folder}:{os.environ['PATH']}", "RUNINDEX_ADDRESS": server.target}

    def enter(self, step: Step) -> str:
        """Return what is printed when a line is entered; a question is answered as on the page."""
        answers = re.findall(r"\[y/N\] (\w+)$", step.printed, re.MULTILINE)
        typed = "".join(f"{answer}\n" for answer in answers)
        if re.search(r"[|;$]|^_", step.line):
            return self._in_a_shell(step.line, typed)
        world = replace(self._world, can_ask=bool(answers), sleep=interrupt)
        command = shlex.split(step.line)
        assert command.pop(0) == "runindex"
        done = CliRunner(env=self._environment).invoke(
            app, command, input=typed, obj=world, prog_name="runindex"
        )
        return done.output

    def _in_a_shell(self, line: str, typed: str) -> str:
        now_us = (self._world.now() - EPOCH) // timedelta(microseconds=1)
        done = subprocess.run(
            ["bash", "-c", line],
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
            env={**self._environment, "NOW_US": str(now_us)},
        )
        return done.stdout


def interrupt(_seconds: float) -> None:
    """Do as Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.fixture
def terminal(folder: Path, server: RunningServer, world: World) -> Terminal:
    """Return where lines can be entered."""
    return Terminal(folder, server, world)


def shown(printed: str) -> str:
    """Return what a page says, but for what a person types."""
    return re.sub(r"(\[y/N\] )\w+\n", r"\1", printed).replace("^C\n", "")


def test_sessions_print_what_the_page_says(terminal: Terminal, clock: ManualClock) -> None:
    session = steps()
    assert len(session) >= 30
    told = []
    for step in session:
        clock.advance(STEP_US)
        told.append(Step(step.line, terminal.enter(step)))

    assert told == [Step(step.line, shown(step.printed)) for step in session]


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\d+)` \| (.*) \|$", TEXT, re.MULTILINE)

    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


@pytest.mark.parametrize("output", Output)
def test_each_output_is_told(output: Output) -> None:
    assert f"| `-o {output}` |" in TEXT


def test_each_command_is_told(run: Run) -> None:
    names = re.findall(r"^  ([a-z]+) ", run("--help").out.partition("Commands:\n")[2], re.MULTILINE)

    assert [name for name in names if f"`{name}`" not in TEXT and f"`{name} " not in TEXT] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_set_up_as_the_page_says(shell: str, terminal: Terminal) -> None:
    (line,) = [line for line in TEXT.splitlines() if f"source_{shell} runindex" in line]
    script = re.search(rf"_RUNINDEX_COMPLETE=source_{shell} runindex", line)
    assert script is not None
    printed = terminal.enter(Step(script[0], ""))

    assert f"_RUNINDEX_COMPLETE=complete_{shell}" in printed
