"""The recorder for pytest records what pytest does, while it does it."""

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from runindex._recording import tags_of, text
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server.clock import SystemClock
from runindex_server.kv.api import Store
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from tests.support.calls import Stub
from tests.support.recordings import EXPECTED, PROJECT, WAIT_S, Recording, Shape, record, roots_of, write
from tests.support.server import LoopThread, RunningServer


@pytest.fixture
def store_kind() -> str:
    """Return the only kind of store that these tests need: the recorder sees none of it."""
    return "memory"


@pytest.fixture(scope="module")
def recorded(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """Return a recording of the project, made once."""
    clock = SystemClock()

    async def open_store() -> Store:
        return MemoryStore(clock=clock, initialise=initialise)

    server = RunningServer(loop, open_store, clock=clock)
    folder = write(tmp_path_factory.mktemp("project"), PROJECT)
    options = [f"--runindex-address={server.target}", "--runindex-tag=nightly"]
    try:
        with grpc.insecure_channel(server.target) as channel:
            yield record(pb_grpc.RunIndexStub(channel), folder, *options)
    finally:
        server.stop()


def test_the_tree_is_what_was_run(recorded: Recording) -> None:
    assert recorded.session.shape == ("FAILED", None, EXPECTED)
    assert recorded.exit_code == pytest.ExitCode.TESTS_FAILED


def test_tags_are_kind_and_markers(recorded: Recording) -> None:
    tests = recorded.session.children["test_outcomes.py"].children

    assert recorded.session.tags == ["pytest", "session", "nightly"]
    assert recorded.session.children["test_fine.py"].tags == ["pytest", "module"]
    assert tests["test_passes"].tags == ["pytest", "test", "slow", "zone"]
    assert tests["test_is_skipped"].tags == ["pytest", "test", "skip"]


def test_metadata_is_what_pytest_knows(recorded: Recording) -> None:
    session, module = recorded.session, recorded.session.children["test_outcomes.py"]
    passed, skipped = module.children["test_passes"].metadata, module.children["test_is_skipped"].metadata

    assert session.metadata["pytest"] == pytest.__version__
    assert session.metadata["python"] == ".".join(map(str, sys.version_info[:3]))
    assert session.metadata["root"].startswith("project")
    assert session.metadata["collected"] == 11
    assert session.metadata["counts"] == {"passed": 3, "failed": 4, "error": 2, "skipped": 1, "xfailed": 1}
    assert (passed["file"], passed["line"]) == ("test_outcomes.py", 4)
    assert passed["node_id"] == "test_outcomes.py::test_passes"
    assert set(passed["durations_s"]) == {"setup", "call", "teardown"}
    assert all(0 <= seconds < WAIT_S for seconds in passed["durations_s"].values())
    assert set(skipped["durations_s"]) == {"setup", "teardown"}
    assert skipped["reason"] == "not today"
    assert module.children["test_fails_as_expected"].metadata["reason"] == "a known fault"
    assert "no_such_module" in session.children["folder/test_missing.py"].metadata["reason"]


def test_errors_begin_with_what_was_raised(recorded: Recording) -> None:
    module = recorded.session.children["test_outcomes.py"]
    errors = {name: node.error for name, node in module.children.items()}

    assert errors["test_fails"].startswith("AssertionError: sums\n\n")
    assert "assert (1 + 1) == 3" in errors["test_fails"]
    assert errors["test_passes_unexpectedly"] == "[XPASS(strict)]"
    assert errors["test_has_no_setup"].startswith("ValueError: no setup\n\n")
    assert errors["test_has_no_teardown"].startswith("ValueError: no teardown\n\n")
    assert errors["test_has_subtests"].startswith("assert 1 != 1\n\n")
    assert (module.error, recorded.session.error) == ("6 of 9 tests failed", "6 of 11 tests failed")


def test_a_long_error_is_cut_to_what_the_contract_takes(recorded: Recording) -> None:
    error = recorded.session.children["test_outcomes.py"].children["test_says_too_much"].error

    assert error.startswith("RuntimeError: ☃☃☃")
    assert error.endswith("…")
    assert 16 * 1024 - 3 <= len(error.encode()) <= 16 * 1024


@pytest.mark.parametrize(
    ("value", "taken"), [("ab", "ab"), ("abcd", "abcd"), ("abcde", "a…"), ("☃☃", "…"), ("\udc80", "\\…")]
)
def test_text_is_cut_between_characters(value: str, taken: str) -> None:
    assert text(value, 4) == taken


def test_names_that_cannot_be_tags_are_left_out() -> None:
    names = ["a", "", "b\n", "a", "é" * 64, "é" * 65, "\udc80", *map(str, range(100))]

    assert tags_of(names) == ["a", "é" * 64, *map(str, range(62))]


def test_the_summary_says_how_to_look_at_it(recorded: Recording) -> None:
    (line,) = recorded.lines

    found = re.fullmatch(r"runindex: recorded (\d+) runs; the session is (\S+), its modules:", line)
    assert found is not None
    assert int(found[1]) == 1 + 3 + 11
    command = re.search(
        rf"^  grpcurl .*{found[2]}.* 127\.0\.0\.1:\d+ runindex\.v1\.RunIndex/GetChildRuns$",
        recorded.output,
        re.MULTILINE,
    )
    assert command is not None


def test_workers_of_xdist_record_the_same_tree_once(
    stub: Stub, server: RunningServer, tmp_path: Path
) -> None:
    folder = write(tmp_path, PROJECT)

    found = record(stub, folder, "-p", "xdist", "-n", "2", RUNINDEX_ADDRESS=server.target)

    assert found.session.shape == ("FAILED", None, EXPECTED)
    tests = found.session.children["test_outcomes.py"].children
    assert tests["test_passes"].tags == ["pytest", "test", "slow", "zone"]
    assert tests["test_fails"].error.startswith("AssertionError: sums\n\n")
    assert {test.metadata["worker"] for test in tests.values()} <= {"gw0", "gw1"}
    assert found.lines[0].startswith("runindex: recorded 15 runs;")


def test_a_worker_that_crashes_fails_its_test(stub: Stub, server: RunningServer, tmp_path: Path) -> None:
    folder = write(tmp_path, {"test_crash.py": "import os\ndef test_crash():\n    os._exit(1)\n"})

    found = record(
        stub, folder, "-p", "xdist", "-n1", "--max-worker-restart=0", RUNINDEX_ADDRESS=server.target
    )

    crashed = found.session.children["test_crash.py"].children["test_crash"]
    assert (crashed.state, found.session.state) == ("FAILED", "FAILED")
    assert "crashed while running" in crashed.error


def test_runs_are_there_while_their_tests_run(stub: Stub, server: RunningServer, tmp_path: Path) -> None:
    """The second test asks the server until it finds itself under way, and the first one over."""
    source = """
        import os, grpc
        from runindex.v1 import run_index_pb2 as pb, run_index_pb2_grpc as pb_grpc

        def test_first():
            pass

        EXPECTED = {
            "session": pb.RUN_STATE_ACTIVE,
            "test_now.py": pb.RUN_STATE_ACTIVE,
            "test_now.py::test_first": pb.RUN_STATE_COMPLETED,
            "test_now.py::test_second": pb.RUN_STATE_ACTIVE,
        }

        def test_second():
            with grpc.insecure_channel(os.environ["RUNINDEX_ADDRESS"]) as channel:
                stub = pb_grpc.RunIndexStub(channel)
                found = {}
                while found != EXPECTED:
                    runs = stub.ListRuns(pb.ListRunsRequest()).runs
                    found = {run.metadata["node_id"]: run.state for run in runs if "node_id" in run.metadata}
                    found |= {"session": run.state for run in runs if "session" in run.tags}
        """
    folder = write(tmp_path, {"test_now.py": source})

    found = record(stub, folder, RUNINDEX_ADDRESS=server.target)

    assert found.exit_code == pytest.ExitCode.OK, found.output
    assert found.session.state == "COMPLETED"


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_a_module_that_is_not_collected_has_failed(
    stub: Stub, server: RunningServer, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    folder = write(
        tmp_path, {"test_broken.py": "import no_such_module", "test_fine.py": PROJECT["test_fine.py"]}
    )

    found = record(stub, folder, *workers, RUNINDEX_ADDRESS=server.target)

    broken = found.session.children["test_broken.py"]
    assert (found.session.state, broken.state) == ("FAILED", "FAILED")
    assert found.session.error == "1 module not collected"
    assert "no_such_module" in broken.error


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_a_session_that_stops_at_a_failure_has_failed(
    stub: Stub, server: RunningServer, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    source = "def test_fails():\n    assert 0\ndef test_is_not_run():\n    pass\n"
    folder = write(tmp_path, {"test_stops.py": source})

    found = record(stub, folder, "-x", *workers, RUNINDEX_ADDRESS=server.target)

    module = found.session.children["test_stops.py"]
    assert (found.session.state, module.state) == ("FAILED", "FAILED")
    assert found.session.error == "1 of 1 tests failed"
    assert found.session.metadata["collected"] == 2


def test_a_session_that_ran_nothing_is_cancelled(stub: Stub, server: RunningServer, tmp_path: Path) -> None:
    found = record(stub, write(tmp_path, {}), RUNINDEX_ADDRESS=server.target)

    assert found.session.shape == ("CANCELLED", None, {})


def test_a_session_that_only_collects_is_not_recorded(
    stub: Stub, server: RunningServer, tmp_path: Path
) -> None:
    found = record(stub, write(tmp_path, PROJECT), "--collect-only", RUNINDEX_ADDRESS=server.target)

    assert found.roots == []


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", "KeyboardInterrupt"),
        ("pytest.exit('enough')", "Exit: enough"),
    ],
)
def test_what_was_interrupted_is_cancelled(
    stub: Stub, server: RunningServer, tmp_path: Path, statement: str, reason: str
) -> None:
    source = f"""
        import os, pytest, signal

        def test_passes():
            pass

        def test_is_interrupted():
            {statement}
            signal.pause()

        def test_is_not_run():
            pass
        """
    folder = write(tmp_path, {"test_long.py": source})

    found = record(stub, folder, RUNINDEX_ADDRESS=server.target)

    tests: dict[str, Shape] = {
        "test_passes": ("COMPLETED", "passed", {}),
        "test_is_interrupted": ("CANCELLED", "interrupted", {}),
    }
    assert found.session.shape == ("CANCELLED", None, {"test_long.py": ("CANCELLED", None, tests)})
    assert found.session.metadata["reason"] == reason
    assert found.exit_code == pytest.ExitCode.INTERRUPTED


def test_what_was_killed_is_cancelled(stub: Stub, server: RunningServer, tmp_path: Path) -> None:
    source = "import os, signal\ndef test_is_killed():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    folder = write(tmp_path, {"test_killed.py": source})

    found = record(stub, folder, RUNINDEX_ADDRESS=server.target)

    assert found.exit_code == -signal.SIGKILL
    deadline = time.monotonic() + WAIT_S
    while not (roots := roots_of(stub)) or roots[0].state == "ACTIVE":
        assert time.monotonic() < deadline
    tests: dict[str, Shape] = {"test_is_killed": ("CANCELLED", None, {})}
    assert roots[0].shape == ("CANCELLED", None, {"test_killed.py": ("CANCELLED", None, tests)})
