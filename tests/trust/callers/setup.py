"""What a server under attack is started with: plainly, with TLS, with tokens, or on a slow disk."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from unittest import mock

import trustme

from runindex_server.access.caller import Role
from runindex_server.access.token_file import add_token
from runindex_server.access.tokens import new_token

CALLS_PER_S: Final = 500
FORGETFUL: Final = Path(__file__).parents[1] / "histories" / "faulty"
SLOW: Final = Path(__file__).parent / "faulty"
"""Folders that plant a fault into every process of Python that has one on its path."""


@dataclass(frozen=True)
class Prepared:
    """How a server is started, and what its callers show.

    Attributes:
        arguments: Of the server.
        tokens: By the callers' names.
        authority: Who signed its certificate, in PEM; None for a server in the clear.
        environment: Of its process, beside ours.
    """

    arguments: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)
    authority: bytes | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what an honest caller sends with each call."""
        token = self.tokens.get("good")
        return (("authorization", f"Bearer {token}"),) if token else ()

    @contextmanager
    def in_environment(self) -> Iterator[None]:
        """Let processes that are started in the block have the environment."""
        with mock.patch.dict(os.environ, self.environment):
            yield


def plain(_: Path) -> Prepared:
    """Start it plainly."""
    return Prepared()


def with_two_workers(_: Path) -> Prepared:
    """Let two processes serve."""
    return Prepared(("--workers", "2"))


def with_tls(folder: Path) -> Prepared:
    """Let it speak TLS."""
    authority, cert, key = trustme.CA(), folder / "cert.pem", folder / "key.pem"
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    return Prepared(("--tls-cert", str(cert), "--tls-key", str(key)), authority=authority.cert_pem.bytes())


def with_rates(folder: Path) -> Prepared:
    """Let it count the calls of each caller."""
    path, tokens = folder / "tokens.json", {}
    for name in ("good", "flooder"):
        token, text = new_token(name, Role.ADMIN, now=datetime.now(UTC), expire_time=None)
        add_token(path, token)
        tokens[name] = text
    return Prepared(("--tokens-file", str(path), "--calls-per-s", str(CALLS_PER_S)), tokens)


def forgetful(_: Path) -> Prepared:
    """Let it forget request ids: what the harness must find."""
    return planted(FORGETFUL, "forget requests")


def on_a_slow_disk(_: Path) -> Prepared:
    """Let each commit take long."""
    return planted(SLOW, "slow commits")


def planted(folder: Path, fault: str) -> Prepared:
    """Plant a fault into every process of the server."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return Prepared(environment={"PYTHONPATH": path, "RUNINDEX_PLANTED_FAULT": fault})
