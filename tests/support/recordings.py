"""Pytest runs on folders of their own, under the recorder, and what a server has recorded of them."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

import runindex
from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import Stub

Shape = tuple[str, str | None, dict[str, Any]]
"""The state of a run, its outcome, and the shapes of its children by name."""

WAIT_S: Final = 120.0
"""How long a pytest may take before a test fails instead of hanging."""

PROJECT: Final = {
    "test_outcomes.py": """
        import pytest

        @pytest.mark.slow
        @pytest.mark.zone("a")
        def test_passes():
            pass

        def test_fails():
            assert 1 + 1 == 3, "sums"

        @pytest.mark.skip(reason="not today")
        def test_is_skipped():
            pass

        @pytest.mark.xfail(reason="a known fault")
        def test_fails_as_expected():
            assert False

        @pytest.mark.xfail(strict=True)
        def test_passes_unexpectedly():
            pass

        @pytest.fixture
        def no_setup():
            raise ValueError("no setup")

        def test_has_no_setup(no_setup):
            pass

        @pytest.fixture
        def no_teardown():
            yield
            raise ValueError("no teardown")

        def test_has_no_teardown(no_teardown):
            pass

        def test_has_subtests(subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number != 1

        def test_says_too_much():
            raise RuntimeError("\\N{SNOWMAN}" * 20_000)
        """,
    "test_fine.py": """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_number(number):
            pass
        """,
    "folder/test_missing.py": """
        import pytest

        pytest.importorskip("no_such_module")

        def test_never():
            pass
        """,
}

EXPECTED: Final[dict[str, Shape]] = {
    "folder/test_missing.py": ("CANCELLED", None, {}),
    "test_fine.py": (
        "COMPLETED",
        None,
        {"test_number[1]": ("COMPLETED", "passed", {}), "test_number[2]": ("COMPLETED", "passed", {})},
    ),
    "test_outcomes.py": (
        "FAILED",
        None,
        {
            "test_passes": ("COMPLETED", "passed", {}),
            "test_fails": ("FAILED", "failed", {}),
            "test_is_skipped": ("CANCELLED", "skipped", {}),
            "test_fails_as_expected": ("COMPLETED", "xfailed", {}),
            "test_passes_unexpectedly": ("FAILED", "failed", {}),
            "test_has_no_setup": ("FAILED", "error", {}),
            "test_has_no_teardown": ("FAILED", "error", {}),
            "test_has_subtests": ("FAILED", "failed", {}),
            "test_says_too_much": ("FAILED", "failed", {}),
        },
    ),
}


@dataclass(frozen=True)
class Node:
    """A run of the tree, decoded."""

    state: str
    error: str
    tags: list[str]
    metadata: dict[str, Any]
    children: dict[str, "Node"] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """Its state, its outcome, and those of what is under it."""
        children = {name: node.shape for name, node in self.children.items()}
        return self.state, self.metadata.get("outcome"), children


@dataclass(frozen=True)
class Recording:
    """A pytest that has ended, and what was recorded of it."""

    exit_code: int
    output: str
    roots: list[Node] = field(default_factory=list)

    @property
    def session(self) -> Node:
        """The only session that was recorded."""
        (session,) = self.roots
        return session

    @property
    def lines(self) -> list[str]:
        """What the recorder has printed in the summary, but for the command."""
        return [
            line for line in self.output.splitlines() if re.match(r"runindex: (recorded|127.* stopped)", line)
        ]

    @property
    def verdict(self) -> str:
        """What pytest says of all tests, without how long they took."""
        return self.output.rstrip().rpartition("\n")[2].partition(" in ")[0]


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write test files, and a configuration of their own, and return their folder."""
    for name, source in {"pytest.ini": "[pytest]\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"^ {8}", "", source, flags=re.MULTILINE))
    return folder


PYTEST: Final = """\
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.console_main())
"""
"""Pytest that can be interrupted, also where the tests were started in the background of a shell."""


def start_pytest(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start pytest on a folder, with the recorder and no other plugin."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RUNINDEX_"))
    }
    package = str(Path(runindex.__file__).parents[1])
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            PYTEST,
            "-p",
            "runindex.pytest_plugin",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=folder,
        env=inherited | {"PYTHONPATH": package, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def watch(folder: Path, *arguments: str, **environment: str) -> Recording:
    """Run pytest on a folder, and return how it went."""
    with start_pytest(folder, *arguments, **environment) as process:
        try:
            output, _ = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    return Recording(process.returncode, output)


def record(stub: Stub, folder: Path, *arguments: str, **environment: str) -> Recording:
    """Run pytest on a folder, and return how it went with what the server knows of it."""
    return replace(watch(folder, *arguments, **environment), roots=roots_of(stub))


def roots_of(stub: Stub) -> list[Node]:
    """Return the sessions that a server has recorded."""
    answer = stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag="session"))
    return [node_of(stub, run) for run in answer.runs]


def node_of(stub: Stub, run: pb.Run) -> Node:
    """Return a run with all that is under it, by what is new in their node ids."""
    request = pb.GetChildRunsRequest(run_id=run.run_id, page_size=1_000)
    children = stub.GetChildRuns(request).runs
    nodes = [node_of(stub, child) for child in children]
    return Node(
        state=pb.RunState.Name(run.state).removeprefix("RUN_STATE_"),
        error=run.error,
        tags=list(run.tags),
        metadata=MessageToDict(run.metadata),
        children={
            node.metadata["node_id"].partition("::")[2] or node.metadata["node_id"]: node for node in nodes
        },
    )
