"""Show the index at work: record this repository's own tests as a tree of runs, then ask about it.

    make demo

A server of its own serves a store in a folder that is removed at the end. What is asked is printed above the
answer.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc

TESTS: Final = "tests/unit"
"""What is recorded, unless other paths are given."""

LOOK_S: Final = 2.0
"""How often to look at the tests while they run."""

SHOWN: Final = 5
"""How many runs of an answer are shown."""

WELCOME: Final = re.compile(r"listens on (\S+);")


def main(paths: Sequence[str]) -> int:
    """Record the tests below some paths, ask, and return pytest's exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="runindex-demo-") as data_dir,
        server(data_dir) as address,
        grpc.insecure_channel(address) as channel,
    ):
        index = pb_grpc.RunIndexStub(channel)
        status = record(index, address, paths)
        ask(index)
    return status


@contextmanager
def server(data_dir: str) -> Iterator[str]:
    """Serve a store, and yield where."""
    serve = [
        sys.executable,
        "-m",
        "runindex_server",
        "serve",
        "--address",
        "127.0.0.1:0",
        "--data-dir",
        data_dir,
    ]
    with subprocess.Popen([*serve, "--log-level", "error"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            welcome = WELCOME.search(process.stdout.readline())
            assert welcome is not None, "the server did not start"
            yield welcome[1]
        finally:
            process.terminate()


def record(index: pb_grpc.RunIndexStub, address: str, paths: Sequence[str]) -> int:
    """Run the tests, look at them while they run, and return pytest's exit status."""
    recorder = ["-p", "runindex.pytest_plugin", "--runindex-address", address]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "--quiet", "--no-header", *recorder, *paths]
    ) as tests:
        while True:
            try:
                return tests.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                counts = index.CountRuns(pb.CountRunsRequest()).by_state
                print(" ", ", ".join(f"{row.count} {state_name(row.state)}" for row in counts if row.count))


def ask(index: pb_grpc.RunIndexStub) -> None:
    """Ask about what was recorded."""
    session = index.QueryRunsByTag(pb.QueryRunsByTagRequest(tag="session")).runs[0]
    show("QueryRunsByTag session", [session])
    modules = index.GetChildRuns(pb.GetChildRunsRequest(run_id=session.run_id, page_size=SHOWN))
    show(f"GetChildRuns {session.run_id}", modules.runs)
    for query in ("tag:module duration>1s", "tag:test test_a* meta.outcome:passed", "state:failed error"):
        found = index.SearchRuns(pb.SearchRunsRequest(query=query, page_size=SHOWN))
        show(f"SearchRuns {query}", found.runs)
    print("\nCountRuns")
    for row in index.CountRuns(pb.CountRunsRequest()).by_state:
        print(f"  {row.count:>6} {state_name(row.state)}")


def show(asked: str, runs: Sequence[pb.Run]) -> None:
    """Print a question, and runs that answer it."""
    print(f"\n{asked}")
    for run in runs:
        seconds = run.duration.ToTimedelta().total_seconds()
        node_id = run.metadata.fields["node_id"].string_value
        print(f"  {state_name(run.state):<10} {seconds:>8.3f} s  {node_id or run.run_id}")
    if not runs:
        print("  none")


def state_name(state: pb.RunState.ValueType) -> str:
    """Return a state's name without its prefix."""
    return pb.RunState.Name(state).removeprefix("RUN_STATE_").lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [TESTS]))
