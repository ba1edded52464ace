"""The recorder for pytest: it records what pytest does, while it does it, and never stands in its way."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

import runindex
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server.clock import SystemClock
from runindex_server.kv.api import Store
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from tests.support.calls import Stub
from tests.support.server import LoopThread, RunningServer

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

        def test_says_what_is_no_text():
            raise RuntimeError("\\udc80")
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
            "test_says_what_is_no_text": ("FAILED", "failed", {}),
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
        return [line for line in self.output.splitlines() if re.match(r"runindex: .* runs[:;]", line)]

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


def start_pytest(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start pytest on a folder, with the recorder and no other plugin."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RUNINDEX_"))
    }
    package = str(Path(runindex.__file__).parents[1])
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
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
        output, _ = process.communicate(timeout=WAIT_S)
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
    assert session.metadata["collected"] == 12
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
    assert "\\udc80" in errors["test_says_what_is_no_text"]
    assert (module.error, recorded.session.error) == ("6 of 10 tests failed", "6 of 12 tests failed")


def test_a_long_error_is_cut_to_what_the_contract_takes(recorded: Recording) -> None:
    error = recorded.session.children["test_outcomes.py"].children["test_says_too_much"].error

    assert error.startswith("RuntimeError: ☃☃☃")
    assert error.endswith("…")
    assert 16 * 1024 - 3 <= len(error.encode()) <= 16 * 1024


def test_the_summary_says_how_to_look_at_it(recorded: Recording) -> None:
    (line,) = recorded.lines

    found = re.fullmatch(r"runindex: recorded (\d+) runs; the session is (\S+), its modules:", line)
    assert found is not None
    assert int(found[1]) == 1 + 3 + 12
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
    assert found.lines[0].startswith("runindex: recorded 16 runs;")


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

        def test_second():
            with grpc.insecure_channel(os.environ["RUNINDEX_ADDRESS"]) as channel:
                stub = pb_grpc.RunIndexStub(channel)
                found = {}
                while len(found) < 4:
                    runs = stub.ListRuns(pb.ListRunsRequest()).runs
                    found = {run.metadata["node_id"]: run.state for run in runs if "node_id" in run.metadata}
                    found |= {"session": run.state for run in runs if "session" in run.tags}
            assert found == {
                "session": pb.RUN_STATE_ACTIVE,
                "test_now.py": pb.RUN_STATE_ACTIVE,
                "test_now.py::test_first": pb.RUN_STATE_COMPLETED,
                "test_now.py::test_second": pb.RUN_STATE_ACTIVE,
            }
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

    assert found.session.shape == ("FAILED", None, {"test_broken.py": ("FAILED", None, {})})
    assert found.session.error == "1 modules could not be collected"
    assert "no_such_module" in found.session.children["test_broken.py"].error


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


def test_tests_that_fork_see_nothing_of_it(stub: Stub, server: RunningServer, tmp_path: Path) -> None:
    source = """
        import os, threading

        def test_forks(capfd):
            for _ in range(50):
                if (child := os.fork()) == 0:
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert threading.active_count() == 1
            assert capfd.readouterr() == ("", "")
        """
    folder = write(tmp_path, {"test_fork.py": source})

    found = record(stub, folder, RUNINDEX_ADDRESS=server.target)

    assert found.session.state == "COMPLETED", found.output


@pytest.fixture(scope="module")
def unrecorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Return what pytest says of the project when nobody records it."""
    return watch(write(tmp_path_factory.mktemp("project"), PROJECT))


def test_without_an_address_it_says_that_it_does_not_record(unrecorded: Recording) -> None:
    says = [line for line in unrecorded.output.splitlines() if "runindex" in line]

    assert says == ["runindex: not recording; --runindex-address or RUNINDEX_ADDRESS says where"]


def check_bystander(found: Recording, unrecorded: Recording, problem: str) -> None:
    """Check that pytest said and did what it does without the recorder, which told its problem in one line."""
    assert (found.exit_code, found.verdict) == (unrecorded.exit_code, unrecorded.verdict)
    (line,) = found.lines
    assert re.fullmatch(rf"runindex: 127\.0\.0\.1:\d+: recording stopped after {problem}", line), line


@pytest.mark.parametrize(
    ("server_is", "problem"), [("absent", "UNAVAILABLE: .*"), ("silent", "DEADLINE_EXCEEDED: .*")]
)
def test_a_server_that_does_not_answer(
    unrecorded: Recording,
    tmp_path: Path,
    listens: bool,
    problem: str,  # A parameter of the test.
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if server_is == "silent":
            bound.listen()

        found = watch(write(tmp_path, PROJECT), RUNINDEX_ADDRESS=f"127.0.0.1:{bound.getsockname()[1]}")

    check_bystander(found, unrecorded, f"0 runs: {problem}")


def test_a_server_that_refuses(server: RunningServer, unrecorded: Recording, tmp_path: Path) -> None:
    server.store.error = RuntimeError("no disk")

    found = watch(write(tmp_path, PROJECT), RUNINDEX_ADDRESS=server.target)

    check_bystander(found, unrecorded, "0 runs: INTERNAL: .*")


def test_a_server_that_dies_in_the_middle(
    stub: Stub, server: RunningServer, unrecorded: Recording, tmp_path: Path
) -> None:
    """A first module waits until the server has recorded that it runs, and then until the server is gone."""
    source = """
        import os, socket

        def test_waits():
            with socket.create_connection(("127.0.0.1", int(os.environ["GATE"]))) as gate:
                gate.recv(1)
        """
    folder = write(tmp_path, {"test_a_gate.py": source, **PROJECT})
    with socket.create_server(("127.0.0.1", 0)) as gate:
        port = str(gate.getsockname()[1])
        with start_pytest(folder, RUNINDEX_ADDRESS=server.target, GATE=port) as process:
            waiting, _ = gate.accept()
            while not stub.QueryRunsByTag(pb.QueryRunsByTagRequest(tag="test")).runs:
                assert process.poll() is None
            server.stop()
            waiting.close()
            output, _ = process.communicate(timeout=WAIT_S)

    found = Recording(process.returncode, output)
    assert found.exit_code == unrecorded.exit_code
    (line,) = found.lines
    assert re.search(r": recording stopped after \d runs: UNAVAILABLE: ", line)


class Flaky(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # At run time it takes none.
    """A service that refuses the first attempts of each call with one code, and then takes it."""

    def __init__(self, code: grpc.StatusCode, attempts: int) -> None:
        self.code = code
        self.attempts = attempts
        self.request_ids: list[str] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        name = handler_call_details.method.rpartition("/")[2]

        def take(request: Any, context: grpc.ServicerContext) -> bytes:
            self.request_ids.append(request.request_id)
            if self.request_ids.count(request.request_id) <= self.attempts:
                context.abort(self.code, "not now")
            return b""

        read = getattr(pb, f"{name}Request").FromString
        return grpc.unary_unary_rpc_method_handler(take, request_deserializer=read)


@pytest.fixture
def serve() -> Iterator[Callable[[Flaky], str]]:
    """Return what serves a flaky service and returns its address."""
    servers: list[grpc.Server] = []

    def serve_one(service: Flaky) -> str:
        server = grpc.server(futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield serve_one
    for server in servers:
        server.stop(0).wait(WAIT_S)


def test_unavailable_is_tried_again_under_the_same_request_id(
    serve: Callable[[Flaky], str], tmp_path: Path
) -> None:
    service = Flaky(grpc.StatusCode.UNAVAILABLE, attempts=2)

    found = watch(write(tmp_path, {}), RUNINDEX_ADDRESS=serve(service))

    assert "runindex: recorded 1 runs;" in found.output
    calls = Counter(service.request_ids)
    assert set(calls.values()) == {3}
    assert len(calls) in {2, 3}  # Created and ended, and updated between if it was seen under way.
    assert all(1 <= len(request_id) <= 64 for request_id in calls)


def test_nothing_else_is_tried_again(serve: Callable[[Flaky], str], tmp_path: Path) -> None:
    service = Flaky(grpc.StatusCode.RESOURCE_EXHAUSTED, attempts=1)

    found = watch(write(tmp_path, {}), RUNINDEX_ADDRESS=serve(service))

    assert "recording stopped after 0 runs: RESOURCE_EXHAUSTED: not now" in found.output
    assert len(service.request_ids) == 1
