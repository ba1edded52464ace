"""What `doctor` is asked about: a folder, the settings of its server, and the server if one runs."""

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, cast

import grpc

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server.cli.channel import ChannelRefused, open_channel
from runindex_server.cli.health_check import check_health
from runindex_server.clock import Clock
from runindex_server.errors import StoreCorrupt
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.guard import StoreInUse, StoreRefused, guard_data_file
from runindex_server.kv.lmdb_copy import open_read_only
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME
from runindex_server.kv.lmdb_store import guard_written_file, refuse_unfinished_restore
from runindex_server.kv.lock_file import STORE_NAME, look_at_lock
from runindex_server.kv.seal import check_seal
from runindex_server.rpc.address import split_address
from runindex_server.schema.header import StoreHeader, read_header
from runindex_server.schema.retention_state import ClockTick, read_clock_tick
from runindex_server.settings import Settings

STATUS_S: Final = 10.0

UNREACHABLE: Final = "UNREACHABLE"
"""The health of a server that does not answer."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What a store tells of itself."""

    header: StoreHeader
    tick: ClockTick | None


@dataclass(frozen=True)
class Patient:
    """What is looked at; each part once, when it is asked for.

    Attributes:
        settings: Those of the server.
        clock: The wall clock.
    """

    settings: Settings
    clock: Clock

    @property
    def data_dir(self) -> Path:
        """The folder."""
        return self.settings.data_dir

    @property
    def store_dir(self) -> Path:
        """The folder of its store."""
        return self.data_dir / STORE_NAME

    @property
    def data_file(self) -> Path:
        """The data file of its store."""
        return self.store_dir / DATA_FILE_NAME

    @property
    def place(self) -> Path:
        """The folder or, while it is not there, the nearest one above it that is."""
        place = self.data_dir.absolute()
        return next(each for each in (place, *place.parents) if each.exists())

    @cached_property
    def holder(self) -> StoreInUse | None:
        """What a second server would be told of the folder; None when nobody holds it."""
        return look_at_lock(self.data_dir)

    @cached_property
    def store_fault(self) -> Exception | None:
        """Why a server would not open the store; None for nothing, or when there is none yet."""
        try:
            self._guard()
        except (StoreRefused, OSError) as error:
            return error
        return None

    @cached_property
    def noted(self) -> Noted | None:
        """What the store tells of itself; None when it cannot be looked at, or a server has it open.

        Raises:
            StoreCorrupt, StorageVersionUnknown: As `read_header`.
        """
        if self.holder is not None or self.store_fault is not None or not self.store_dir.exists():
            return None
        try:
            with closing(open_read_only(self.data_file)) as snapshots:
                return snapshots.read(_read_noted)
        except StoreCorrupt:
            # A server may have begun to write it meanwhile.
            if look_at_lock(self.data_dir) is None:
                raise
            return None

    @cached_property
    def health(self) -> str:
        """What a server at the address tells of its health.

        Raises:
            ChannelRefused: As `check_health`.
        """
        _, port = split_address(self.settings.address)
        return check_health(self.settings.address) if port else UNREACHABLE

    @cached_property
    def status(self) -> pb.GetStatusResponse | grpc.Call | None:
        """What the server of the folder tells, or how its call ended; None when none answers."""
        try:
            if self.holder is None or self.health == UNREACHABLE:
                return None
            with open_channel(self.settings.address) as channel:
                return MaintenanceStub(channel).GetStatus(pb.GetStatusRequest(), timeout=STATUS_S)
        except ChannelRefused:
            return None
        except grpc.RpcError as error:
            return cast("grpc.Call", error)

    @property
    def told(self) -> pb.GetStatusResponse | None:
        """What the server of the folder tells; None when it does not."""
        return self.status if isinstance(self.status, pb.GetStatusResponse) else None

    def _guard(self) -> None:
        """Look at the store as a server does that opens it.

        Raises:
            StoreRefused, OSError: It would refuse.
        """
        if not self.store_dir.exists():
            refuse_unfinished_restore(self.data_dir)
            return
        if self.holder is not None:
            guard_written_file(self.data_file)
            return
        try:
            guard_data_file(self.data_file)
            check_seal(self.data_file)
        except StoreRefused:
            # A server may have begun to write it meanwhile.
            if look_at_lock(self.data_dir) is None:
                raise


def _read_noted(txn: ReadTxn) -> Noted:
    return Noted(read_header(txn, accept_older=True), read_clock_tick(txn))
