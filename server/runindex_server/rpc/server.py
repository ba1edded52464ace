"""The gRPC server, assembled: services, options, background jobs, start and drain."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import grpc.aio
import uuid_utils
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from runindex.v1 import insights_pb2, maintenance_pb2, run_data_pb2, run_index_pb2, templates_pb2
from runindex_server import limits
from runindex_server.clock import Clock
from runindex_server.jobs.retention.board import Board
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.jobs.runner import JobRunner
from runindex_server.kv.engine import MaintainedStore
from runindex_server.rpc.address import AddressInUse, is_loopback, join_address, split_address
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.auditing import Auditor
from runindex_server.rpc.boundary import Boundary
from runindex_server.rpc.gate import Gate
from runindex_server.rpc.insights_servicer import RunInsightsServicer
from runindex_server.rpc.maintenance_servicer import MaintenanceServicer
from runindex_server.rpc.metrics import Metrics
from runindex_server.rpc.policy import POLICY, REFLECTION, check_policy
from runindex_server.rpc.readiness import Readiness
from runindex_server.rpc.reflection import Reflection
from runindex_server.rpc.run_data_servicer import RunDataServicer
from runindex_server.rpc.servicer import RunIndexServicer
from runindex_server.rpc.templates_servicer import RunTemplatesServicer
from runindex_server.rpc.tls import Certificates
from runindex_server.rpc.tracing import Tracing
from runindex_server.runs.page_token import PageTokens
from runindex_server.schema.header import StoreHeader, read_header
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, RunId
from runindex_server.search.index import TermIndex

_HEALTH: Final[Any] = vars(health)["aio"]
"""The health service for an asyncio server; its stubs lack it."""

RUN_INDEX: Final = run_index_pb2.DESCRIPTOR.services_by_name["RunIndex"]
RUN_DATA: Final = run_data_pb2.DESCRIPTOR.services_by_name["RunData"]
RUN_INSIGHTS: Final = insights_pb2.DESCRIPTOR.services_by_name["RunInsights"]
RUN_TEMPLATES: Final = templates_pb2.DESCRIPTOR.services_by_name["RunTemplates"]
MAINTENANCE: Final = maintenance_pb2.DESCRIPTOR.services_by_name["Maintenance"]

SERVICES: Final = (
    RUN_INDEX,
    RUN_DATA,
    RUN_INSIGHTS,
    RUN_TEMPLATES,
    MAINTENANCE,
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
"""All that is served."""

NAMES: Final = tuple(each.full_name for each in SERVICES if each.full_name != REFLECTION)
"""The services whose health is told, beside that of the server as a whole."""

CHANNEL_OPTIONS: Final = (
    # Above our own bound, so that ours answers, with a reason.
    ("grpc.max_receive_message_length", 4 * limits.REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    # Bounds what one connection can hold open, and so what a flood of resets costs others. Not less: clients
    # begin as many before they know the bound, and what is beyond it is reset.
    ("grpc.max_concurrent_streams", 100),
    # So many may have ended and not be freed yet. With fewer, gRPC resets streams that a client begins in
    # good faith when many of its calls end together.
    ("grpc.http2.max_deallocating_streams", 100),
    # Calls that wait to be taken. Beyond its own bounds gRPC ends any of them at random, whoever made it, as
    # CANCELLED and without a reason: bursts of an honest caller, or a neighbour's call. Ours come first.
    ("grpc.server.max_pending_requests", 1_000_000),
    ("grpc.server.max_pending_requests_hard_limit", 1_000_000),
    ("grpc.max_allowed_incoming_connections", 10_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Beyond the first, metadata is refused now and then; beyond the second always.
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # Finds dead peers, and lets idle clients ping every ten seconds without being cut off.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.enable_channelz", 0),
)


TLS_OPTIONS: Final = (
    # A certificate is looked at when a connection begins. Each begins anew after an hour, and calls that are
    # under way, a backup say, have another hour to end.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 3_600_000),
)
"""Those of a server that speaks TLS, beside the others."""


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
        readiness: Readiness,
        health_servicer: Any,  # noqa: ANN401  # As `_HEALTH`.
    ) -> None:
        """Take what `start_server` has assembled."""
        self._server = server
        self._health = health_servicer
        self._gate = gate
        self.jobs = jobs
        self.readiness = readiness
        self.host = host
        self.port = port

    @property
    def address(self) -> str:
        """Where it listens, as callers write it."""
        return join_address(self.host, self.port)

    async def ended(self) -> None:
        """Wait until it has stopped, or gRPC has by itself."""
        # Who stops waiting must not end what `stop` waits for, too.
        await asyncio.shield(self._server.wait_for_termination())

    async def stop(self, drain_s: float) -> None:
        """Stop: refuse new calls, let those under way finish, and stop the jobs.

        Args:
            drain_s: How long calls may take to finish; then they are cut off.
        """
        await self.readiness.stop()
        await self._health.enter_graceful_shutdown()
        await self._gate.close(drain_s)
        # What is still open are health watches, and calls whose time is over.
        await self._server.stop(None)
        await self.jobs.stop()


def new_run_id() -> RunId:
    """Return a fresh UUIDv7."""
    return RunId(uuid_utils.uuid7().bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be set of a server.

    Attributes:
        search_budget_records: Candidates that one search examines at most.
        request_id_retention_s: How long answers are remembered for request ids.
        default_retention: What acts on runs without a policy of their own.
        retention_interval_s: From one compaction to the next; 0 for none but those that are asked for.
        new_run_id: Makes ids for runs that come without one.
        run_jobs: Whether to run the background jobs here.
        shares_port: Whether other processes of this server listen on the same port. A second server on it
            fails otherwise, and does not take half of the connections.
        board: What this server's processes let each other know of retention; None for a single process.
        admission: Who may call.
        auditor: Writes down what callers did.
        certificates: With which callers are spoken to by TLS; None for in the clear.
        metrics: Measures calls; None for not.
        tracing: Makes spans of calls; None for not.
    """

    search_budget_records: int = limits.SEARCH_BUDGET_RECORDS
    request_id_retention_s: int = limits.REQUEST_ID_RETENTION_S_MIN
    default_retention: RetentionPolicy = KEEP_ALL
    retention_interval_s: int = limits.RETENTION_INTERVAL_S
    new_run_id: Callable[[], RunId] = new_run_id
    run_jobs: bool = True
    shares_port: bool = False
    board: Board | None = None
    admission: Admission = field(default_factory=Admission)
    auditor: Auditor = field(default_factory=Auditor)
    certificates: Certificates | None = None
    metrics: Metrics | None = None
    tracing: Tracing | None = None


async def start_server(
    store: MaintainedStore, *, address: str, clock: Clock, options: Options | None = None
) -> Server:
    """Start a server over a store.

    Args:
        store: Open. Stays the caller's to close, after the server has stopped.
        address: `host:port`; port 0 takes a free one.
        clock: Wall-clock time for ages in searches, for purging and for retention.
        options: What can be set; None for the defaults.

    Raises:
        InvalidAddress: The address is none.
        AddressInUse: It cannot be listened on.
        StoreCorrupt, StorageVersionUnknown: As `read_header`.
        PolicyIncomplete: Of a method it is not said who may call it.
    """
    check_policy(SERVICES)
    host, _ = split_address(address)
    options = options or Options()
    header = await store.read(read_header)
    retention = _retention(store, clock, options)
    await retention.prepare()
    gate, health_servicer = Gate(), _HEALTH.HealthServicer()
    server = grpc.aio.server(options=_channel_options(options))
    boundary = _boundary(gate, options)
    served = store if options.tracing is None else options.tracing.of_store(store)
    for service, servicer in _servicers(served, header, retention, clock, options):
        add_service(server, service, servicer, boundary)
    _add_common_services(server, health_servicer, _reflection(address, options.admission))
    port = _listen(server, address, options.certificates)
    await server.start()
    readiness = Readiness(store, health_servicer, NAMES)
    await readiness.start()
    jobs = JobRunner(
        store, clock=clock, request_id_retention_s=options.request_id_retention_s, retention=retention
    )
    if options.run_jobs:
        jobs.start()
    return Server(
        server,
        host=host,
        port=port,
        jobs=jobs,
        gate=gate,
        readiness=readiness,
        health_servicer=health_servicer,
    )


def _boundary(gate: Gate, options: Options) -> Boundary:
    """Return what every call passes."""
    return Boundary(
        gate=gate,
        admission=options.admission,
        auditor=options.auditor,
        metrics=options.metrics,
        tracing=options.tracing,
    )


def _add_common_services(
    server: grpc.aio.Server,
    health_servicer: Any,  # noqa: ANN401  # As `_HEALTH`.
    reflection: Reflection,
) -> None:
    """Add the services that are not of the contract, and have handlers of their own."""
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection, server)


def _retention(store: MaintainedStore, clock: Clock, options: Options) -> Retention:
    """Return what enforces retention."""
    return Retention(
        store,
        clock=clock,
        default_policy=options.default_retention,
        interval_s=options.retention_interval_s,
        board=options.board,
    )


def _channel_options(options: Options) -> tuple[tuple[str, int], ...]:
    """Return the options of gRPC."""
    return (
        *CHANNEL_OPTIONS,
        *(() if options.certificates is None else TLS_OPTIONS),
        ("grpc.so_reuseport", int(options.shares_port)),
    )


def _servicers(
    store: MaintainedStore, header: StoreHeader, retention: Retention, clock: Clock, options: Options
) -> Iterator[tuple[ServiceDescriptor, object]]:
    """Yield the services, each with what serves it."""
    tokens = PageTokens(header)
    yield (
        RUN_INDEX,
        RunIndexServicer(
            store,
            tokens=tokens,
            search_index=TermIndex(),
            search_budget_records=options.search_budget_records,
            clock=clock,
            new_run_id=options.new_run_id,
        ),
    )
    yield RUN_DATA, RunDataServicer(store, tokens=tokens, default_policy=options.default_retention)
    yield RUN_INSIGHTS, RunInsightsServicer(store, tokens=tokens, clock=clock)
    yield RUN_TEMPLATES, RunTemplatesServicer(store, tokens=tokens, new_run_id=options.new_run_id)
    yield MAINTENANCE, MaintenanceServicer(store, header=header, retention=retention, clock=clock)


def _reflection(address: str, admission: Admission) -> Reflection:
    """Return the reflection service. On loopback nobody is asked, so that grpcurl works as it is."""
    role = None if is_loopback(address) else POLICY[REFLECTION]["ServerReflectionInfo"]
    return Reflection((*NAMES, REFLECTION), admission, role=role)


def _listen(server: grpc.aio.Server, address: str, certificates: Certificates | None) -> int:
    """Listen on an address, by TLS or in the clear, and return the port.

    Raises:
        AddressInUse: It cannot be listened on.
    """
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        raise AddressInUse(address) from error


def add_service(
    server: grpc.aio.Server, service: ServiceDescriptor, servicer: object, boundary: Boundary
) -> None:
    """Add a service to a server, each method of the contract by its name.

    Raises:
        AttributeError: The servicer lacks a method of the contract.
    """
    handlers = {
        method.name: boundary.handler_of(method, getattr(servicer, method.name)) for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
