"""How commands reach a server, and as whom: what the environment says, as for clients."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from runindex_server.rpc.address import InvalidAddress, is_loopback

TLS_CA: Final = "RUNINDEX_TLS_CA"
"""Names a file of certificates of authorities to trust. With it commands speak TLS."""

CLIENT_CERT: Final = "RUNINDEX_CLIENT_CERT"
CLIENT_KEY: Final = "RUNINDEX_CLIENT_KEY"
"""Name files of a certificate and its key, for servers that ask callers for one."""

TOKEN: Final = "RUNINDEX_TOKEN"  # noqa: S105  # The name of a variable.
"""A token, for servers that ask for one. Never an argument, which others on the machine could read."""


class ChannelRefused(Exception):
    """What the environment says cannot be used: the sentence says why."""


def open_channel(address: str, *, options: Sequence[tuple[str, int]] = ()) -> grpc.Channel:
    """Return a channel to the server at an address.

    Raises:
        ChannelRefused: A file cannot be read, or a token would go over the network in the clear.
    """
    token = os.environ.get(TOKEN)
    if os.environ.get(TLS_CA):
        credentials = grpc.ssl_channel_credentials(_file(TLS_CA), _file(CLIENT_KEY), _file(CLIENT_CERT))
        channel = grpc.secure_channel(address, credentials, options=options)
    elif token and not _stays_here(address):
        msg = f"A token is sent only over TLS, or to loopback: set {TLS_CA}."
        raise ChannelRefused(msg)
    else:
        channel = grpc.insecure_channel(address, options=options)
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]  # The stubs make up parameters.
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Sends a token with each call."""

    def __init__(self, token: str) -> None:
        self._metadata = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        return continuation(self._with_token(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        return continuation(self._with_token(details), request)

    def _with_token(self, details: Any) -> Any:  # noqa: ANN401  # What gRPC passes is of no public type.
        return details._replace(metadata=[*(details.metadata or ()), self._metadata])


def _stays_here(address: str) -> bool:
    try:
        return is_loopback(address)
    except InvalidAddress:
        return False


def _file(variable: str) -> bytes | None:
    """Return what is in the file that a variable names; None when it names none.

    Raises:
        ChannelRefused: It cannot be read.
    """
    path = os.environ.get(variable)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"{variable}: {path} cannot be read: {error.strerror}."
        raise ChannelRefused(msg) from error
