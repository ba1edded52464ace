"""Where and how a client connects: its arguments, or else the environment."""

import os
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
        ValueError: `timeout_s` is not more than zero, or `retries` is negative.
    """
    if not timeout_s > 0:
        msg = f"timeout_s is {timeout_s}; it must be more than zero"
        raise ValueError(msg)
    policy = RetryPolicy(retries=retries) if isinstance(retries, int) else retries
    if policy.retries < 0:
        msg = f"retries is {policy.retries}; it must not be negative"
        raise ValueError(msg)
    tls_file = tls_ca if tls_ca is not None else os.environ.get("RUNINDEX_TLS_CA", "")
    return Options(
        address=(address if address is not None else os.environ.get("RUNINDEX_ADDRESS", "")) or ADDRESS,
        token=token if token is not None else os.environ.get("RUNINDEX_TOKEN", ""),
        tls_ca=Path(tls_file).read_bytes() if tls_file else None,
        timeout_s=timeout_s,
        policy=policy,
    )
