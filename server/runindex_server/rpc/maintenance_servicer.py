"""The 4 methods of Maintenance at the edge: check, call, convert. What they mean is told in the contract."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from runindex.v1 import maintenance_pb2 as pb
from runindex_server.clock import Clock
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.engine import MaintainedStore
from runindex_server.maintenance.backup import backup
from runindex_server.maintenance.status import read_status
from runindex_server.maintenance.verify.verification import verify
from runindex_server.rpc import maintenance_convert as convert
from runindex_server.schema.header import StoreHeader


class MaintenanceServicer:
    """`service Maintenance`, over a store."""

    def __init__(
        self, store: MaintainedStore, *, header: StoreHeader, retention: Retention, clock: Clock
    ) -> None:
        """Take what the methods need.

        Args:
            store: What is maintained.
            header: Its own.
            retention: That of the store.
            clock: Wall-clock time, by which runs are due and backups are dated.
        """
        self._store = store
        self._identity = convert.identity(header)
        self._retention = retention
        self._clock = clock

    async def GetStatus(self, request: pb.GetStatusRequest) -> pb.GetStatusResponse:  # noqa: ARG002  # It is empty.
        default_policy = self._retention.default_policy
        engine = self._store.engine
        sizes, readers = engine.sizes(), engine.readers()
        read = partial(read_status, default_policy=default_policy, now_us=self._clock.now_us())
        status = await self._store.read(read, offload=True)
        retention = convert.retention_status(
            default_policy=default_policy,
            last=status.last_compaction,
            next_time_us=self._retention.next_time_us,
            clock_jump=self._retention.clock_jump(),
        )
        return convert.status_response(
            status, store=self._identity, sizes=sizes, readers=readers, retention=retention
        )

    async def Compact(self, request: pb.CompactRequest) -> AsyncGenerator[pb.CompactResponse, None]:
        convert.check_compact_request(request)
        retention = self._retention
        pieces = (
            retention.preview() if request.dry_run else retention.compact(trust_clock=request.trust_clock)
        )
        async with aclosing(pieces):
            async for piece in pieces:
                yield convert.compact_response(piece)

    async def Verify(self, request: pb.VerifyRequest) -> AsyncGenerator[pb.VerifyResponse, None]:  # noqa: ARG002
        async with aclosing(verify(self._store)) as pieces:
            async for piece in pieces:
                yield convert.verify_response(piece)

    async def Backup(self, request: pb.BackupRequest) -> AsyncGenerator[pb.BackupResponse, None]:  # noqa: ARG002
        async with aclosing(backup(self._store, clock=self._clock)) as pieces:
            async for piece in pieces:
                yield convert.backup_response(piece, store=self._identity)
