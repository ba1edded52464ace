"""A process that serves an open store until it is told to stop: by itself, or as one of several."""

import asyncio
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack, closing, nullcontext
from dataclasses import dataclass
from typing import Final

from runindex_server.cli import access
from runindex_server.clock import SystemClock
from runindex_server.errors import CommitOutcomeUnknown, StoreCorrupt, StoreFull
from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.jobs.retention.board import Board
from runindex_server.kv.engine import MaintainedStore
from runindex_server.kv.guard import StoreRefused
from runindex_server.logs import get_logger
from runindex_server.rpc.address import AddressInUse, join_address, split_address
from runindex_server.rpc.metrics import Metrics, open_metrics
from runindex_server.rpc.server import Options, Server, start_server
from runindex_server.rpc.tracing import TracesRefused, Tracing, open_tracing
from runindex_server.schema.header import StorageVersionUnknown
from runindex_server.schema.migrations import migrate
from runindex_server.schema.policy_text import parse_policy
from runindex_server.settings import Settings

FAULTS: Final = (
    StoreRefused,
    StorageVersionUnknown,
    StoreCorrupt,
    StoreFull,
    CommitOutcomeUnknown,
    AddressInUse,
    *access.FAULTS,
    TracesRefused,
)
"""Why a server does not start, told in a sentence."""

OpenStore = Callable[[Callable[[], None]], MaintainedStore]
"""Opens the store; what it is given is called when a commit's outcome is unknown, on any thread."""


class Stopping:
    """Whether a process is to stop, and with which exit code. Belongs to one event loop."""

    def __init__(self) -> None:
        """Begin without."""
        self._loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[int] = self._loop.create_future()

    @property
    def is_asked(self) -> bool:
        """Whether it was asked."""
        return self._stopped.done()

    def ask(self, code: int = 0) -> None:
        """Ask to stop; the first code stands."""
        if not self.is_asked:
            self._stopped.set_result(code)

    def ask_fatally(self) -> None:
        """Ask to stop because a commit failed; from any thread."""
        self._loop.call_soon_threadsafe(self.ask, EXIT_FATAL)

    async def asked(self) -> int:
        """Wait until it is asked, and return the exit code."""
        return await self._stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a process does of all that a server does.

    Attributes:
        address: Where it listens.
        migrates: Whether it brings the store to this server's version, before anybody else opens it.
        runs_jobs: Whether it runs the background jobs.
        shares_port: Whether others listen on the same port.
        worker: The number of this process among several.
        board: What they let each other know of retention.
    """

    address: str
    worker: int = 0
    migrates: bool = True
    runs_jobs: bool = True
    shares_port: bool = False
    board: Board | None = None


async def serve_until_asked(
    open_store: OpenStore,
    settings: Settings,
    part: Part,
    stopping: Stopping,
    on_ready: Callable[[Server], None],
) -> int:
    """Serve until asked to stop, then drain; return the exit code.

    Args:
        open_store: Blocks; the store is closed at the end.
        settings: The server's.
        part: What this process does.
        stopping: Asked by signals, or by the store.
        on_ready: Called once it listens.

    Raises:
        FAULTS: It cannot start.
    """
    clock = SystemClock()
    _allow_many_files()
    async with AsyncExitStack() as stack:
        allowed = stack.enter_context(closing(access.open_access(settings, clock)))
        tracing = open_tracing(worker=part.worker) if settings.traces else None
        if tracing is not None:
            # After the store, which is safe by then; on a thread, so that a second signal is heard.
            stack.push_async_callback(asyncio.to_thread, tracing.close)
        store = open_store(stopping.ask_fatally)
        try:
            if part.migrates:
                await migrate(store, progress=get_logger(__name__).info)
            options = _options(settings, part, allowed, tracing)
            server = await start_server(store, address=part.address, clock=clock, options=options)
            stack.enter_context(_told(options.metrics, store, settings, part, clock))
            on_ready(server)
            watching = asyncio.create_task(_stop_with(server, stopping))
            code = await stopping.asked()
            watching.cancel()
            await server.stop(settings.drain_s)
        finally:
            await store.close()
    get_logger(__name__).info("stopped", code=code)
    return code


async def _stop_with(server: Server, stopping: Stopping) -> None:
    """Stop when gRPC has stopped by itself: nobody starts a process again that lives and serves nobody."""
    try:
        await server.ended()
    finally:
        if not stopping.is_asked:
            get_logger(__name__).critical("gRPC has stopped serving; the server stops")
            stopping.ask(EXIT_FATAL)


def _allow_many_files() -> None:
    """Raise the bound of open files as far as it goes: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _options(settings: Settings, part: Part, allowed: access.Access, tracing: Tracing | None) -> Options:
    """Return the options of the server that a process runs."""
    return Options(
        search_budget_records=settings.search_budget_records,
        request_id_retention_s=settings.request_id_retention_s,
        default_retention=parse_policy(settings.default_retention),
        retention_interval_s=settings.retention_interval_s,
        run_jobs=part.runs_jobs,
        shares_port=part.shares_port,
        board=part.board,
        admission=allowed.admission,
        auditor=allowed.auditor,
        certificates=allowed.certificates,
        metrics=None if settings.metrics_address is None else open_metrics(),
        tracing=tracing,
    )


def _told(
    metrics: Metrics | None, store: MaintainedStore, settings: Settings, part: Part, clock: SystemClock
) -> AbstractContextManager[object]:
    """Tell figures to Prometheus meanwhile, where that is asked for.

    Raises:
        AddressInUse: As `Metrics.told_at`.
    """
    if metrics is None or settings.metrics_address is None:
        return nullcontext()
    metrics.add_store(
        store,
        default_policy=parse_policy(settings.default_retention),
        now_us=clock.now_us,
        tells_all=part.runs_jobs,
    )
    host, port = split_address(settings.metrics_address)
    return metrics.told_at(join_address(host, port + part.worker if port else 0))
