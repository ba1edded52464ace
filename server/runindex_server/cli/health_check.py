"""Asks a running server whether it serves, as a container's health check does."""

from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runindex_server.cli.channel import open_channel

TIMEOUT_S: Final = 3.0


def check_health(address: str) -> str:
    """Return the serving status that a server tells, such as `SERVING`; else `UNREACHABLE`.

    Raises:
        ChannelRefused: As `open_channel`.
    """
    with open_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError:
            return "UNREACHABLE"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
