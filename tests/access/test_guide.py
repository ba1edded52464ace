"""The guide to access, carried out command by command."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.clients.test_grpcurl import GRPCURL
from tests.support.repository import ROOT

GUIDE: Final = ROOT / "docs" / "guides" / "access.md"
WAIT_S: Final = 60.0

pytestmark = pytest.mark.skipif(
    not (GRPCURL and shutil.which("openssl")), reason="grpcurl or openssl is not installed"
)


def commands() -> list[str]:
    """Return the commands of the page, with a port that is free and the server of this checkout."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.replace(".venv/bin/", f"{ROOT}/.venv/bin/") for line in lines]


def shell(command: str, folder: Path) -> str:
    """Run a command as a person does, and return what it prints."""
    path = f"{Path(GRPCURL or '').parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def test_the_guide_is_carried_out_as_it_stands(tmp_path: Path) -> None:
    *before, serve, create_run, stats, audit = commands()
    listed = [shell(command, tmp_path) for command in before]
    assert "agents" in listed[2]
    assert "grafana" in listed[2]

    assert " serve " in serve
    with subprocess.Popen(
        ["bash", "-c", "exec " + serve.replace("0.0.0.0:50051", "0.0.0.0:0")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().split(" listens on 0.0.0.0:")[1].split(";")[0]
            made = shell(create_run.replace(":50051", f":{port}"), tmp_path)
            assert '"hello"' in made
            assert "active 2" in shell(stats.replace(":50051", f":{port}"), tmp_path)
            line = json.loads(shell(audit, tmp_path))
            assert (line["caller"], line["code"]) == ("agents", "OK")
        finally:
            server.send_signal(signal.SIGTERM)
