"""All five services without sockets: what takes the bytes of a request, and returns or refuses.

Between the bytes and the answer everything is the product's: the boundary, the servicers, the transactions.
The store is in memory, the clock stands still, ids and secrets are made of a counter: the same bytes in the
same order come to the same.
"""

import asyncio
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from unittest import mock
from uuid import UUID

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runindex_server import limits
from runindex_server.jobs.runner import JobRunner
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.rpc.boundary import Boundary
from runindex_server.rpc.gate import Gate
from runindex_server.rpc.server import Options, _retention, _servicers
from runindex_server.runs.bootstrap import initialise
from runindex_server.schema.header import read_header
from runindex_server.schema.run import RunId
from tests.support.clock import ManualClock
from tests.support.consistency import check_store

CALL_S: Final = 60.0
"""The deadline of every call. No call comes near it."""

MILLISECOND_US: Final = 1_000


class Aborted(grpc.RpcError):
    """How a call was ended, as a client sees it."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, bytes], ...]) -> None:
        super().__init__(code, details)
        self._code, self._details, self._trailing = code, details, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailing


class FakeContext:
    """What gRPC hands to the server with each call.

    Attributes:
        written: The pieces of an answer that comes piece by piece.
    """

    def __init__(self, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        self.written: list[bytes] = []
        self._metadata = metadata

    def time_remaining(self) -> float:
        return CALL_S

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def auth_context(self) -> Mapping[str, Any]:
        return {}

    async def write(self, piece: bytes) -> None:
        self.written.append(piece)

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any) -> NoReturn:
        raise Aborted(code, details, trailing)


@dataclass(frozen=True, slots=True)
class Served:
    """A method, and what gRPC would call for it."""

    descriptor: MethodDescriptor
    handler: Any

    @property
    def name(self) -> str:
        """Its name, as `Service.Method`."""
        return f"{self.descriptor.containing_service.name}.{self.descriptor.name}"

    @property
    def request_class(self) -> type[Message]:
        """The class of its requests."""
        return GetMessageClass(self.descriptor.input_type)

    @property
    def answer_class(self) -> type[Message]:
        """The class of its answers, or of their pieces."""
        return GetMessageClass(self.descriptor.output_type)


class Callee:
    """The services over a store of their own.

    Attributes:
        methods: By their names, in the order of these.
        clock: Theirs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, beginning: "Callee | None" = None) -> None:
        """Serve a new store, or one that holds what another holds at this moment.

        Args:
            loop: Where everything runs.
            beginning: The other.
        """
        self._loop = loop
        self._ids = random.Random(0)
        self.clock = ManualClock()
        self._chance = random.Random(1)
        with mock.patch.object(secrets, "token_bytes", self._chance.randbytes):
            self.store = MemoryStore(clock=self.clock, initialise=initialise)
        if beginning is not None:
            self.clock.set(beginning.clock.now_us())
            self._ids.setstate(beginning._ids.getstate())
            self.store._rows = beginning.store._rows.copy()
            self.store._sequences = beginning.store._sequences
        self.methods = self.run(self._serve())

    async def _serve(self) -> dict[str, Served]:
        options = Options(new_run_id=self._new_run_id)
        retention = _retention(self.store, self.clock, options)
        await retention.prepare()
        self._jobs = JobRunner(
            self.store,
            clock=self.clock,
            request_id_retention_s=limits.REQUEST_ID_RETENTION_S_MIN,
            retention=retention,
        )
        boundary = Boundary(gate=Gate())
        served = (
            Served(method, boundary.handler_of(method, getattr(servicer, method.name)))
            for service, servicer in _servicers(
                self.store, await self.store.read(read_header), retention, self.clock, options
            )
            for method in service.methods
        )
        return {each.name: each for each in sorted(served, key=lambda each: each.name)}

    def _new_run_id(self) -> RunId:
        return RunId(UUID(int=self._ids.getrandbits(128), version=4).bytes)

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine to its end."""
        return self._loop.run_until_complete(coroutine)

    def call(self, name: str, request: bytes) -> list[bytes]:
        """Make a call, and return the answer, or the pieces of one that comes piece by piece.

        Raises:
            Aborted: It was refused.
        """
        self.clock.advance(MILLISECOND_US)
        context, handler = FakeContext(), self.methods[name].handler
        if handler.unary_unary is not None:
            return [self.run(handler.unary_unary(request, context))]
        self.run(handler.unary_stream(request, context))
        return context.written

    def stub(self, service: str) -> Any:
        """Return what calls the methods of a service as a generated stub does."""
        return _Stub(self, service)

    def settle(self) -> None:
        """Let the background jobs work until they have nothing to do, and check the whole store.

        Raises:
            AssertionError: Something in it does not follow from the records.
        """
        self.run(self._jobs.run_until_idle())
        self.run(check_store(self.store))


class _Stub:
    """As a generated stub."""

    def __init__(self, callee: Callee, service: str) -> None:
        self._callee = callee
        self._service = service

    def __getattr__(self, method: str) -> Any:
        name = f"{self._service}.{method}"
        answer_class = self._callee.methods[name].answer_class

        def call(request: Message) -> Message:
            [answer] = self._callee.call(name, request.SerializeToString())
            return answer_class.FromString(answer)

        return call
