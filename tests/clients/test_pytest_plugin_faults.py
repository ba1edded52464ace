"""The recorder for pytest stands in nobody's way, whatever the server does."""

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import Stub
from tests.support.recordings import PROJECT, WAIT_S, Recording, record, start_pytest, watch, write
from tests.support.server import RunningServer


@pytest.fixture
def store_kind() -> str:
    """Return the only kind of store that these tests need: the recorder sees none of it."""
    return "memory"


@pytest.fixture(scope="module")
def unrecorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Return what pytest says of the project when nobody records it."""
    return watch(write(tmp_path_factory.mktemp("project"), PROJECT))


def test_without_an_address_it_says_that_it_does_not_record(unrecorded: Recording) -> None:
    says = [line for line in unrecorded.output.splitlines() if "runindex" in line]

    assert says == ["runindex: not recording; --runindex-address or RUNINDEX_ADDRESS says where"]


def check_bystander(found: Recording, unrecorded: Recording, problem: str) -> None:
    """Check that pytest did what it does without the recorder, which told of its problem in one line."""
    assert (found.exit_code, found.verdict) == (unrecorded.exit_code, unrecorded.verdict)
    (line,) = found.lines
    assert re.fullmatch(rf"runindex: 127\.0\.0\.1:\d+: recording stopped: {problem}", line), line


@pytest.mark.parametrize(
    ("server_is", "problem"), [("absent", "UNAVAILABLE: .*"), ("silent", "DEADLINE_EXCEEDED: .*")]
)
def test_a_server_that_does_not_answer(
    unrecorded: Recording,
    tmp_path: Path,
    server_is: str,
    problem: str,  # A parameter of the test.
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if server_is == "silent":
            bound.listen()

        found = watch(write(tmp_path, PROJECT), RUNINDEX_ADDRESS=f"127.0.0.1:{bound.getsockname()[1]}")

    check_bystander(found, unrecorded, problem)


def test_a_server_that_refuses(server: RunningServer, unrecorded: Recording, tmp_path: Path) -> None:
    server.store.error = RuntimeError("no disk")

    found = watch(write(tmp_path, PROJECT), RUNINDEX_ADDRESS=server.target)

    check_bystander(found, unrecorded, "INTERNAL: .*")


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
    assert re.search(r": recording stopped after \d runs: (UNAVAILABLE|CANCELLED): ", line)


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

    assert "runindex: recorded 1 run;" in found.output
    calls = Counter(service.request_ids)
    assert set(calls.values()) == {3}
    assert len(calls) in {2, 3}  # Created and ended, and updated between if it was seen under way.
    assert all(1 <= len(request_id) <= 64 for request_id in calls)


def test_nothing_else_is_tried_again(serve: Callable[[Flaky], str], tmp_path: Path) -> None:
    service = Flaky(grpc.StatusCode.RESOURCE_EXHAUSTED, attempts=1)

    found = watch(write(tmp_path, {}), RUNINDEX_ADDRESS=serve(service))

    assert "recording stopped: RESOURCE_EXHAUSTED: not now" in found.output
    assert len(service.request_ids) == 1


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
