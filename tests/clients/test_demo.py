"""The demo records, shows and answers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import runindex
import runindex_server
from tests.support.recordings import WAIT_S
from tests.support.repository import ROOT


def test_the_demo_records_and_answers() -> None:
    packages = {str(Path(package.__file__).parents[1]) for package in (runindex, runindex_server)}

    demo = subprocess.run(
        [sys.executable, "-m", "examples.demo", "tests/unit/rpc/test_address.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )

    assert (demo.returncode, demo.stderr) == (0, ""), demo.stdout
    asked = re.findall(r"^  grpcurl .* runindex\.v1\.RunIndex/(\w+)$", demo.stdout, re.MULTILINE)
    assert asked == ["CountRuns", "QueryRunsByTag", "QueryRunsByState", "GetChildRuns", "SearchRuns"]
    assert re.search(
        r"^  FAILED +[\d.]+ +test_made_up\.py::test_made_to_fail +AssertionError: made",
        demo.stdout,
        re.MULTILINE,
    )
    assert re.search(r"^  FAILED +3 *$", demo.stdout, re.MULTILINE)
