"""Work that a caller asked for ends when the caller goes away."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from runindex.v1 import maintenance_pb2 as pb
from runindex.v1.maintenance_pb2_grpc import MaintenanceStub
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.maintenance.verify.findings import Progress
from tests.support.server import WAIT_S


@pytest.fixture
def maintenance(channel: grpc.Channel) -> MaintenanceStub:
    return MaintenanceStub(channel)


@pytest.mark.parametrize("method", ["Compact", "Verify"])
def test_work_ends_when_the_caller_goes_away(
    maintenance: MaintenanceStub, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    has_ended = threading.Event()

    async def work_for_ever(*_: Any, **__: Any) -> AsyncIterator[Progress]:
        try:
            while True:
                yield Progress("index rows", 1, 1)
        finally:
            has_ended.set()

    monkeypatch.setattr("runindex_server.rpc.maintenance_servicer.verify", work_for_ever)
    monkeypatch.setattr(Retention, "compact", work_for_ever)
    monkeypatch.setattr(
        "runindex_server.rpc.maintenance_convert.compact_response", lambda _: pb.CompactResponse()
    )
    pieces = getattr(maintenance, method)(getattr(pb, f"{method}Request")())
    next(iter(pieces))
    assert not has_ended.is_set()
    pieces.cancel()

    assert has_ended.wait(WAIT_S)
