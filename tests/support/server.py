"""A real server on a port of its own, in a thread of its own, over a store that can be made to fail."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

from runindex.v1 import insights_pb2_grpc as insights_grpc
from runindex.v1 import run_data_pb2_grpc as data_grpc
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex.v1 import templates_pb2_grpc as templates_grpc
from runindex_server.clock import Clock
from runindex_server.kv.api import ReadTxn, WriteTxn
from runindex_server.kv.engine import Engine, MaintainedStore
from runindex_server.rpc.server import Options, Server, start_server

T = TypeVar("T")

WAIT_S: Final = 30.0
"""How long anything may take before a test fails instead of hanging."""

OpenStore = Callable[[], Awaitable[MaintainedStore]]


class LoopThread:
    """An event loop in a thread. One serves all servers of a test session, so that starting one is cheap."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server-loop", daemon=True)
        self._thread.start()
        self.run(_hold_grpc())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let nothing run on the loop."""
        is_held, may_go_on = threading.Event(), threading.Event()

        def hold() -> None:
            is_held.set()
            assert may_go_on.wait(WAIT_S)

        self._loop.call_soon_threadsafe(hold)
        assert is_held.wait(WAIT_S)
        try:
            yield
        finally:
            may_go_on.set()

    def close(self) -> None:
        """Stop the loop and wait for the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()


async def _hold_grpc() -> None:
    """Keep gRPC's queue of events from being closed with each last server and opened again with the next.

    What comes late then would be read from a file that is closed.
    """
    grpc.aio.init_grpc_aio()  # type: ignore[attr-defined]  # The stubs leave it out.


class FailingStore:
    """A store that works until it is told to fail."""

    def __init__(self, inner: MaintainedStore) -> None:
        """Pass everything on to the inner store."""
        self._inner = inner
        self.error: Exception | None = None

    @property
    def engine(self) -> Engine:
        """That of the inner store."""
        return self._inner.engine

    async def read(self, fn: Callable[[ReadTxn], T], *, offload: bool = False) -> T:
        """Fail if told to; else read."""
        if self.error is not None:
            raise self.error
        return await self._inner.read(fn, offload=offload)

    async def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Fail if told to; else write."""
        if self.error is not None:
            raise self.error
        return await self._inner.write(fn)

    async def close(self) -> None:
        """Close the inner store."""
        await self._inner.close()


class RunningServer:
    """A server over a store, which it owns. Started when made."""

    def __init__(
        self,
        loop: LoopThread,
        open_store: OpenStore,
        *,
        clock: Clock,
        address: str = "127.0.0.1:0",
        **options: Any,
    ) -> None:
        """Open the store and serve it, on a free port of the loopback interface unless told otherwise.

        The background jobs run when a test asks for it, and not beside it.

        Args:
            loop: Where it runs.
            open_store: Opens its store, again after each restart.
            clock: The server's clock.
            address: Where to listen.
            options: Further ones of the server.
        """
        self._loop = loop
        self._open_store = open_store
        self._clock = clock
        self._address = address
        self._options = options
        self._channels: list[grpc.Channel] = []
        self._start()

    def _start(self) -> None:
        self.store, self._server = self._loop.run(self._open())

    async def _open(self) -> tuple[FailingStore, Server]:
        store = FailingStore(await self._open_store())
        options = Options(run_jobs=False, **self._options)
        server = await start_server(store, address=self._address, clock=self._clock, options=options)
        return store, server

    @property
    def target(self) -> str:
        """Where it can be called."""
        return f"127.0.0.1:{self._server.port}"

    def stub(self) -> pb_grpc.RunIndexStub:
        """Return a stub on a channel of its own, for tests with several servers; closed with the server."""
        return pb_grpc.RunIndexStub(self._channel())

    def data_stub(self) -> data_grpc.RunDataStub:
        """Return a stub of RunData on a channel of its own; closed with the server."""
        return data_grpc.RunDataStub(self._channel())

    def insights_stub(self) -> insights_grpc.RunInsightsStub:
        """Return a stub of RunInsights on a channel of its own; closed with the server."""
        return insights_grpc.RunInsightsStub(self._channel())

    def templates_stub(self) -> templates_grpc.RunTemplatesStub:
        """Return a stub of RunTemplates on a channel of its own; closed with the server."""
        return templates_grpc.RunTemplatesStub(self._channel())

    def _channel(self) -> grpc.Channel:
        channel = grpc.insecure_channel(self.target)
        self._channels.append(channel)
        return channel

    def run_jobs(self) -> None:
        """Let the background jobs work until they have nothing to do."""
        self._loop.run(self._server.jobs.run_until_idle())

    def step_jobs(self) -> bool:
        """Let each background job take one step, and tell whether there was anything to do."""
        return self._loop.run(self._server.jobs.step())

    def look_whether_ready(self) -> None:
        """Let it find out whether it is ready, and tell its health."""
        self._loop.run(self._server.readiness.look())

    def stop(self) -> None:
        """Close the channels of its stubs, stop serving, and close the store."""
        while self._channels:
            self._channels.pop().close()
        self._loop.run(self._close())

    async def _close(self) -> None:
        await self._server.stop(0)
        await self.store.close()

    def restart(self) -> None:
        """Stop, and serve the same store again, on another port; for stores that outlive their process."""
        self.stop()
        self._start()


StartServer = Callable[..., RunningServer]
"""What starts a server over a new store, with further options."""
