"""An empty gRPC handler: answers with as many bytes as were asked for, and does nothing else.

What a call of it costs is what Python's gRPC costs; the server under test is measured as a ratio to it. The
first 8 bytes of a request say how many bytes to answer.
"""

import sys

import grpc
import grpc.aio
import uvloop


async def answer(request: bytes, _context: object) -> bytes:
    """Return as many zero bytes as the request asks for."""
    return bytes(int.from_bytes(request[:8], "big"))


async def serve() -> None:
    """Serve on a free port of loopback, print it, and go on until the process is ended."""
    server = grpc.aio.server()
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("empty.Empty", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
