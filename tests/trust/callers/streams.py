"""Streams that are begun and never finished, and streams that are given up as soon as they are begun."""

import asyncio
from contextlib import suppress
from typing import Final

from benchmarks.wire import DATA, END_STREAM, frame
from runindex.v1 import run_index_pb2 as pb
from runindex_server.rpc.server import CHANNEL_OPTIONS
from tests.trust.callers.raw import Raw, message
from tests.trust.callers.scene import CREATE, GET, Scene, reading

STREAMS: Final = dict(CHANNEL_OPTIONS)["grpc.max_concurrent_streams"]
"""As many as a connection may have."""

RESETS_AT_ONCE: Final = 100
ROUNDS_MAX: Final = 10_000
GOOD_CALLS: Final = 500
GOOD_CALLS_IN_BETWEEN: Final = 20


async def header_only(scene: Scene, cases: int) -> None:
    """Begin calls and send no message, over several connections; finish some of them in the end."""
    count = -(-cases // STREAMS)
    connections = [await Raw.open(scene.target) for _ in range(count)]
    async with reading(connections):
        for raw in connections:
            for _ in range(STREAMS):
                raw.headers(GET)
            await raw.writer.drain()
        await scene.good_calls(GOOD_CALLS)
        begun = sum(len(raw.ends) + len(raw.resets) for raw in connections)
        scene.expect(f"{begun} calls without a message were ended", is_so=begun == 0)
        first = connections[0]
        for stream in range(1, STREAMS, 2):
            data = message(pb.GetRunRequest(run_id="default").SerializeToString())
            first.writer.write(frame(DATA, END_STREAM, stream, data))
        await first.ended(STREAMS // 2)
        answered = sum(end.code == 0 for end in first.ends.values())
        scene.expect(f"{answered} of {STREAMS // 2} were answered in the end", is_so=answered == STREAMS // 2)


async def rapid_reset(scene: Scene, cases: int, connections: int = 1) -> None:
    """Begin calls and reset each at once, as fast as the connections take it; come back when cut off."""
    sent = rounds = 0
    while rounds < ROUNDS_MAX and sent < cases:
        rounds += 1
        opened = [await Raw.open(scene.target) for _ in range(connections)]
        async with reading(opened):
            while sent < cases and not all(raw.is_over for raw in opened):
                for raw in opened:
                    sent += _reset(raw)
                    with suppress(ConnectionError):
                        await raw.writer.drain()
                    # Even when nothing has to be waited for, what the server sends is read.
                    await asyncio.sleep(0)
            await scene.good_calls(GOOD_CALLS_IN_BETWEEN)
    scene.notes["connections used"] = rounds * connections
    scene.expect(f"{sent} of {cases} calls were reset", is_so=sent >= cases)


async def rapid_reset_of_several(scene: Scene, cases: int) -> None:
    """Do so over several connections at once."""
    await rapid_reset(scene, cases, connections=4)


def _reset(raw: Raw) -> int:
    """Begin some calls and reset them; return how many."""
    if raw.is_over:
        return 0
    for _ in range(RESETS_AT_ONCE):
        raw.reset(raw.headers(CREATE))
    return RESETS_AT_ONCE
