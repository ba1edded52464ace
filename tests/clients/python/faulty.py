"""A server that answers as it is told, and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

Answer = Message | grpc.StatusCode | status_pb2.Status | Callable[[], Any] | list[Any]
"""What a call is answered by; a list answers by a stream."""


class FaultyServer(grpc.GenericRpcHandler):
    """Answers calls one after another from a list; the last answer again and again."""

    def __init__(self, answers: Iterable[Answer], port: int = 0) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, bytes]] = []
        self.metadata: list[dict[str, Any]] = []
        self.has_ended = threading.Event()
        """Set when a call that answers by a stream has ended, by whomever."""
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def requests(self, kind: type[Message]) -> list[Any]:
        """Return the requests that came, which are all of one kind."""
        return [kind.FromString(request) for _, request in self.calls]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            (response,) = stream(request, context)
            return response

        def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self.calls.append((details.method, request))
            self.metadata.append(dict(details.invocation_metadata))
            said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            context.add_callback(self.has_ended.set)
            for each in said if isinstance(said, list) else [said]:
                yield respond(each, context)

        if isinstance(self.answers[0], list):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)

    def stop(self) -> None:
        self.server.stop(0).wait()


@contextmanager
def faulty_servers() -> Iterator[Callable[..., FaultyServer]]:
    """Return what starts servers that answer as they are told; they are stopped at the end."""
    servers: list[FaultyServer] = []

    def start(*answers: Answer, port: int = 0) -> FaultyServer:
        servers.append(FaultyServer(answers, port))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def respond(said: Any, context: grpc.ServicerContext) -> bytes:
    """Return a response, or end the call."""
    if callable(said):
        said = said()
    if isinstance(said, grpc.StatusCode):
        context.abort(said, "as it was told")
    if isinstance(said, status_pb2.Status):
        context.set_trailing_metadata((("grpc-status-details-bin", said.SerializeToString()),))
        context.abort(next(code for code in grpc.StatusCode if code.value[0] == said.code), said.message)
    return said.SerializeToString()


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
