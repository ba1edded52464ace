"""The gRPC server, assembled: services, options, background jobs, start and drain."""

from collections.abc import Callable
from typing import Any, Final, cast

import grpc.aio
import uuid_utils
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from runindex.v1 import run_index_pb2 as pb
from runindex_server import limits
from runindex_server.clock import Clock
from runindex_server.jobs.runner import JobRunner
from runindex_server.kv.api import Store
from runindex_server.rpc.address import split_address
from runindex_server.rpc.boundary import handler_of
from runindex_server.rpc.gate import Gate
from runindex_server.rpc.reflection_pool import ReflectionPool
from runindex_server.rpc.servicer import RunIndexServicer
from runindex_server.runs.page_token import PageTokens
from runindex_server.schema.header import read_header
from runindex_server.schema.run import RunId
from runindex_server.search.index import TermIndex

_HEALTH: Final[Any] = vars(health)["aio"]
"""The health service for an asyncio server; its stubs lack it."""

_POOL: Final = cast("DescriptorPool", ReflectionPool())

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RunIndex"]

NAMES: Final = (SERVICE.full_name, health.SERVICE_NAME)
"""The services whose health is told, beside that of the server as a whole."""

OPTIONS: Final = (
    # A second server on the same port fails, and does not take half of the connections.
    ("grpc.so_reuseport", 0),
    # Above our own bound, so that ours answers, with a reason.
    ("grpc.max_receive_message_length", 4 * limits.REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    # Bounds what one connection can hold open. Far above what callers do at once: a client that has not
    # yet been told the bound passes it, and its call is reset without a reason.
    ("grpc.max_concurrent_streams", 4_096),
    ("grpc.max_allowed_incoming_connections", 10_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Finds dead peers, and lets idle clients ping every ten seconds without being cut off.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.enable_channelz", 0),
)


class AddressInUse(Exception):
    """The address cannot be listened on."""


class Server:
    """A server that listens."""

    def __init__(
        self,
        server: grpc.aio.Server,
        *,
        host: str,
        port: int,
        jobs: JobRunner,
        gate: Gate,
        health_servicer: Any,  # noqa: ANN401  # As `_HEALTH`.
    ) -> None:
        """Take what `start_server` has assembled."""
        self._server = server
        self._health = health_servicer
        self._gate = gate
        self.jobs = jobs
        self.host = host
        self.port = port

    @property
    def address(self) -> str:
        """Where it listens, as callers write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def stop(self, drain_s: float) -> None:
        """Stop: refuse new calls, let those under way finish, and stop the jobs.

        Args:
            drain_s: How long calls may take to finish; then they are cut off.
        """
        await self._health.enter_graceful_shutdown()
        await self._gate.close(drain_s)
        # What is still open are health watches, and calls whose time is over.
        await self._server.stop(None)
        await self.jobs.stop()


def new_run_id() -> RunId:
    """Return a fresh UUIDv7."""
    return RunId(uuid_utils.uuid7().bytes)


async def start_server(
    store: Store,
    *,
    address: str,
    clock: Clock,
    search_budget_records: int = limits.SEARCH_BUDGET_RECORDS,
    request_id_retention_s: int = limits.REQUEST_ID_RETENTION_S_MIN,
    new_run_id: Callable[[], RunId] = new_run_id,
    run_jobs: bool = True,
) -> Server:
    """Start a server over a store.

    Args:
        store: Open. Stays the caller's to close, after the server has stopped.
        address: `host:port`; port 0 takes a free one.
        clock: Wall-clock time for ages in searches and for purging.
        search_budget_records: Candidates that one search examines at most.
        request_id_retention_s: How long answers are remembered for request ids.
        new_run_id: Makes ids for runs that come without one.
        run_jobs: Whether to run the background jobs here.

    Raises:
        InvalidAddress: The address is none.
        AddressInUse: It cannot be listened on.
        StoreCorrupt, StorageVersionUnknown: As `read_header`.
    """
    host, _ = split_address(address)
    header = await store.read(read_header)
    servicer = RunIndexServicer(
        store,
        tokens=PageTokens(header),
        search_index=TermIndex(),
        search_budget_records=search_budget_records,
        clock=clock,
        new_run_id=new_run_id,
    )
    server = grpc.aio.server(options=OPTIONS)
    gate = Gate()
    add_service(server, servicer, gate)
    health_servicer = _HEALTH.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection((*NAMES, reflection.SERVICE_NAME), server, pool=_POOL)
    port = _listen(server, address)
    await server.start()
    for name in ("", *NAMES):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    jobs = JobRunner(store, clock=clock, request_id_retention_s=request_id_retention_s)
    if run_jobs:
        jobs.start()
    return Server(server, host=host, port=port, jobs=jobs, gate=gate, health_servicer=health_servicer)


def _listen(server: grpc.aio.Server, address: str) -> int:
    """Listen on an address and return the port.

    Raises:
        AddressInUse: It cannot be listened on.
    """
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        msg = f"cannot listen on {address}: is another server running there?"
        raise AddressInUse(msg) from error


def add_service(server: grpc.aio.Server, servicer: RunIndexServicer, gate: Gate) -> None:
    """Add the service to a server, each method of the contract by its name.

    Raises:
        AttributeError: The servicer lacks a method of the contract.
    """
    handlers = {
        method.name: handler_of(method, getattr(servicer, method.name), gate) for method in SERVICE.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))
