"""The audit log: a line for each change and each refusal, and nothing of what was sent."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from runindex.v1 import maintenance_pb2 as maintenance_pb
from runindex.v1 import maintenance_pb2_grpc as maintenance_grpc
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server.access.audit import AuditLog, AuditRefused
from runindex_server.access.caller import Role
from runindex_server.access.token_file import LOOK_INTERVAL_US, LiveTokens
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.auditing import Auditor
from tests.access.conftest import Start, TokenMaker
from tests.support.clock import ManualClock
from tests.support.server import RunningServer

SECRET: Final = "what nobody else is to read"
RUN_ID: Final = "0192f3aa-bbcc-7ddd-8eee-ff0011223344"
SERVICE: Final = "runindex.v1.RunIndex"


class Audited:
    """A server with an audit log, called with a token."""

    def __init__(self, server: RunningServer, path: Path, token: str) -> None:
        self.server = server
        self.path = path
        self.metadata = [("authorization", f"Bearer {token}")]

    def call(self, method: str, request: Any, *, metadata: Any = None) -> None:
        """Make a call, and let it be refused."""
        with grpc.insecure_channel(self.server.target) as channel:
            send = getattr(pb_grpc.RunIndexStub(channel), method)
            with suppress(grpc.RpcError):
                send(request, metadata=self.metadata if metadata is None else metadata, timeout=30)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def auditor(path: Path, clock: ManualClock) -> Iterator[Auditor]:
    log = AuditLog(path, clock)
    yield Auditor(log)
    log.close()


@pytest.fixture
def audited(auditor: Auditor, start: Start, tokens: TokenMaker, clock: ManualClock, path: Path) -> Audited:
    server = start(admission=Admission(tokens=LiveTokens(tokens.path, clock)), auditor=auditor)
    _, text = tokens(Role.WRITER, name="agent")
    clock.advance(LOOK_INTERVAL_US)
    return Audited(server, path, text)


def test_a_change_is_told_with_who_what_and_when(audited: Audited) -> None:
    audited.call("CreateRun", pb.CreateRunRequest(run_id=RUN_ID, tags=[SECRET], request_id="r1"))

    (line,) = audited.lines()
    peer = line.pop("peer")
    assert peer.startswith("ipv4:127.0.0.1:")
    assert line == {
        "time": "2026-03-01T12:00:31.123456Z",
        "caller": "agent",
        "method": f"{SERVICE}/CreateRun",
        "run_ids": [RUN_ID],
        "request_id": "r1",
        "code": "OK",
        "reason": "",
    }


def test_a_run_that_was_given_its_id_is_told_by_it(audited: Audited) -> None:
    audited.call("CreateRun", pb.CreateRunRequest())
    audited.call("CreateChildRun", pb.CreateChildRunRequest(parent_run_id="default"))

    first, second = audited.lines()
    assert len(first["run_ids"]) == 1
    assert second["run_ids"][0] == "default"
    assert len(second["run_ids"]) == 2


def test_what_only_reads_is_not_told_unless_it_is_refused(audited: Audited) -> None:
    audited.call("GetRun", pb.GetRunRequest(run_id="default"))
    audited.call("GetRun", pb.GetRunRequest(run_id=RUN_ID))

    (line,) = audited.lines()
    assert (line["method"], line["code"], line["reason"], line["run_ids"]) == (
        f"{SERVICE}/GetRun",
        "NOT_FOUND",
        "RUN_NOT_FOUND",
        [RUN_ID],
    )


@pytest.mark.parametrize(
    ("method", "request_message", "metadata", "told"),
    [
        ("CountRuns", pb.CountRunsRequest(), [], ("", "UNAUTHENTICATED", "CREDENTIALS_MISSING", [])),
        (
            "GetRun",
            pb.GetRunRequest(run_id=RUN_ID),
            [("authorization", f"Bearer {SECRET}")],
            ("", "UNAUTHENTICATED", "CREDENTIALS_INVALID", []),
        ),
        (
            "DeleteRun",
            pb.DeleteRunRequest(run_id=RUN_ID),
            None,
            ("agent", "PERMISSION_DENIED", "PERMISSION_DENIED", []),
        ),
        (
            "CloseRun",
            pb.CloseRunRequest(run_id="default"),
            None,
            ("agent", "FAILED_PRECONDITION", "DEFAULT_RUN_PROTECTED", ["default"]),
        ),
    ],
)
def test_a_refusal_is_told_with_its_reason(
    audited: Audited,
    method: str,
    request_message: Any,
    metadata: Any,
    told: tuple[str, str, str, list[str]],
) -> None:
    """Of a call that was not let in the request is not looked at."""
    audited.call(method, request_message, metadata=metadata)

    (line,) = audited.lines()
    assert (line["caller"], line["code"], line["reason"], line["run_ids"]) == told


def test_nothing_of_what_was_sent_is_told(audited: Audited) -> None:
    metadata = {"fields": {"key": {"string_value": SECRET}}}
    audited.call("CreateRun", pb.CreateRunRequest(tags=[SECRET], metadata=metadata))
    audited.call("FailRun", pb.FailRunRequest(run_id=audited.lines()[0]["run_ids"][0], error=SECRET))
    audited.call("SearchRuns", pb.SearchRunsRequest(query=f"({SECRET}"))

    assert len(audited.lines()) == 3
    text = audited.path.read_text()
    assert SECRET not in text
    assert audited.metadata[0][1].rpartition("_")[2] not in text


def test_what_a_caller_made_up_is_cut_and_stays_on_its_line(audited: Audited) -> None:
    audited.call("GetRun", pb.GetRunRequest(run_id="x\n" * 10_000))

    (line,) = audited.lines()
    assert line["run_ids"] == ["x\n" * 64]


def test_a_stream_that_changes_something_is_told(auditor: Auditor, start: Start, path: Path) -> None:
    server = start(auditor=auditor)
    with grpc.insecure_channel(server.target) as channel:
        list(maintenance_grpc.MaintenanceStub(channel).Compact(maintenance_pb.CompactRequest(), timeout=30))

    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["caller"], line["method"], line["code"]) == ("", "runindex.v1.Maintenance/Compact", "OK")


def test_a_log_that_was_moved_away_is_begun_anew(audited: Audited) -> None:
    audited.call("CreateRun", pb.CreateRunRequest())
    moved = audited.path.with_suffix(".1")
    audited.path.rename(moved)
    audited.call("CreateRun", pb.CreateRunRequest())

    assert len(moved.read_text().splitlines()) == len(audited.lines()) == 1


def test_it_is_its_owners_alone(audited: Audited) -> None:
    assert audited.path.stat().st_mode & 0o777 == 0o600


def test_one_that_cannot_be_written_stops_the_server(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(AuditRefused, match="absent"):
        AuditLog(tmp_path / "absent" / "audit.jsonl", clock)
