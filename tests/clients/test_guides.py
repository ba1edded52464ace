"""The shell examples of the README and the guides, run as they stand, line by line, against a server."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.clients.test_grpcurl import GRPCURL
from tests.support.repository import ROOT
from tests.support.server import RunningServer

PAGES: Final = ("README.md", "docs/guides/data.md", "docs/guides/retention.md", "docs/guides/operating.md")
ADDRESS: Final = "localhost:50051"
ON_A_FOLDER: Final = "restore|shrink"
OF_THE_REPOSITORY: Final = re.compile(r"^(?:\w+=\S+ )?make |^pytest ")
"""Commands that do not call a server."""

pytestmark = [
    pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed"),
    pytest.mark.parametrize("store_kind", ["lmdb"], indirect=True),
]


def shell_lines(page: str) -> list[str]:
    """Return the lines of a page's shell examples, in their order."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not OF_THE_REPOSITORY.match(line)]


def put_command(folder: Path, target: str) -> None:
    """Put `.venv/bin/runindex-server` into a folder; it calls the server of the test."""
    command = folder / ".venv" / "bin" / "runindex-server"
    command.parent.mkdir(parents=True)
    run = f"{shlex.quote(sys.executable)} -m runindex_server"
    of_folder, of_server = f'exec {run} "$@"', f'exec {run} "$@" --address {target}'
    command.write_text(f'#!/bin/sh\ncase "$1" in {ON_A_FOLDER}) {of_folder};; *) {of_server};; esac\n')
    command.chmod(0o700)


@pytest.mark.parametrize("page", PAGES)
def test_examples_run_as_they_stand(server: RunningServer, tmp_path: Path, page: str) -> None:
    lines = shell_lines(page)
    assert len(lines) >= 5
    assert GRPCURL is not None
    put_command(tmp_path, server.target)
    path = f"{Path(GRPCURL).parent}:{os.environ['PATH']}"
    # Aliases stay as they stand, and the first line that fails ends it.
    script = "\n".join(["shopt -s expand_aliases", "set -euo pipefail", *lines])

    done = subprocess.run(
        ["bash", "-c", script.replace(ADDRESS, server.target)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
