"""What becomes of a block's run when its process ends: real processes, and real signals."""

import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from runindex import Client, RunState
from tests.support.clock import HOUR_US, ManualClock
from tests.support.repository import ROOT
from tests.support.server import RunningServer

WAIT_S = 60

PROGRAM = {
    "sync": """
import os, signal, sys
from runindex import Client

{before}
with Client(sys.argv[1]) as client, client.run() as run:
    print(run.run_id, flush=True)
    {block}
""",
    "async": """
import asyncio, os, signal, sys
from runindex import AsyncClient

async def main():
    async with AsyncClient(sys.argv[1]) as client, client.run() as run:
        print(run.run_id, flush=True)
        {block}

{before}
asyncio.run(main())
""",
}
WAIT = {"sync": "signal.pause()", "async": "await asyncio.sleep(600)"}

# Python's own, which it does not install where a shell has SIGINT ignored.
DEFAULT = "signal.signal(signal.SIGINT, signal.default_int_handler)"
EXIT = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"
INTERRUPT = "signal.signal(signal.SIGTERM, signal.default_int_handler)"


def started(server: RunningServer, program: str) -> tuple["subprocess.Popen[str]", str]:
    """Start a program; return it with the id of its run, once its block is open."""
    command = [sys.executable, "-c", program, server.target]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def ended(process: "subprocess.Popen[str]") -> int:
    """Wait for the end of a program; return how it ended."""
    with process:
        process.communicate(timeout=WAIT_S)
    return process.returncode


@pytest.mark.parametrize(
    ("before", "sent", "code", "state"),
    [
        (DEFAULT, signal.SIGINT, -signal.SIGINT, RunState.CANCELLED),
        ("", signal.SIGTERM, -signal.SIGTERM, RunState.ACTIVE),
        (EXIT, signal.SIGTERM, 143, RunState.CANCELLED),
        (INTERRUPT, signal.SIGTERM, -signal.SIGINT, RunState.CANCELLED),
        (EXIT, signal.SIGKILL, -signal.SIGKILL, RunState.ACTIVE),
    ],
)
def test_a_signal(
    server: RunningServer, flavour: str, before: str, sent: signal.Signals, code: int, state: RunState
) -> None:
    process, run_id = started(server, PROGRAM[flavour].format(before=before, block=WAIT[flavour]))

    process.send_signal(sent)

    assert ended(process) == code
    with Client(server.target) as client:
        assert client.get(run_id).state is state


@pytest.mark.parametrize(
    ("block", "code", "state", "error"),
    [
        ("sys.exit()", 0, RunState.COMPLETED, None),
        ("sys.exit(3)", 3, RunState.FAILED, "SystemExit: 3"),
        ("sys.exit(143)", 143, RunState.CANCELLED, None),
        ("os._exit(0)", 0, RunState.ACTIVE, None),
    ],
)
def test_an_exit(
    server: RunningServer, flavour: str, block: str, code: int, state: RunState, error: str | None
) -> None:
    process, run_id = started(server, PROGRAM[flavour].format(before="", block=block))

    assert ended(process) == code
    with Client(server.target) as client:
        run = client.get(run_id)
    assert (run.state, run.error) == (state, error)


def test_a_run_that_was_left_active_is_found_as_stale(
    client: Any, server: RunningServer, clock: ManualClock
) -> None:
    process, run_id = started(server, PROGRAM["sync"].format(before="", block="os._exit(9)"))
    assert ended(process) == 9
    clock.advance(2 * HOUR_US)

    assert list(client.insights.stale(timedelta(hours=1)).ids()) == [run_id]


def test_the_readme_tells_the_line_that_ends_blocks() -> None:
    assert f"\n    {EXIT}\n" in (ROOT / "clients/python/README.md").read_text()
