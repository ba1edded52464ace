"""Fixtures: a server in memory that asks who calls, tokens of each role, and certificates."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from runindex_server.access.caller import Role
from runindex_server.access.token_file import LiveTokens, add_token
from runindex_server.access.tokens import Token, new_token
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.tls import TlsFiles
from runindex_server.runs.bootstrap import initialise
from tests.support.clock import ManualClock
from tests.support.server import LoopThread, RunningServer

Start = Callable[..., RunningServer]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(loop: LoopThread, clock: ManualClock) -> Iterator[Start]:
    """Return what starts a server with options; all are stopped after the test."""
    with ExitStack() as stack:

        def start_one(**options: Any) -> RunningServer:
            async def open_store() -> MemoryStore:
                return MemoryStore(clock=clock, initialise=initialise)

            server = RunningServer(loop, open_store, clock=clock, **options)
            stack.callback(server.stop)
            return server

        yield start_one


class TokenMaker:
    """Makes tokens in a file."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.path = path
        self._clock = clock

    def __call__(
        self, role: Role = Role.ADMIN, *, name: str = "", expires_in: timedelta | None = None
    ) -> tuple[Token, str]:
        """Return a new token, and its text."""
        now = datetime.fromtimestamp(self._clock.now_us() // 1_000_000, UTC)
        expire_time = None if expires_in is None else now + expires_in
        token, text = new_token(name or f"the {role}", role, now=now, expire_time=expire_time)
        add_token(self.path, token)
        return token, text


@pytest.fixture
def tokens(tmp_path: Path, clock: ManualClock) -> TokenMaker:
    return TokenMaker(tmp_path / "tokens.json", clock)


@pytest.fixture
def asking(start: Start, tokens: TokenMaker, clock: ManualClock) -> RunningServer:
    """Return a server that asks for tokens."""
    return start(admission=Admission(tokens=LiveTokens(tokens.path, clock)))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def client_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_files(tmp_path: Path, authority: trustme.CA) -> TlsFiles:
    """Return the certificate of a server on loopback."""
    files = TlsFiles(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    write_certificate(files, authority)
    return files


def write_certificate(files: TlsFiles, authority: trustme.CA) -> None:
    """Write a new certificate of a server on loopback."""
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    files.key.write_bytes(certificate.private_key_pem.bytes())
    files.cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))


def trusting(authority: trustme.CA, *, showing: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    """Return credentials of a client that trusts an authority, and may show a certificate."""
    root = authority.cert_pem.bytes()
    if showing is None:
        return grpc.ssl_channel_credentials(root)
    chain = b"".join(blob.bytes() for blob in showing.cert_chain_pems)
    return grpc.ssl_channel_credentials(root, showing.private_key_pem.bytes(), chain)
