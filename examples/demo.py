"""Records a part of this repository's own test run while it happens, then answers questions about it.

    make demo
    python -m examples.demo --stay                      leave the server up, to ask more
    python -m examples.demo --address 127.0.0.1:50051   use a server that runs

It starts a server on a free port with a store in a temporary folder, and pytest with RunIndex's recorder.
Every answer comes from the server through the generated stub, below the command that asks the same.
"""

import argparse
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc

ROOT: Final = Path(__file__).resolve().parents[1]
SUITE: Final = (
    "tests/unit/runs",
    "tests/unit/schema",
    "tests/contract/test_hierarchy.py",
    "tests/contract/test_lifecycle.py",
    "tests/contract/test_retention.py",
    "tests/contract/test_tags.py",
)
MADE_NAME: Final = "test_made_up.py"
MADE: Final = """
import pytest


def test_made_to_pass():
    assert 6 * 7 == 42


def test_made_to_fail():
    assert 6 * 9 == 42, "made to fail, for this demo"


@pytest.mark.skip(reason="made to be skipped, for this demo")
def test_made_to_be_skipped():
    pass
"""
FAREWELL: Final = """
Your turn: serve ./data, and record any test suite there
  make run
  pytest -p runindex.pytest_plugin --runindex-address 127.0.0.1:50051"""
STAYING: Final = """
The server at {address} stays up for your own questions, until Ctrl-C."""
WORKERS: Final = min(4, os.cpu_count() or 1)

SERVICE: Final = "runindex.v1.RunIndex"
CALL_S: Final = 10.0
STOP_S: Final = 10.0
POLL_S: Final = 0.25
LINE_EVERY_S: Final = 2.0
"""How often a line is printed where no table can be kept up to date."""

ROWS_MAX: Final = 6

STYLES: Final = {"ACTIVE": "cyan", "COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow"}

console = Console(highlight=False, markup=False)
if not console.is_terminal:
    console.width = 110


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


def main() -> int:
    """Run the demo; return 0 when all was recorded and answered."""
    parser = argparse.ArgumentParser(description="Record a test run while it happens, then ask about it.")
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="a server that runs, instead of one of its own"
    )
    parser.add_argument("--stay", action="store_true", help="leave the server up at the end, until Ctrl-C")
    parser.add_argument("paths", nargs="*", default=SUITE, metavar="PATH", help="what to test instead")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="runindex-demo-") as name:
            folder = Path(name)
            with server(arguments.address, folder) as address, grpc.insecure_channel(address) as channel:
                demonstrate(pb_grpc.RunIndexStub(channel), address, folder, arguments.paths)
                console.print(FAREWELL)
                if arguments.stay and not arguments.address:
                    console.print(STAYING.format(address=address))
                    signal.pause()
    except DemoFailed as error:
        console.print(f"\n{error}", style="red")
        return 1
    except grpc.RpcError as error:
        console.print(f"\nA call failed: {error.code().name}: {error.details()}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print()
        return 128 + signal.SIGINT
    return 0


@contextmanager
def server(address: str | None, folder: Path) -> Iterator[str]:
    """Give the address of a server: the one named, or else one of our own, which is stopped at the end."""
    if address:
        console.print(f"Server   {address}, which runs already")
        yield address
        return
    log = folder / "server.log"
    command = [sys.executable, "-m", "runindex_server", "serve", "--address", "127.0.0.1:0"]
    with (
        log.open("wb") as errors,
        process(
            [*command, "--data-dir", str(folder / "store")], stdout=subprocess.PIPE, stderr=errors
        ) as serving,
    ):
        assert serving.stdout is not None
        found = re.search(rb"listens on (\S+);", serving.stdout.readline())
        if found is None:
            raise DemoFailed(f"The server did not start:\n{log.read_text()[-2_000:]}")
        address = found[1].decode()
        console.print(f"Server   {address}, with a store in a temporary folder")
        yield address


@contextmanager
def process(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[bytes]"]:  # noqa: ANN401
    """Run a process; when left, end it and all that it has started."""
    # A session of its own: Ctrl-C comes to us alone, and its group is what it has started.
    with subprocess.Popen(command, start_new_session=True, **options) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.terminate()
                with suppress(subprocess.TimeoutExpired):
                    started.wait(STOP_S)
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def demonstrate(stub: pb_grpc.RunIndexStub, address: str, folder: Path, paths: Sequence[str]) -> None:
    """Record tests, then ask about them."""
    if not all(map(importlib.util.find_spec, ("pytest", "xdist", "hypothesis"))):
        raise DemoFailed("What this repository's tests need is not installed: make setup")
    tag = f"demo-{uuid.uuid4().hex[:6]}"
    made = folder / "made"
    made.mkdir()
    (made / MADE_NAME).write_text(MADE)
    recorder = ["-p", "runindex.pytest_plugin", "--runindex-address", address, "--runindex-tag", tag]
    console.print("Tests    a part of this repository's own, and one module made for this demo:")
    console.print("         one test in it fails and one is skipped, so that there is something to find.\n")
    console.print("  pytest " + " ".join(recorder), soft_wrap=True, style="bold")
    command = [
        sys.executable,
        "-m",
        "pytest",
        *recorder,
        f"--rootdir={ROOT}",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    command += [f"--numprocesses={WORKERS}", "-q", "-p", "no:cacheprovider", *paths, str(made)]
    log = folder / "pytest.log"
    with log.open("wb") as output, process(command, cwd=ROOT, stdout=output, stderr=output) as tests:
        show_progress(stub, tests)
        code = tests.wait()
    told = log.read_text(errors="replace").rstrip()
    session = only(stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag=tag), timeout=CALL_S).runs)
    if code not in {0, 1} or session is None or "runindex: recorded" not in told:
        raise DemoFailed(f"The tests were not recorded; pytest ended with {code}:\n{told[-2_000:]}")
    console.print(f"\n  pytest says: {told.rpartition(chr(10))[2].strip('= ')}")
    ask_all(stub, address, tag, session)


def show_progress(stub: pb_grpc.RunIndexStub, tests: "subprocess.Popen[bytes]") -> None:
    """Ask the server, while tests run, what it knows of them, and show it."""
    console.print()
    began = line_due = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        over = False
        while not over:
            over = tests.poll() is not None
            counts = stub.CountRuns(pb.CountRunsRequest(), timeout=CALL_S)
            active = stub.ListRuns(pb.ListRunsRequest(states=[pb.RUN_STATE_ACTIVE]), timeout=CALL_S).runs
            line = progress_line(counts, time.monotonic() - began)
            if console.is_terminal:
                live.update(Group(line, *([] if over else under_way(active))), refresh=True)
            elif over or time.monotonic() >= line_due:
                console.print(line)
                line_due += LINE_EVERY_S
            with suppress(subprocess.TimeoutExpired):
                tests.wait(POLL_S)


def progress_line(counts: pb.CountRunsResponse, elapsed_s: float) -> Text:
    """Return the counts of a moment in a line."""
    line = Text(f"  {elapsed_s:4.0f} s ")
    for row in counts.by_state:
        if (name := state_text(row.state)).plain in STYLES:
            line.append(f"  {name.plain.lower()} ").append(
                f"{row.count:<5}", name.style if row.count else "dim"
            )
    return line


def under_way(active: Iterable[pb.Run]) -> list[Text]:
    """Return the tests under way, a line each and always as many, so that nothing jumps."""
    names = sorted(name_of(run) for run in active if "test" in run.tags)
    lines = [*(names or ["pytest has no test under way"]), *[""] * WORKERS][:WORKERS]
    return [Text(f"          {name}", "cyan", no_wrap=True, overflow="ellipsis") for name in lines]


def ask_all(stub: pb_grpc.RunIndexStub, address: str, tag: str, session: pb.Run) -> None:
    """Ask the questions."""
    modules = stub.GetChildRuns(pb.GetChildRunsRequest(run_id=session.run_id), timeout=CALL_S).runs
    made = only(run for run in modules if name_of(run).endswith(MADE_NAME))
    if made is None:
        raise DemoFailed(f"{MADE_NAME} was not recorded")
    archiving = "tag:test meta.node_id:test_archiv* duration>0.01s"
    for question, method, request in (
        ("How many runs are in each state?", "CountRuns", pb.CountRunsRequest()),
        ("How did the session go?", "QueryRunsByTag", pb.QueryRunsByTagRequest(tag=tag)),
        (
            "What failed, and why?",
            "QueryRunsByState",
            pb.QueryRunsByStateRequest(state=pb.RUN_STATE_FAILED, page_size=ROWS_MAX),
        ),
        (f"What became of {MADE_NAME}?", "GetChildRuns", pb.GetChildRunsRequest(run_id=made.run_id)),
        (
            "Which tests of archiving took longer than 10 ms?",
            "SearchRuns",
            pb.SearchRunsRequest(query=archiving, page_size=ROWS_MAX),
        ),
    ):
        command = command_of(method, request, address)
        console.print(f"\n{question}", style="bold")
        console.print(f"  {command}\n", soft_wrap=True, style="dim")
        answer = getattr(stub, method)(request, timeout=CALL_S)
        console.print(Padding(table_of(answer), (0, 0, 0, 2)))


def command_of(method: str, request: Message, address: str) -> str:
    """Return what one would type to make a call."""
    fields = MessageToDict(request, preserving_proto_field_name=True)
    data = f"-d {shlex.quote(json.dumps(fields))} " if fields else ""
    return f"grpcurl -plaintext {data}{address} {SERVICE}/{method}"


def table_of(answer: Any) -> Table:  # noqa: ANN401  # Counts, or a page of runs.
    """Return an answer as a table."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    if isinstance(answer, pb.CountRunsResponse):
        table.add_column("state")
        table.add_column("runs", justify="right")
        table.add_column(style="dim")
        for row in answer.by_state:
            only_default = row.state == pb.RUN_STATE_ACTIVE and row.count == 1
            note = "the default run, which every store has" if only_default else ""
            if row.count:
                table.add_row(state_text(row.state), str(row.count), note)
        return table
    reasons = [why(run) for run in answer.runs]
    table.add_column("state", min_width=9)
    table.add_column("seconds", min_width=7, justify="right")
    table.add_column("run", ratio=3)
    table.add_column("because" if any(reasons) else "", ratio=2 if any(reasons) else None)
    for run, reason in zip(answer.runs, reasons, strict=True):
        seconds = f"{run.duration.ToTimedelta().total_seconds():.2f}"
        table.add_row(state_text(run.state), seconds, in_line(name_of(run)), in_line(reason))
    if answer.next_page_token:
        table.add_row("", "", Text("… and more: next_page_token leads on", "dim"))
    return table


def in_line(text: str) -> Text:
    """Return text that is cut where its column ends, brackets and all."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def state_text(state: pb.RunState.ValueType) -> Text:
    """Return a state's name, in its colour."""
    name = pb.RunState.Name(state).removeprefix("RUN_STATE_")
    return Text(name, STYLES.get(name, ""))


def name_of(run: pb.Run) -> str:
    """Return what the recorder has called a run."""
    return run.metadata.fields["node_id"].string_value or "the session"


def why(run: pb.Run) -> str:
    """Return why a run ended as it did, in a line."""
    return run.error.partition("\n")[0] or run.metadata.fields["reason"].string_value


def only(runs: Iterable[pb.Run]) -> pb.Run | None:
    """Return the only run of some; None when there is none, or another."""
    found = list(runs)
    return found[0] if len(found) == 1 else None


if __name__ == "__main__":
    sys.exit(main())
