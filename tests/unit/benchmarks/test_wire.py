"""The load generator's connection: against a real server, and against one that does what none should."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks import wire
from benchmarks.wire import CallRefused, Connection, WireError, frame
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from tests.support import calls
from tests.unit.benchmarks.conftest import Connect

SERVICE = "/runindex.v1.RunIndex/"
PAGE = 100


def answers_of(connection: Connection, count: int) -> dict[int, bytes]:
    """Return so many answers, by their streams."""
    answers: dict[int, bytes] = {}
    connection.flush()
    while len(answers) < count:
        answers.update(connection.receive())
        connection.flush()
    return answers


def test_a_call_is_answered(connect: Connect) -> None:
    connection = connect()
    stream = connection.call(f"{SERVICE}GetRun", pb.GetRunRequest(run_id="default").SerializeToString())

    answer = pb.GetRunResponse.FromString(answers_of(connection, 1)[stream])

    assert answer.run.run_id == "default"


def test_each_of_many_calls_gets_its_own_answer(connect: Connect, stub: pb_grpc.RunIndexStub) -> None:
    run_ids = [stub.CreateRun(pb.CreateRunRequest()).run.run_id for _ in range(40)]
    connection = connect()

    requests = {
        connection.call(f"{SERVICE}GetRun", pb.GetRunRequest(run_id=run_id).SerializeToString()): run_id
        for run_id in run_ids
    }
    answers = answers_of(connection, len(requests))

    found = {stream: pb.GetRunResponse.FromString(answer).run.run_id for stream, answer in answers.items()}
    assert found == requests


def test_one_connection_calls_several_methods(connect: Connect) -> None:
    connection = connect()
    for _ in range(3):
        count = connection.call(f"{SERVICE}CountRuns", b"")
        listing = connection.call(f"{SERVICE}ListRuns", b"")
        answers = answers_of(connection, 2)

        assert pb.CountRunsResponse.FromString(answers[count]).count == 1
        assert len(pb.ListRunsResponse.FromString(answers[listing]).runs) == 1


def test_another_status_than_ok_is_told(connect: Connect) -> None:
    connection = connect()
    connection.call(f"{SERVICE}GetRun", pb.GetRunRequest(run_id="none").SerializeToString())

    with pytest.raises(CallRefused) as refused:
        answers_of(connection, 1)

    assert refused.value.status == 3
    assert "none" in refused.value.message


def test_an_unknown_method_is_told(connect: Connect) -> None:
    connection = connect()
    connection.call(f"{SERVICE}DropRun", b"")

    with pytest.raises(CallRefused) as refused:
        answers_of(connection, 1)

    assert refused.value.status == 12


@pytest.mark.parametrize("window_bytes", [wire.WINDOW_BYTES_DEFAULT, wire.WINDOW_BYTES_MAX])
def test_large_answers_pass_through_the_window(
    connect: Connect, stub: pb_grpc.RunIndexStub, window_bytes: int
) -> None:
    metadata = calls.struct({"text": "x" * 300})
    for _ in range(PAGE):
        stub.CreateRun(pb.CreateRunRequest(metadata=metadata))
    connection = connect(window_bytes=window_bytes)

    streams = {connection.call(f"{SERVICE}ListRuns", b"") for _ in range(16)}
    answers = answers_of(connection, len(streams))

    assert answers.keys() == streams
    assert sum(map(len, answers.values())) > 8 * wire.WINDOW_BYTES_DEFAULT
    assert {len(pb.ListRunsResponse.FromString(answer).runs) for answer in answers.values()} == {PAGE}


def test_requests_wait_for_the_servers_window(connect: Connect) -> None:
    connection = connect()
    request = pb.CreateRunRequest(metadata=calls.struct({"text": "x" * 12_000})).SerializeToString()

    streams = {connection.call(f"{SERVICE}CreateRun", request) for _ in range(40)}
    held = len(streams) * len(request) > wire.WINDOW_BYTES_DEFAULT
    answers = answers_of(connection, len(streams))

    assert held
    assert answers.keys() == streams


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """Return a connection, with a call under way on stream 1, and the server's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with closing(Connection(host, port)) as connection:
            peer, _ = listener.accept()
            connection.call(f"{SERVICE}GetRun", b"")
            with peer:
                yield connection, peer


def test_a_token_is_sent_with_each_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with closing(Connection(host, port, token="s3cret")) as connection:
            peer, _ = listener.accept()
            for method in ("GetRun", "GetRun", "GetRun", "ListRuns"):
                connection.call(f"{SERVICE}{method}", b"")
            connection.flush()
        with peer:
            sent = b"".join(iter(lambda: peer.recv(10_000), b""))

    assert sent.count(b"\x0dauthorization\x0dBearer s3cret") == 4


BEGIN = frame(wire.HEADERS, wire.END_HEADERS, 1, b"\x88")
OK = frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, b"\x00\x0bgrpc-status\x010")
MESSAGE = frame(wire.DATA, 0, 1, b"\x00\x00\x00\x00\x05hello")


def test_an_answer_may_come_in_pieces(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    answers = []
    for byte in BEGIN + MESSAGE + OK:
        peer.sendall(bytes([byte]))
        answers += connection.receive()

    assert answers == [(1, b"hello")]


def test_a_ping_is_answered(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(frame(wire.PING, 0, 0, b"12345678"))
    connection.receive()
    connection.flush()

    assert peer.recv(10_000).endswith(frame(wire.PING, wire.ACK, 0, b"12345678"))


@pytest.mark.parametrize(
    "sent",
    [
        frame(wire.GOAWAY, 0, 0, bytes(8)),
        frame(wire.RST_STREAM, 0, 1, bytes(4)),
        frame(9, wire.END_HEADERS, 1, b""),  # A continuation.
        frame(77, 0, 0, b""),
        frame(wire.HEADERS, 0, 1, b"\x88"),  # Not all of the headers.
        frame(wire.HEADERS, wire.END_HEADERS, 3, b"\x88"),  # Nobody asked.
        frame(wire.HEADERS, wire.END_HEADERS, 1, b"\x8d"),  # 404.
        frame(wire.DATA, 8, 1, b"\x00"),  # Padded.
        BEGIN + frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, b"\x88"),  # No status.
        BEGIN + OK,  # No message.
        BEGIN + MESSAGE + MESSAGE + OK,
        BEGIN + frame(wire.DATA, 0, 1, b"\x01\x00\x00\x00\x05hello") + OK,  # Compressed.
    ],
)
def test_what_is_not_understood_ends_the_measurement(
    pair: tuple[Connection, socket.socket], sent: bytes
) -> None:
    connection, peer = pair
    peer.sendall(sent)

    with pytest.raises(WireError):
        connection.receive()


def test_a_connection_that_closes_ends_the_measurement(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    connection.flush()
    peer.shutdown(socket.SHUT_RDWR)

    with pytest.raises(WireError):
        connection.receive()
