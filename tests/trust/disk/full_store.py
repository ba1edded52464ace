"""A store that holds everything, written through the services, and its data file as it was a while before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from runindex.v1 import run_data_pb2 as data_pb
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import templates_pb2 as templates_pb
from runindex_server.jobs.erase import erase_step
from runindex_server.jobs.merge import merge_step
from runindex_server.kv.lmdb_snapshots import DATA_FILE_NAME
from runindex_server.kv.lock_file import STORE_NAME
from tests.support.calls import struct
from tests.support.clock import HOUR_US, SECOND_US, ManualClock
from tests.trust.disk.served import Served, opened

RUNS: Final = 32
DELETED_MERGED: Final = 4
DELETED: Final = 2
LARGE_BYTES: Final = 6_000
"""More than a page: the engine keeps it in pages of its own."""

NAMES: Final = ("a", "b c", "large")
STREAMS: Final = ("log", "out")
DATA_RUNS: Final = range(8, 12)
"""Runs that hold something; and so does the default run."""


def id_of(number: int) -> str:
    """Return the id of a run of the store."""
    return str(UUID(int=number + 1 << 64 | 0x4000 << 48, version=4))


async def fill(data_dir: Path, clock: ManualClock) -> bytes:
    """Make a store that holds everything; return its data file as it was a while before the end."""
    with opened(data_dir, clock) as store:
        served = await Served.over(store, clock)
        for number in range(RUNS):
            await _create(served, clock, number)
        for run_id in ("default", *map(id_of, DATA_RUNS)):
            await _fill_run(served, run_id, turns=2)
        await _live(served, clock, range(RUNS // 2))
        for number in range(1, DELETED_MERGED + 1):
            await served.call("DeleteRun", pb.DeleteRunRequest(run_id=id_of(number)))
        while await merge_step(store) or await erase_step(store):
            pass
        earlier = (data_dir / STORE_NAME / DATA_FILE_NAME).read_bytes()
        await _live(served, clock, range(RUNS // 2, RUNS))
        for run_id in map(id_of, DATA_RUNS[:-DELETED]):
            await _fill_run(served, run_id, turns=1)
        for number in DATA_RUNS[-DELETED:]:
            await served.call("DeleteRun", pb.DeleteRunRequest(run_id=id_of(number), request_id=f"d{number}"))
    return earlier


async def _create(served: Served, clock: ManualClock, number: int) -> None:
    clock.advance(7 * SECOND_US)
    fields: dict[str, Any] = {
        "run_id": id_of(number),
        "tags": ["all", f"n{number % 3}", "aéb"[: 1 + number % 3]],
        "metadata": struct(
            {"name": f"name {number}", "deep": {"list": [number, True]}, "text": "word " * number}
        ),
        "request_id": f"c{number}",
    }
    if number % 3 == 2:
        parent = id_of(number - 1) if number % 2 else id_of(0)
        await served.call("CreateChildRun", pb.CreateChildRunRequest(parent_run_id=parent, **fields))
    else:
        await served.call("CreateRun", pb.CreateRunRequest(**fields))
    if number % 8 == 0:
        template = templates_pb.PutTemplateRequest(
            name=f"template {number}", tags=["t"], metadata=struct({"n": number})
        )
        await served.call("PutTemplate", template)


async def _live(served: Served, clock: ManualClock, numbers: range) -> None:
    """Bring runs into all states, with policies of all kinds."""
    for number in numbers:
        clock.advance(SECOND_US)
        for method, fields in _changes(number):
            request = getattr(pb, f"{method}Request")(
                run_id=id_of(number), request_id=f"{method}{number}", **fields
            )
            await served.call(method, request)


def _changes(number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    policies = (
        pb.RetentionPolicy(keep_latest_n=5),
        pb.RetentionPolicy(keep_duration={"seconds": 3 * HOUR_US // SECOND_US}),
        pb.RetentionPolicy(delete_after={"seconds": 24 * HOUR_US // SECOND_US}),
    )
    if number % 2:
        yield "SetRunRetention", {"policy": policies[number % 3]}
    yield "AddRunTags", {"tags": [f"v{number % 5}"]}
    if number % 5 == 1:
        yield "UpdateRunMetadata", {"metadata": struct({"step": number}), "merge": True}
    lives: tuple[tuple[tuple[str, dict[str, Any]], ...], ...] = (
        (),
        (("PauseRun", {}),),
        (("CloseRun", {}),),
        (("FailRun", {"error": f"it broke at line {number}"}),),
        (("CancelRun", {}),),
        (("FailRun", {"error": "no room"}), ("ArchiveRun", {})),
        (("CloseRun", {}), ("ArchiveRun", {})),
    )
    yield from lives[number % len(lives)]


async def _fill_run(served: Served, run_id: str, *, turns: int) -> None:
    """Write what a run may hold; some of it several times, or deleted again."""
    for turn in range(turns):
        for name in NAMES:
            content = bytes([97 + turn]) * (LARGE_BYTES if name == "large" else 30)
            value = data_pb.DataValue(binary=content)
            await served.call("PutValue", data_pb.PutValueRequest(run_id=run_id, key=name, value=value))
            await served.call("SetState", data_pb.SetStateRequest(run_id=run_id, cell=name, value=value))
            document = ParseDict({"turn": turn, "text": content.decode()}, Value())
            request = data_pb.SetDocumentRequest(run_id=run_id, document=name, value=document)
            await served.call("SetDocument", request)
        drafts = [
            data_pb.EventDraft(stream=stream, value=data_pb.DataValue(json=Value(number_value=number)))
            for number, stream in enumerate(STREAMS * 3)
        ]
        await served.call("AppendEvents", data_pb.AppendEventsRequest(run_id=run_id, events=drafts))
    gone = data_pb.DataValue(binary=b"1")
    await served.call("PutValue", data_pb.PutValueRequest(run_id=run_id, key="gone", value=gone))
    await served.call("DeleteValue", data_pb.DeleteValueRequest(run_id=run_id, key="gone"))
