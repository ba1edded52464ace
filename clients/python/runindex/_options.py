"""Where and how a client connects: its arguments, or else the environment."""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from runindex._retry import RetryPolicy

ADDRESS: Final = "127.0.0.1:50051"
"""Where a server listens unless it is told otherwise."""

TIMEOUT_S: Final = 30.0

RESPONSE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Twice what a server sends at most, so that a page never fails by its size."""

CHANNEL_OPTIONS: Final[Sequence[tuple[str, int]]] = (
    # Retries are made here, where the request id is known; nobody else makes them too.
    ("grpc.enable_retries", 0),
    # A server that is started again is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Only under a call that lasts, and never so often that a server takes it for abuse.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a client connects and calls.

    Attributes:
        address: Where the server listens, as gRPC names it.
        token: Sent with each call; empty for none.
        tls_ca: The certificates to trust, in PEM; None for a connection without TLS.
        timeout_s: How long a call may take with its retries, in seconds.
        policy: How calls are made again.
    """

    address: str
    token: str = field(repr=False)
    tls_ca: bytes | None = field(repr=False)
    timeout_s: float
    policy: RetryPolicy

    def channel_options(self) -> Sequence[tuple[str, int]]:
        """Return the options of a connection; one that stays on this machine goes through no HTTP proxy."""
        if not is_local(self.address):
            return CHANNEL_OPTIONS
        return (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0))

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return what to secure a connection with; None for one without TLS."""
        return None if self.tls_ca is None else grpc.ssl_channel_credentials(self.tls_ca)

    def call_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what is sent with each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def options_of(
    address: str | None,
    *,
    token: str | None,
    tls_ca: str | Path | None,
    timeout_s: float,
    retries: int | RetryPolicy,
) -> Options:
    """Return the options that arguments and the environment make; an argument comes first.

    Raises:
        OSError: The file of certificates cannot be read.
        ValueError: `timeout_s` is not more than zero, or `retries` is negative; the file holds no
            certificate; or there is a token for another machine, and no TLS.
    """
    if not timeout_s > 0:
        msg = f"timeout_s is {timeout_s}; it must be more than zero"
        raise ValueError(msg)
    policy = RetryPolicy(retries=retries) if isinstance(retries, int) else retries
    if policy.retries < 0:
        msg = f"retries is {policy.retries}; it must not be negative"
        raise ValueError(msg)
    tls_file = tls_ca if tls_ca is not None else os.environ.get("RUNINDEX_TLS_CA", "")
    options = Options(
        address=(address if address is not None else os.environ.get("RUNINDEX_ADDRESS", "")) or ADDRESS,
        token=token if token is not None else os.environ.get("RUNINDEX_TOKEN", ""),
        tls_ca=_certificates_in(Path(tls_file)) if tls_file else None,
        timeout_s=timeout_s,
        policy=policy,
    )
    if options.token and options.tls_ca is None and not is_local(options.address):
        msg = (
            "a token is sent only over TLS, or to loopback: "
            f"set tls_ca or RUNINDEX_TLS_CA to reach {options.address}"
        )
        raise ValueError(msg)
    return options


def is_local(address: str) -> bool:
    """Tell whether what is sent to an address stays on this machine; False where that is not certain.

    Args:
        address: As gRPC names it: `host:port`, `ipv6:[::1]:50051`, `unix:/run/runindex.sock`.
    """
    scheme, colon, rest = address.partition(":")
    if colon and scheme in {"unix", "unix-abstract"}:
        return True
    if colon and scheme in {"dns", "ipv4", "ipv6"}:
        # Several addresses are joined by commas; an authority, as in dns://8.8.8.8/localhost, is asked who
        # localhost is, and stays in front of the name.
        return all(_is_loopback(_host_of(one.removeprefix("///"))) for one in rest.split(","))
    return _is_loopback(_host_of(address))


def _host_of(target: str) -> str:
    """Return the host in `host:port`, `[host]:port`, or a host alone."""
    if target.startswith("["):
        return target[1:].partition("]")[0]
    return target if target.count(":") > 1 else target.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _certificates_in(file: Path) -> bytes:
    """Return what a file of certificates holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds no certificate, with which every connection would fail.
    """
    pem = file.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as fault:
        msg = f"{file} holds no certificate in PEM"
        raise ValueError(msg) from fault
    return pem
