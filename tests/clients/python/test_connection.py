"""How the clients reach a server: by TLS, with a token, and to where a token is sent."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import runindex
from runindex._options import is_local
from runindex.v1 import run_index_pb2 as pb
from tests.clients.python.faulty import FaultyServer
from tests.support.server import LoopThread
from tests.support.tls_proxy import TlsProxy

MADE = pb.CreateRunResponse(run=pb.Run(run_id="made"))

Connect = Callable[..., Any]
Faulty = Callable[..., FaultyServer]


@pytest.fixture
def plain(faulty: Faulty) -> FaultyServer:
    """Return a server without TLS."""
    return faulty(MADE)


@pytest.fixture
def proxy(loop: LoopThread, plain: FaultyServer) -> Iterator[TlsProxy]:
    """Return what speaks TLS for that server."""
    proxy = TlsProxy(loop, plain.target)
    yield proxy
    proxy.stop()


@pytest.fixture
def authority(proxy: TlsProxy, tmp_path: Path) -> Path:
    """Return a file of the certificate to trust."""
    return proxy.write_ca(tmp_path / "ca.pem")


def authorizations(server: FaultyServer) -> list[str | None]:
    return [call.get("authorization") for call in server.metadata]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_token_reaches_the_server_by_tls(
    connect: Connect, plain: FaultyServer, proxy: TlsProxy, authority: Path, kind: type
) -> None:
    client = connect(proxy.target, tls_ca=kind(authority), token="secret")

    assert client.create().run_id == "made"
    assert authorizations(plain) == ["Bearer secret"]


def test_tls_comes_from_the_environment(
    connect: Connect,
    plain: FaultyServer,
    proxy: TlsProxy,
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNINDEX_ADDRESS", proxy.target)
    monkeypatch.setenv("RUNINDEX_TLS_CA", str(authority))
    monkeypatch.setenv("RUNINDEX_TOKEN", "secret")

    connect(None).create()
    connect(plain.target, tls_ca="", token="").create()

    assert authorizations(plain) == ["Bearer secret", None]


def test_a_certificate_that_is_not_trusted_is_refused(
    connect: Connect, plain: FaultyServer, proxy: TlsProxy, tmp_path: Path
) -> None:
    others = tmp_path / "others.pem"
    trustme.CA().cert_pem.write_to_path(others)

    with pytest.raises(runindex.Unavailable) as caught:
        connect(proxy.target, tls_ca=others, token="secret", retries=0).create()

    cause = "tls_ca (RUNINDEX_TLS_CA) does not vouch for the server's certificate (failed to connect"
    assert caught.value.message.startswith(cause)
    assert plain.calls == []


def test_a_certificate_for_another_name_is_refused(
    connect: Connect, plain: FaultyServer, proxy: TlsProxy, authority: Path
) -> None:
    unnamed = proxy.target.replace("localhost", "127.0.0.1")

    with pytest.raises(runindex.Unavailable) as caught:
        connect(unnamed, tls_ca=authority, token="secret", retries=0).create()

    cause = "the server's certificate is for another name than the address has (failed to connect"
    assert caught.value.message.startswith(cause)
    assert plain.calls == []


def test_a_server_without_tls_gets_no_token_that_was_meant_for_tls(
    connect: Connect, plain: FaultyServer, authority: Path
) -> None:
    with pytest.raises(runindex.Unavailable) as caught:
        connect(plain.target, tls_ca=authority, token="secret", retries=0).create()

    assert caught.value.message.startswith(
        "the server speaks no TLS, which tls_ca (RUNINDEX_TLS_CA) asks for"
    )
    assert plain.calls == []


def test_certificates_that_cannot_be_read(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    (tmp_path / "wrong.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")

    with pytest.raises(FileNotFoundError):
        connect("localhost:1", tls_ca=tmp_path / "missing.pem")
    for name in ("empty.pem", "wrong.pem"):
        with pytest.raises(ValueError, match=rf"{name} holds no certificate in PEM$"):
            connect("localhost:1", tls_ca=tmp_path / name)


def test_certificates_may_have_comments(
    connect: Connect, proxy: TlsProxy, authority: Path, tmp_path: Path
) -> None:
    commented = tmp_path / "commented.pem"
    commented.write_bytes("# Főtanúsítvány\n".encode() + authority.read_bytes())

    assert connect(proxy.target, tls_ca=commented).create().run_id == "made"


def test_a_token_is_sent_only_over_tls_or_to_loopback(
    connect: Connect, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "^a token is sent only over TLS, or to loopback: set tls_ca or RUNINDEX_TLS_CA to reach runs:50051$"
    )
    with pytest.raises(ValueError, match=said):
        connect("runs:50051", token="secret")
    monkeypatch.setenv("RUNINDEX_TOKEN", "secret")
    with pytest.raises(ValueError, match=said):
        connect("runs:50051")

    connect("runs:50051", tls_ca=authority)
    connect("runs:50051", token="")
    connect("localhost:50051")


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "LocalHost:50051",
        "127.0.0.1",
        "127.8.0.1:50051",
        "::1",
        "[::1]:50051",
        "dns:localhost:50051",
        "dns:///localhost:50051",
        "ipv4:127.0.0.1:50051,127.0.0.2:50051",
        "ipv6:[::1]:50051",
        "unix:/run/runindex.sock",
        "unix:///run/runindex.sock",
        "unix-abstract:runindex",
    ],
)
def test_addresses_of_this_machine(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "runs:50051",
        "10.0.0.1:50051",
        "0.0.0.0:50051",
        "localhost.example.org:50051",
        "127.0.0.1.example.org:50051",
        "[::2]:50051",
        "dns://127.0.0.1/localhost:50051",
        "dns:///runs:50051",
        "ipv4:127.0.0.1:50051,10.0.0.1:50051",
        "xds:///localhost:50051",
        "vsock:1:50051",
        "http://localhost:50051",
    ],
)
def test_addresses_of_others(address: str) -> None:
    assert not is_local(address)


def test_what_stays_on_this_machine_goes_through_no_proxy(
    connect: Connect, plain: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{elsewhere.getsockname()[1]}")
        for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)

        assert connect(plain.target, token="secret", timeout_s=10).create().run_id == "made"

        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):  # Nobody came.
            elsewhere.accept()
