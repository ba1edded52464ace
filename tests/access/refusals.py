"""Why calls are refused."""

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status


def reason_of(error: grpc.RpcError) -> str:
    """Return the reason of a refusal; empty when it has none."""
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    return info.reason if status is not None and status.details[0].Unpack(info) else ""
