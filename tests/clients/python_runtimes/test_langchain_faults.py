"""The program that is recorded goes on as if nobody recorded it, whatever the server does."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.runnables import RunnableConfig, RunnableLambda

from runindex import Client
from runindex.langchain import RunIndexCallbackHandler, _recorder, _writer
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer, faulty_servers, refusal
from tests.clients.python_runtimes.graphs import (
    WAYS,
    agent,
    execute,
    inputs,
    nothing,
    one_node,
    replies,
    said,
)
from tests.clients.python_runtimes.trees import FLUSH_S, held_up, recorded, roots, shape, warnings
from tests.support.repository import ROOT
from tests.support.server import WAIT_S, LoopThread, RunningServer
from tests.support.tls_proxy import TlsProxy

ADDED_S = 3.0
"""What a recording may add to the time of a program: a second for each call would be much more."""


def bound(port: int) -> socket.socket:
    """Return a socket that has a port, and does not listen."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found


@pytest.fixture(scope="module")
def held() -> Iterator[list[socket.socket]]:
    """Return what holds ports until the end: what still waits for one must not find another test's server."""
    held: list[socket.socket] = []
    yield held
    for each in held:
        each.close()


@pytest.fixture
def nowhere(request: pytest.FixtureRequest, held: list[socket.socket]) -> str:
    """Return an address where nobody listens, or where nobody answers."""
    held.append(bound(0))
    if request.param == "silent":
        held[-1].listen()
    return f"127.0.0.1:{held[-1].getsockname()[1]}"


both = pytest.mark.parametrize("nowhere", ["absent", "silent"], indirect=True)


@both
@pytest.mark.parametrize("how", WAYS)
def test_a_server_that_does_not_answer(nowhere: str, how: str) -> None:
    unrecorded = said(execute(how, agent(), inputs(), {}))
    handler = RunIndexCallbackHandler(nowhere)

    begun_s = time.monotonic()
    result = execute(how, agent(), inputs(), {"callbacks": [handler]})

    assert time.monotonic() - begun_s < ADDED_S
    assert said(result) == unrecorded
    assert len(handler._tree) == 0
    assert not handler.flush(0.1)


PROGRAM = """
import time
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from runindex.langchain import RunIndexCallbackHandler

begun_s = time.monotonic()
for _ in range(3):
    print(RunnableLambda(len).invoke("four", {"callbacks": [RunIndexCallbackHandler()]}))
assert time.monotonic() - begun_s < 1
%s
"""


def run(program: str, address: str) -> tuple[int, str, str, float]:
    """Run a program that records; return its exit code, what it says, and the seconds that it took."""
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"RUNINDEX_ADDRESS": address, "PYTHONPATH": str(ROOT / "clients/python")},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - begun_s


@both
def test_a_program_ends_soon_without_a_server(nowhere: str) -> None:
    code, output, errors, seconds = run(PROGRAM % "", nowhere)

    assert (code, output) == (0, "4\n4\n4\n")
    assert seconds < _recorder.LEAVE_S + 10  # For the imports, on a busy machine.
    # That nobody answers takes a while to be known; that nobody listens does not.
    assert re.fullmatch("(not recorded for now: .*\n)?", errors)


def test_a_program_that_ends_leaves_nothing_behind(server: RunningServer, client: Client) -> None:
    """It is recorded to its end; what it has not ended is cancelled."""
    source = "def parts(given):\n    yield from ['one', 'two']\n"
    source += "stream = RunnableLambda(parts).stream('', {'callbacks': [RunIndexCallbackHandler()]})\n"

    code, output, errors, _ = run(PROGRAM % f"{source}print(next(stream))", server.target)

    assert (code, output, errors) == (0, "4\n4\n4\none\n", "")
    assert [shape(client, root) for root in roots(client)] == ["len COMPLETED"] * 3 + ["parts CANCELLED"]


def test_a_server_that_dies_in_the_middle(
    handler: RunIndexCallbackHandler,
    server: RunningServer,
    held: list[socket.socket],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def node(state: Any, config: RunnableConfig) -> dict[str, list[str]]:
        assert handler.flush(FLUSH_S)
        server.stop()
        held.append(bound(int(server.target.rpartition(":")[2])))
        return {"notes": [RunnableLambda(str).invoke("on", config)]}

    begun_s = time.monotonic()
    result = one_node(node).invoke(inputs(), {"callbacks": [handler]})

    assert time.monotonic() - begun_s < ADDED_S
    assert result["notes"] == ["on"]
    assert not handler._recorder.flush(WAIT_S, patient=False)
    (message,) = warnings(caplog, server.target)
    assert message.startswith("not recorded for now: SERVER: ")


def test_a_server_that_refuses(
    handler: RunIndexCallbackHandler, server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.store.error = RuntimeError("no disk")

    result = agent().invoke(inputs(), {"callbacks": [handler]})

    assert said(result) == said(agent().invoke(inputs()))
    assert handler.flush(FLUSH_S)
    (message,) = warnings(caplog, server.target)
    assert message.startswith("not recorded: SERVER: ")


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Return what starts servers that answer as they are told; they are stopped after the test."""
    with faulty_servers() as start:
        yield start


CREATED = pb.CreateRunResponse(run=pb.Run(run_id="0192f3aa-bbcc-7ddd-8eee-ff0011223344"))
CLOSED = pb.CloseRunResponse(version=2)
AWAY = grpc.StatusCode.UNAVAILABLE


def test_what_is_not_answered_is_asked_again_under_the_same_id(
    faulty: Callable[..., FaultyServer], caplog: pytest.LogCaptureFixture
) -> None:
    patience = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_s=0.01)
    server = faulty(AWAY, grpc.StatusCode.DEADLINE_EXCEEDED, CREATED, patience, CLOSED)
    handler = RunIndexCallbackHandler(server.target, token="secret")

    RunnableLambda(len).invoke("four", {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    creations = [request for path, request in server.calls if path.endswith("/CreateRun")]
    ends = [request for path, request in server.calls if path.endswith("/CloseRun")]
    assert (len(creations), len(ends), len(server.calls)) == (3, 2, 5)
    assert len(set(creations)) == len(set(ends)) == 1
    assert pb.CreateRunRequest.FromString(creations[0]).request_id
    assert pb.CloseRunRequest.FromString(ends[0]).run_id == CREATED.run.run_id
    assert {metadata["authorization"] for metadata in server.metadata} == {"Bearer secret"}
    assert [message.partition(":")[0] for message in warnings(caplog, server.target)] == [
        "not recorded for now",
        "recording again",
    ] * 2


def test_what_is_known_at_once_is_recorded_at_once(faulty: Callable[..., FaultyServer]) -> None:
    server = faulty(CREATED, CLOSED)
    handler = RunIndexCallbackHandler(server.target)

    with held_up(handler):
        GenericFakeChatModel(messages=iter(replies())).invoke("?", {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    (_, creation), (path, _) = server.calls
    assert pb.CreateRunRequest.FromString(creation).metadata["usage"]["total_tokens"] == 34
    assert path.endswith("/CloseRun")


def test_it_records_by_tls(faulty: Callable[..., FaultyServer], loop: LoopThread, tmp_path: Path) -> None:
    server = faulty(CREATED, CLOSED)
    proxy = TlsProxy(loop, server.target)
    handler = RunIndexCallbackHandler(
        proxy.target, token="secret", tls_ca=proxy.write_ca(tmp_path / "ca.pem")
    )

    RunnableLambda(len).invoke("four", {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    proxy.stop()
    assert [metadata["authorization"] for metadata in server.metadata] == ["Bearer secret"] * 2


def test_what_would_begin_too_late_is_left_out(
    faulty: Callable[..., FaultyServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_writer, "LATE_S", 0.05)
    server = faulty(AWAY, AWAY, CREATED, CLOSED)
    handler = RunIndexCallbackHandler(server.target)

    one_node(nothing).invoke(inputs(), {"callbacks": [handler]})
    assert handler.flush(FLUSH_S)
    monkeypatch.undo()
    RunnableLambda(len).invoke("four", {"callbacks": [handler]})
    assert handler.flush(FLUSH_S)

    names = [pb.CreateRunRequest.FromString(request).metadata["name"] for path, request in server.calls[:-1]]
    assert names[-1] == "len"
    assert set(names[:-1]) == {"graph"}
    assert server.calls[-1][0].endswith("/CloseRun")
    assert warnings(caplog, server.target)[-1] == "recording again: SERVER; 1 too late meanwhile"


def test_what_has_waited_too_long_does_not_begin(
    faulty: Callable[..., FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_writer, "LATE_S", -1)
    server = faulty(CREATED)
    handler = RunIndexCallbackHandler(server.target)

    one_node(nothing).invoke(inputs(), {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    assert server.calls == []


def test_each_reason_is_told_once(
    faulty: Callable[..., FaultyServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = faulty(refusal(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING"))
    handler = RunIndexCallbackHandler(server.target)

    for _ in range(5):
        one_node(nothing).invoke(inputs(), {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    assert len(server.calls) == 5  # What is under a run that is refused, and its end, are not tried.
    (message,) = warnings(caplog, server.target)
    assert message.startswith("not recorded: SERVER: ")
    assert "CREDENTIALS_MISSING" in message


@pytest.mark.parametrize("nowhere", ["absent"], indirect=True)
def test_what_waits_is_bounded(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_recorder, "QUEUE_BYTES_MAX", 200 * 1024)
    handler = RunIndexCallbackHandler(nowhere, content_bytes_max=128 * 1024)
    recorder = handler._recorder

    with held_up(handler):
        for _ in range(500):
            assert len(RunnableLambda(str).invoke("x" * 50_000, {"callbacks": [handler]})) == 50_000

        # Two runs and their ends; the content of the second end was too much.
        assert len(recorder._entries) == 4
        assert 150 * 1024 < recorder._waiting_bytes <= 200 * 1024
    assert warnings(caplog, nowhere).count("not recorded: SERVER is 0 MiB behind") == 1


def test_a_fault_of_the_recorder_is_not_its_end(
    handler: RunIndexCallbackHandler,
    server: RunningServer,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(_writer, "creation", None)
    RunnableLambda(len, name="first").invoke("four", {"callbacks": [handler]})
    assert handler.flush(FLUSH_S)
    monkeypatch.undo()

    RunnableLambda(len, name="second").invoke("four", {"callbacks": [handler]})

    assert shape(client, recorded(handler, client)) == "second COMPLETED"
    assert warnings(caplog, server.target) == ["not recorded: SERVER: a fault of the recorder"]


def test_an_idle_recorder_ends_its_thread_and_begins_again(
    handler: RunIndexCallbackHandler, server: RunningServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recorder, "IDLE_S", 0.01)
    for _ in range(2):
        RunnableLambda(len).invoke("four", {"callbacks": [handler]})
        assert handler.flush(FLUSH_S)
        end_of_thread(server.target)
        assert not handler._recorder._is_running

    assert len(roots(client)) == 2


def test_an_outage_is_forgotten_with_the_thread_that_met_it(
    faulty: Callable[..., FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recorder, "IDLE_S", 0.01)
    monkeypatch.setattr(_writer, "LATE_S", 0.05)
    server = faulty(AWAY)
    handler = RunIndexCallbackHandler(server.target)
    RunnableLambda(len).invoke("four", {"callbacks": [handler]})
    assert handler.flush(FLUSH_S)
    end_of_thread(server.target)
    monkeypatch.undo()
    server.answers[:] = [CREATED, CLOSED]

    RunnableLambda(len).invoke("four", {"callbacks": [handler]})

    assert handler._recorder.flush(FLUSH_S, patient=False)
    assert server.calls[-1][0].endswith("/CloseRun")


def end_of_thread(address: str) -> None:
    """Wait for the end of the thread that records at an address."""
    for thread in threading.enumerate():
        if thread.name == f"runindex-recorder {address}":
            thread.join(WAIT_S)
            assert not thread.is_alive()


def test_no_thread_to_be_had(
    handler: RunIndexCallbackHandler, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert RunnableLambda(len, name="first").invoke("four", {"callbacks": [handler]}) == 4
        assert not handler.flush(FLUSH_S)
    assert handler.flush(FLUSH_S)
    RunnableLambda(len, name="second").invoke("four", {"callbacks": [handler]})

    assert handler.flush(FLUSH_S)
    assert {shape(client, root) for root in roots(client)} == {"first COMPLETED", "second COMPLETED"}


@pytest.mark.parametrize("content_bytes_max", [-1, 131_073])
def test_a_bound_out_of_its_range_is_refused(content_bytes_max: int) -> None:
    with pytest.raises(ValueError, match="content_bytes_max"):
        RunIndexCallbackHandler(content_bytes_max=content_bytes_max)
