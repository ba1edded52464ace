"""Calls of a running server: how commands reach it, and how its refusals are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import grpc

from runindex.v1.insights_pb2_grpc import RunInsightsStub
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server.cli.channel import ChannelRefused, open_channel
from runindex_server.cli.exits import EXIT_REFUSED, exit_with
from runindex_server.rpc.status import DETAILS_KEY

_OPTIONS: Final = (
    # A call may be silent for long; whether the server is still there is found out all the same.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@contextmanager
def maintenance(address: str, *, exit_code: int = EXIT_REFUSED) -> Iterator[MaintenanceStub]:
    """Return a stub of the server at an address; a call that fails ends the command.

    Args:
        address: Where the server listens.
        exit_code: How the command ends then.
    """
    with _channel(address, exit_code) as channel:
        yield MaintenanceStub(channel)


@contextmanager
def insights(address: str) -> Iterator[RunInsightsStub]:
    """Return a stub of the server at an address; a call that fails ends the command."""
    with _channel(address, EXIT_REFUSED) as channel:
        yield RunInsightsStub(channel)


@contextmanager
def _channel(address: str, exit_code: int) -> Iterator[grpc.Channel]:
    """Return a channel to the server at an address; a call that fails ends the command."""
    try:
        with open_channel(address, options=_OPTIONS) as channel:
            yield channel
    except ChannelRefused as error:
        exit_with(str(error), exit_code)
    except grpc.RpcError as error:
        exit_with(_sentence(cast("grpc.Call", error), address), exit_code)


def _sentence(call: grpc.Call, address: str) -> str:
    """Return why a call failed, as one sentence for a person."""
    is_refusal = any(key == DETAILS_KEY for key, _ in call.trailing_metadata() or ())
    if is_refusal:
        return str(call.details())
    match call.code():
        case grpc.StatusCode.UNAVAILABLE:
            return f"No answer from {address}: is a server running there?"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"The server at {address} does not know this; it is older than this command."
        case code:
            return f"The call to {address} failed: {code.name}, {call.details()}"
