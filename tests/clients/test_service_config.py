"""The service config for any gRPC client: it says what the contract says, and a plain channel follows it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions

from runindex._options import TIMEOUT_S
from runindex._retry import RetryPolicy
from runindex.v1 import maintenance_pb2, run_index_pb2
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from scripts import contract
from tests.clients.python.faulty import FaultyServer, faulty_servers
from tests.support.repository import ROOT

TEXT: Final = (ROOT / "clients/service_config.json").read_text()
CONFIG: Final[dict[str, Any]] = json.loads(TEXT)
METHODS: Final = {
    (f"{file.package}.{service.name}", method.name): method
    for file in contract.files()
    for service in file.service
    for method in service.method
}
UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE

every_method = pytest.mark.parametrize(("service", "method"), METHODS)


def names(config: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield the services and methods that an entry of the config is for; None for all other methods."""
    return ((name["service"], name.get("method")) for name in config["name"])


def effective(service: str, method: str) -> dict[str, Any]:
    """Return what the config says of a method: what names it, else what names its service, else nothing."""
    by_name = {name: config for config in CONFIG["methodConfig"] for name in names(config)}
    found = by_name.get((service, method)) or by_name.get((service, None)) or {}
    return {key: value for key, value in found.items() if key != "name"}


def seconds(text: str) -> timedelta:
    return timedelta(seconds=float(text.removesuffix("s")))


@every_method
def test_only_what_has_no_side_effects_is_made_again(service: str, method: str) -> None:
    level = METHODS[service, method].options.idempotency_level

    assert ("retryPolicy" in effective(service, method)) is (level == MethodOptions.NO_SIDE_EFFECTS)


@every_method
def test_all_calls_but_streams_have_a_time_and_wait_for_a_server(service: str, method: str) -> None:
    told = effective(service, method)
    of_time = {key: value for key, value in told.items() if key != "retryPolicy"}

    if METHODS[service, method].server_streaming:
        assert of_time == {}
    else:
        assert of_time == {"waitForReady": True, "timeout": f"{TIMEOUT_S:.0f}s"}


def test_nothing_is_named_twice_or_does_not_exist() -> None:
    named = [name for config in CONFIG["methodConfig"] for name in names(config)]

    assert len(set(named)) == len(named)
    assert {name for name in named if name[1]} <= METHODS.keys()
    assert {service for service, method in named if not method} <= {service for service, _ in METHODS}


def test_calls_are_made_again_as_by_the_clients_here() -> None:
    policies = [config["retryPolicy"] for config in CONFIG["methodConfig"] if "retryPolicy" in config]
    ours = RetryPolicy()

    assert len(policies) == 2
    for policy in policies:
        assert policy == {
            "maxAttempts": ours.retries + 1,
            "initialBackoff": f"{ours.pause_s}s",
            "maxBackoff": f"{ours.pause_max_s:.0f}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Return what starts servers that answer as they are told; they are stopped after the test."""
    with faulty_servers() as start:
        yield start


@pytest.fixture
def dial() -> Iterator[Callable[..., grpc.Channel]]:
    """Return what opens plain channels with the config; they are closed after the test."""
    channels = []

    def dial_one(target: str, text: str = TEXT) -> grpc.Channel:
        options = [("grpc.service_config", text), ("grpc.initial_reconnect_backoff_ms", 100)]
        channels.append(grpc.insecure_channel(target, options=options))
        return channels[-1]

    yield dial_one
    for channel in channels:
        channel.close()


Faulty = Callable[..., FaultyServer]
Dial = Callable[..., grpc.Channel]

EXISTS: Final = run_index_pb2.RunExistsResponse(exists=True)


def test_a_read_is_made_again(faulty: Faulty, dial: Dial) -> None:
    server = faulty(UNAVAILABLE, UNAVAILABLE, EXISTS)

    assert RunIndexStub(dial(server.target)).RunExists(run_index_pb2.RunExistsRequest()).exists

    assert len(server.calls) == 3
    assert [call.get("grpc-previous-rpc-attempts") for call in server.metadata] == [None, "1", "2"]


def test_a_call_ends_when_its_time_is_up(faulty: Faulty, dial: Dial) -> None:
    may_go_on = threading.Event()

    def wait() -> run_index_pb2.RunExistsResponse:
        may_go_on.wait(30)
        return EXISTS

    server = faulty(wait)
    channel = dial(server.target, TEXT.replace('"30s"', '"0.2s"'))

    with pytest.raises(grpc.RpcError) as caught:
        RunIndexStub(channel).RunExists(run_index_pb2.RunExistsRequest())

    may_go_on.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_read_is_made_five_times_at_most(faulty: Faulty, dial: Dial) -> None:
    server = faulty(UNAVAILABLE)

    with pytest.raises(grpc.RpcError) as caught:
        RunIndexStub(dial(server.target)).RunExists(run_index_pb2.RunExistsRequest())

    assert caught.value.code() is UNAVAILABLE
    assert len(server.calls) == 5


@pytest.mark.parametrize("code", [grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL])
def test_a_read_that_was_refused_is_not_made_again(faulty: Faulty, dial: Dial, code: grpc.StatusCode) -> None:
    server = faulty(code, EXISTS)

    with pytest.raises(grpc.RpcError) as caught:
        RunIndexStub(dial(server.target)).RunExists(run_index_pb2.RunExistsRequest())

    assert caught.value.code() is code
    assert len(server.calls) == 1


def test_a_mutation_is_not_made_again(faulty: Faulty, dial: Dial) -> None:
    server = faulty(UNAVAILABLE, run_index_pb2.CreateRunResponse())

    with pytest.raises(grpc.RpcError) as caught:
        RunIndexStub(dial(server.target)).CreateRun(run_index_pb2.CreateRunRequest())

    assert caught.value.code() is UNAVAILABLE
    assert len(server.calls) == 1


def test_a_stream_is_made_again_while_nothing_has_come(faulty: Faulty, dial: Dial) -> None:
    summary = maintenance_pb2.VerifyResponse(summary={"runs": 7})
    server = faulty([UNAVAILABLE], [summary], [summary, UNAVAILABLE])
    stub = MaintenanceStub(dial(server.target))

    assert list(stub.Verify(maintenance_pb2.VerifyRequest())) == [summary]
    with pytest.raises(grpc.RpcError):
        list(stub.Verify(maintenance_pb2.VerifyRequest()))

    assert len(server.calls) == 3


def test_a_call_waits_for_a_server_that_starts_later(faulty: Faulty, dial: Dial) -> None:
    has_failed = threading.Event()

    def look(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            has_failed.set()

    with socket.socket() as held:  # Nobody else gets the port meanwhile, and nobody listens on it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        channel = dial(f"127.0.0.1:{port}")
        channel.subscribe(look)
        answer = RunIndexStub(channel).CreateRun.future(run_index_pb2.CreateRunRequest())
        assert has_failed.wait(30)
        server = faulty(run_index_pb2.CreateRunResponse(revision=7), port=port)

        assert answer.result(30).revision == 7
    assert len(server.calls) == 1


def test_who_fails_again_and_again_is_held_back(faulty: Faulty, dial: Dial) -> None:
    server = faulty(UNAVAILABLE)
    stub = RunIndexStub(dial(server.target, TEXT.replace('"0.1s"', '"0.01s"')))

    for _ in range(10):
        with pytest.raises(grpc.RpcError):
            stub.RunExists(run_index_pb2.RunExistsRequest())
    before = len(server.calls)
    with pytest.raises(grpc.RpcError):
        stub.RunExists(run_index_pb2.RunExistsRequest())

    assert before == 50
    assert len(server.calls) == 51
