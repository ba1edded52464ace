"""Callers who write slowly, read slowly or not at all, hang up halfway, or never finish a beginning."""

import asyncio
from contextlib import suppress
from typing import Final

from benchmarks.wire import DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame
from runindex.v1 import run_index_pb2 as pb
from tests.support.calls import struct
from tests.trust.callers.raw import PREFACE, Raw, block, message
from tests.trust.callers.scene import CREATE, GET, LIST, Scene, reading

GOOD_CALLS: Final = 500
BYTES_BETWEEN_CALLS: Final = 10
STREAMS: Final = 120
"""Of a connection that takes nothing: their answers are far more than the server keeps."""

STREAMS_LET_OUT: Final = 16
"""Of one whose answers may all be sent, and are not read: the server does not bound what is under way."""

PAGE_RUNS: Final = 300
RUN_BYTES: Final = 4_000
BACKUP: Final = "/runindex.v1.Maintenance/Backup"
VERIFY: Final = "/runindex.v1.Maintenance/Verify"
WATCH: Final = "/grpc.health.v1.Health/Watch"

CLIENT_HELLO: Final = bytes.fromhex("16030100c8010000c40303")
"""The first bytes of a handshake of TLS, which promise 200 more."""

BEGINNINGS: Final = (
    b"",
    PREFACE[:1],
    PREFACE[:-1],
    PREFACE,
    PREFACE + frame(SETTINGS, 0, 0, b"")[:-1],
    CLIENT_HELLO,
)
"""What is said and then nothing more, by a caller who never gets to a call."""


async def slow_writers(scene: Scene, cases: int) -> None:
    """Write calls a byte at a time, each on a connection of its own; all are answered in the end."""
    opened = [await Raw.open(scene.target) for _ in range(cases)]
    data = message(pb.GetRunRequest(run_id="default").SerializeToString())
    call = frame(HEADERS, END_HEADERS, 1, block(GET)) + frame(DATA, END_STREAM, 1, data)
    async with reading(opened):
        await _silenced(opened)
        for position in range(len(call)):
            for raw in opened:
                raw.writer.write(call[position : position + 1])
            await asyncio.sleep(0)
            if position % BYTES_BETWEEN_CALLS == 0:
                await scene.good_calls(BYTES_BETWEEN_CALLS)
        await asyncio.gather(*(raw.ended(1) for raw in opened))
        answered = sum(1 in raw.ends and raw.ends[1].code == 0 for raw in opened)
        scene.expect(f"{answered} of {cases} slow calls were answered", is_so=answered == cases)


async def closed_windows(scene: Scene, cases: int) -> None:
    """Ask for pages, copies, verifications and watches, and let the server send nothing of them."""
    await _fill(scene)
    opened = [await Raw.open(scene.target, window_bytes=0) for _ in range(cases)]
    await _unread(scene, opened, STREAMS)


async def full_sockets(scene: Scene, cases: int) -> None:
    """Ask for them, let the server send all, and read nothing."""
    await _fill(scene)
    opened = [await Raw.open(scene.target) for _ in range(cases)]
    for raw in opened:
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]  # A socket's transport can.
    await _unread(scene, opened, STREAMS_LET_OUT)


async def _unread(scene: Scene, opened: list[Raw], streams: int) -> None:
    page = pb.ListRunsRequest(page_size=PAGE_RUNS).SerializeToString()
    try:
        for raw in opened:
            for _ in range(streams):
                raw.call(LIST, page)
            for path in (BACKUP, VERIFY, WATCH):
                raw.call(path, b"")
            await raw.writer.drain()
        await scene.good_calls(GOOD_CALLS)
        scene.notes["MiB held at once"] = round(scene.memory_mib() - scene.memory_before_mib)
    finally:
        for raw in opened:
            raw.close()


async def half_open(scene: Scene, cases: int) -> None:
    """Hang up in one direction: before a call, within one, and after one; and vanish."""
    opened = [await Raw.open(scene.target) for _ in range(cases)]
    async with reading(opened):
        await _silenced(opened)
        for number, raw in enumerate(opened):
            if number % 4 == 1:
                raw.headers(CREATE)
            elif number % 4 > 1:
                raw.call(GET, pb.GetRunRequest(run_id="default").SerializeToString())
            if number % 4 == 3:
                raw.close()
            else:
                with suppress(ConnectionError, OSError):
                    raw.writer.write_eof()
        await scene.good_calls(GOOD_CALLS)
        await scene.has_closed(opened)


async def unfinished(scene: Scene, cases: int) -> None:
    """Begin connections and never finish the beginning: the server ends them after its time for that."""
    opened = [await Raw.silent(scene.target) for _ in range(cases)]
    async with reading(opened):
        for number, raw in enumerate(opened):
            raw.writer.write(BEGINNINGS[number % len(BEGINNINGS)])
        await scene.good_calls(GOOD_CALLS)
        await scene.has_closed(opened)


async def _silenced(opened: list[Raw]) -> None:
    """Wait until all are greeted, and answer nothing from then on: it would come between other bytes."""
    for raw in opened:
        await raw.greeted()
        raw.is_silent = True


async def _fill(scene: Scene) -> None:
    """Create so many runs that a page of them is long."""
    text = {"text": "x" * RUN_BYTES}
    request = pb.CreateRunRequest(metadata=struct(text)).SerializeToString()
    raw = await Raw.open(scene.target)
    async with reading([raw]):
        for _ in range(PAGE_RUNS):
            raw.call(CREATE, request)
            await raw.ended(raw.begun)
