"""A server that answers as it is told, and remembers what it was asked."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

Answer = Message | grpc.StatusCode | status_pb2.Status | Callable[[], Any]


class FaultyServer(grpc.GenericRpcHandler):
    """Answers calls one after another from a list; the last answer again and again."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, bytes]] = []
        self.metadata: list[dict[str, Any]] = []
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def requests(self, kind: type[Message]) -> list[Any]:
        """Return the requests that came, which are all of one kind."""
        return [kind.FromString(request) for _, request in self.calls]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append((details.method, request))
            self.metadata.append(dict(details.invocation_metadata))
            said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if callable(said):
                said = said()
            if isinstance(said, grpc.StatusCode):
                context.abort(said, "as it was told")
            if isinstance(said, status_pb2.Status):
                context.set_trailing_metadata((("grpc-status-details-bin", said.SerializeToString()),))
                context.abort(
                    next(code for code in grpc.StatusCode if code.value[0] == said.code), said.message
                )
            return said.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)

    def stop(self) -> None:
        self.server.stop(0).wait()


def refusal(
    code: grpc.StatusCode,
    reason: str,
    metadata: dict[str, str] | None = None,
    *,
    retry_s: float | None = None,
    domain: str = "runindex",
) -> status_pb2.Status:
    """Return a status with the details that a server of RunIndex sends."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata or {})
    details: list[Message] = [info]
    if retry_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(retry_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=f"refused: {reason}")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
