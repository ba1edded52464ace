"""The page about grpcurl is a session: each of its commands is run, and prints what the page shows.

What differs from day to day is left out of the comparison, and the page says so: ids that no command
names, times, durations and page tokens.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import pytest
import trustme
from google.protobuf import json_format

from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer
from tests.clients.test_grpcurl import GRPCURL
from tests.support.repository import ROOT
from tests.support.server import LoopThread, RunningServer
from tests.support.tls_proxy import TlsProxy

PAGE: Final = ROOT / "docs/guides/grpcurl.md"
ADDRESS: Final = "localhost:50051"
TLS_ADDRESS: Final = "localhost:50443"
END: Final = "--- the end of a block: "

BLOCK: Final = re.compile(r"^```(bash|json|text|proto|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PYTHON: Final = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
UUID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
DIFFERS: Final = (
    (r'"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"a time"'),
    (r'"duration": "[\d.]+s"', '"duration": "some"'),
    (r'"next_page_token": "[^"]+"', '"next_page_token": "a token"'),
)
"""What differs in what is printed, and what stands for it when it is compared."""

needs_grpcurl = pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed")


ALL_FILES: Final = f"grpcurl -import-path {ROOT}/protos -proto runindex/v1/run_index.proto"
"""grpcurl for a server that does not tell what there is."""


@dataclass(frozen=True)
class Step:
    """Commands of the page, and what they print."""

    commands: str
    output: str


def steps(text: str) -> list[Step]:
    """Return the session of a page: its blocks of commands, each with the block of output that follows it."""
    blocks = BLOCK.findall(text)
    following = [*blocks[1:], ("bash", "")]
    return [
        Step(commands, "" if after in {"bash", "python"} else output)
        for (language, commands), (after, output) in zip(blocks, following, strict=True)
        if language == "bash"
    ]


def run(session: list[Step], folder: Path, plain: str, tls: str) -> list[tuple[str, int]]:
    """Run a session in one shell; return what each block prints, errors too, and its exit status."""
    assert GRPCURL is not None
    script = "".join(f"{step.commands}echo '{END}'$?\n" for step in session)
    done = subprocess.run(
        ["bash", "-c", "exec 2>&1\n" + script.replace(ADDRESS, plain).replace(TLS_ADDRESS, tls)],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(GRPCURL).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    shown = done.stdout.replace(plain, ADDRESS).replace(tls, TLS_ADDRESS)
    printed = re.findall(rf"(.*?){END}(\d+)\n", shown, re.DOTALL)
    return [(output, int(status)) for output, status in printed]


def status_of(output: str) -> int:
    """Return how grpcurl ends after an output."""
    if output.startswith("Failed to dial"):
        return 1
    refused = re.match(r"ERROR:\n  Code: (\w+)\n", output)
    if refused is None:
        return 0
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", refused[1]).upper()
    return 64 + int(grpc.StatusCode[name].value[0])


def lasting(output: str, named: set[str]) -> str:
    """Return what is printed without what differs from day to day.

    Args:
        output: What is printed.
        named: The ids that commands name, which do not differ.
    """
    for pattern, word in DIFFERS:
        output = re.sub(pattern, word, output)
    return UUID.sub(lambda found: found[0] if found[0] in named else "an id", output)


@contextmanager
def behind_tls(loop: LoopThread, target: str, folder: Path) -> Iterator[str]:
    """Speak TLS in front of a server, with the certificates of the page in a folder; return the address."""
    proxy = TlsProxy(loop, target)
    proxy.write_ca(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    try:
        yield proxy.target
    finally:
        proxy.stop()


@needs_grpcurl
@pytest.mark.parametrize("store_kind", ["lmdb"], indirect=True)
def test_every_command_prints_what_the_page_shows(
    server: RunningServer, loop: LoopThread, tmp_path: Path
) -> None:
    session = steps(PAGE.read_text())
    with behind_tls(loop, server.target, tmp_path) as address:
        printed = run(session, tmp_path, server.target, address)

    named = {found for step in session for found in UUID.findall(step.commands)}
    assert len(printed) == len(session) > 40

    for step, (output, status) in zip(session, printed, strict=True):
        assert lasting(output, named) == lasting(step.output, named), step.commands
        assert status == status_of(step.output), step.commands


@needs_grpcurl
def test_the_token_reaches_the_server(loop: LoopThread, tmp_path: Path) -> None:
    (step,) = (step for step in steps(PAGE.read_text()) if "-expand-headers" in step.commands)
    server = FaultyServer([json_format.Parse(step.output, pb.RunExistsResponse())])
    session = [Step(step.commands.replace("grpcurl", ALL_FILES), step.output)]

    with behind_tls(loop, server.target, tmp_path) as address:
        printed = run(session, tmp_path, "no other", address)
    server.stop()

    assert printed == [(step.output, 0)]
    assert [call["authorization"] for call in server.metadata] == ["Bearer s3cret"]


@pytest.mark.parametrize("store_kind", ["memory"], indirect=True)
def test_the_python_runs_as_it_stands(server: RunningServer) -> None:
    ((code, output),) = PYTHON.findall(PAGE.read_text())
    command = [sys.executable, "-c", code.replace(ADDRESS, server.target)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, output), done.stderr


def test_the_page_calls_all_methods_of_run_index_and_every_other_service() -> None:
    text = "".join(step.commands for step in steps(PAGE.read_text()))
    called = set(re.findall(r"\b([A-Z]\w+/\w+)(?= '|$)", text, re.MULTILINE))
    index = {f"RunIndex/{method.name}" for method in pb.DESCRIPTOR.services_by_name["RunIndex"].methods}

    assert index <= called
    assert {call.split("/")[0] for call in called - index} == {
        "Health",
        "Maintenance",
        "RunData",
        "RunInsights",
        "RunTemplates",
    }


def test_requests_are_json_that_people_can_copy() -> None:
    requests = [
        request for step in steps(PAGE.read_text()) for request in re.findall(r"'(\{.*?\})'", step.commands)
    ]

    assert len(requests) > 35
    for request in requests:
        assert json.dumps(json.loads(request)) == request


def test_only_what_differs_is_left_out_of_the_comparison() -> None:
    output = """
{
  "run_id": "0192f3aa-0000-7000-8000-000000000001",
  "parent_run_id": "0192f3aa-0000-7000-8000-000000000002",
  "create_time": "2026-03-01T12:00:00.123456Z",
  "duration": "0.25s",
  "delete_after": "604800s",
  "next_page_token": "AbC",
  "revision": "7"
}
"""

    assert (
        lasting(output, {"0192f3aa-0000-7000-8000-000000000001"})
        == """
{
  "run_id": "0192f3aa-0000-7000-8000-000000000001",
  "parent_run_id": "an id",
  "create_time": "a time",
  "duration": "some",
  "delete_after": "604800s",
  "next_page_token": "a token",
  "revision": "7"
}
"""
    )
