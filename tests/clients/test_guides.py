"""The examples of the README and the guides, run as they stand, line by line, against a server."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from runindex_server.clock import SystemClock
from tests.clients.test_grpcurl import GRPCURL
from tests.support.calls import Stub, archive, close, create, fail, pause
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, ManualClock
from tests.support.repository import ROOT
from tests.support.server import RunningServer

PAGES: Final = (
    "README.md",
    "docs/guides/data.md",
    "docs/guides/dashboards.md",
    "docs/guides/templates.md",
    "docs/guides/retention.md",
    "docs/guides/operating.md",
)
ADDRESS: Final = "localhost:50051"
ON_A_FOLDER: Final = "restore|shrink"
OF_THE_REPOSITORY: Final = re.compile(r"^(?:\w+=\S+ )?make |^pytest ")
"""Commands that do not call a server."""

pytestmark = [
    pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed"),
    pytest.mark.parametrize("store_kind", ["lmdb"], indirect=True),
]


@pytest.fixture
def clock() -> ManualClock:
    """Return the clock of the server, which begins two days ago.

    When runs have been recorded, it is an hour ahead of the machine's, which is that of the examples: so what
    they ask for does not lie in the future, however long they take.
    """
    return ManualClock(SystemClock().now_us() + HOUR_US - 2 * DAY_US)


@pytest.fixture(autouse=True)
def forgotten(stub: Stub, clock: ManualClock) -> str:
    """Record runs of two days; return the id of the one that was paused last, 11 hours ago."""
    paused = ""
    for hour in range(0, 48, 12):
        runs = {tag: create(stub, tags=[tag, "nightly"]).run_id for tag in ("search", "docs")}
        runs["evals"] = create(stub, tags=["evals"]).run_id
        clock.advance(MINUTE_US)
        close(stub, runs["search"])
        fail(stub, runs["docs"], f"rate limited after {hour} s")
        clock.advance(HOUR_US)
        close(stub, runs["evals"])
        archive(stub, runs["docs"] if hour == 0 else runs["search"])
        paused = create(stub, tags=["by-hand"]).run_id
        pause(stub, paused)
        clock.advance(11 * HOUR_US - MINUTE_US)
    return paused


def blocks(page: str, language: str) -> list[str]:
    """Return a page's examples in a language, in their order."""
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def shell_lines(page: str) -> list[str]:
    """Return the lines of a page's shell examples, in their order."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [line for line in lines if line and not OF_THE_REPOSITORY.match(line)]


def put_commands(folder: Path, target: str) -> None:
    """Put `.venv/bin/runindex-server` and `runindex` into a folder; they call the server of the test."""
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    run = f"{python} -m runindex_server"
    of_folder, of_server = f'exec {run} "$@"', f'exec {run} "$@" --address {target}'
    scripts = {
        "runindex-server": f'case "$1" in {ON_A_FOLDER}) {of_folder};; *) {of_server};; esac',
        "runindex": f'RUNINDEX_ADDRESS={target} exec {python} -m runindex.cli "$@"',
    }
    for name, script in scripts.items():
        command = bin_folder / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o700)


def run(command: list[str], script: str, server: RunningServer, folder: Path) -> str:
    """Run examples against the server, and return what they print."""
    assert GRPCURL is not None
    done = subprocess.run(
        [*command, script.replace(ADDRESS, server.target)],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(GRPCURL).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_examples_run_as_they_stand(server: RunningServer, tmp_path: Path, page: str) -> None:
    lines = shell_lines(page)
    assert len(lines) >= 5
    put_commands(tmp_path, server.target)
    # Aliases stay as they stand, and the first line that fails ends it.
    script = "\n".join(["shopt -s expand_aliases", "set -euo pipefail", *lines])

    run(["bash", "-c"], script, server, tmp_path)


def test_the_python_of_the_readme_runs_as_it_stands(server: RunningServer, tmp_path: Path) -> None:
    (script,) = blocks("README.md", "python")

    run([sys.executable, "-c"], script, server, tmp_path)


def test_the_dashboard_shows_what_there_is(server: RunningServer, tmp_path: Path, forgotten: str) -> None:
    script = "\n".join(blocks("docs/guides/dashboards.md", "python"))
    told = run([sys.executable, "-c"], script, server, tmp_path).splitlines()

    assert "RUN_STATE_PAUSED 4" in told
    assert "RUN_STATE_ARCHIVED 4" in told
    assert [line[-5:] for line in told if "error rate" in line].count("50.0%") == 2
    assert "top tags {'by-hand': 4, 'evals': 4, 'nightly': 4, 'docs': 3, 'search': 1}" in told
    assert [line for line in told if line.startswith("slowest tag evals 1:0")]
    assert [line for line in told if re.match("30 days p99 (?:1:0|0:59)", line)]
    assert [line for line in told if line.startswith("stale ")][-1].startswith(f"stale {forgotten} ")
    assert [line.split()[:6] for line in told if line.startswith("error ")] == [
        ["error", "3", "rate", "limited", "after", "<n>"]
    ]
