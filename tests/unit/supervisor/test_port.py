"""The port of several processes: nobody else has it, and workers share it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runindex_server.rpc.address import AddressInUse, InvalidAddress, split_address
from runindex_server.supervisor.port import OwnedPort


@contextmanager
def owned(address: str) -> Iterator[OwnedPort]:
    port = OwnedPort.take(address)
    try:
        yield port
    finally:
        port.close()


@contextmanager
def listening(address: str, *, shares: bool) -> Iterator[socket.socket]:
    """Listen as a gRPC server does: alone on the port, or with others."""
    host, port = split_address(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
        listener.bind((host, port))
        listener.listen()
        yield listener


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "0.0.0.0"])
def test_a_free_port_is_taken_and_told(host: str) -> None:
    with owned(f"{host}:0") as port:
        assert port.address.startswith(f"{host}:")
        assert split_address(port.address)[1] > 0


def test_nobody_else_takes_it() -> None:
    with owned("127.0.0.1:0") as port:
        with pytest.raises(AddressInUse, match=f"cannot listen on {port.address}: is another"):
            OwnedPort.take(port.address)
        with pytest.raises(OSError, match="in use"), listening(port.address, shares=False):
            pytest.fail("it listens")


def test_workers_share_it() -> None:
    with (
        owned("127.0.0.1:0") as port,
        listening(port.address, shares=True),
        listening(port.address, shares=True),
        pytest.raises(AddressInUse),
    ):
        OwnedPort.take(port.address)


@pytest.mark.parametrize("shares", [False, True])
def test_what_another_server_listens_on_is_refused(*, shares: bool) -> None:
    with listening("127.0.0.1:0", shares=shares) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AddressInUse):
            OwnedPort.take(address)
        with pytest.raises(AddressInUse):
            OwnedPort.take(f"0.0.0.0:{other.getsockname()[1]}")


def test_every_address_of_a_name_is_taken() -> None:
    with owned("localhost:0") as port:
        for host in ("127.0.0.1", "[::1]"):
            with pytest.raises(AddressInUse):
                OwnedPort.take(f"{host}:{split_address(port.address)[1]}")


def test_it_can_be_taken_again_although_connections_are_remembered() -> None:
    with owned("127.0.0.1:0") as port, listening(port.address, shares=True) as worker:
        address = port.address
        with socket.create_connection(split_address(address)) as client:
            connection, _ = worker.accept()
            # Who closes first keeps the memory of it.
            connection.close()
            assert client.recv(1) == b""
    with owned(address) as again:
        assert again.address == address


@pytest.mark.parametrize("address", ["nowhere.invalid:0", "192.0.2.1:0"])
def test_where_nobody_can_listen_is_refused(address: str) -> None:
    with pytest.raises(AddressInUse):
        OwnedPort.take(address)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidAddress):
        OwnedPort.take("50051")
