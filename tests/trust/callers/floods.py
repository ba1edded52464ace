"""More calls than can be served: each is answered, or refused by name with the time of the next try, and
what was acknowledged is there; and calls whose time is over when they come.
"""

import asyncio
from collections import Counter
from typing import Final

import grpc

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.rpc.server import CHANNEL_OPTIONS
from tests.trust.callers.raw import End, Raw
from tests.trust.callers.scene import CREATE, Scene, reading

AT_ONCE: Final = dict(CHANNEL_OPTIONS)["grpc.max_concurrent_streams"] // 2
"""Calls under way on one connection. A stream counts for a while after its end: half of what the server lets
one have is surely let in, also when it has much else to do."""

UNDER_WAY: Final = 8_000
"""Calls under way altogether: more than the writes that may wait."""

CONNECTIONS: Final = UNDER_WAY // AT_ONCE
BURST: Final = 100
OK, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE = 0, 4, 8, 14
FLOOD_TAG: Final = "flood"
PAGE_RUNS: Final = 1_000
PAGES_MAX: Final = 1_000
SHED: Final = {UNAVAILABLE: "OVERLOADED", RESOURCE_EXHAUSTED: "RATE_LIMITED"}
"""How a call may be refused because there are too many."""


async def overload(scene: Scene, cases: int) -> None:
    """Create runs from several connections, with thousands of calls under way."""
    ends = await _flooded(scene, cases)
    _check_shed(scene, ends, cases)
    await asyncio.to_thread(_check_created, scene, ends)


async def overload_of_a_slow_disk(scene: Scene, cases: int) -> None:
    """Do so where commits take long: more writes wait than may, and the rest is refused by name."""
    await overload(scene, cases)
    scene.expect("nothing was refused", is_so="OVERLOADED" in str(scene.notes))


async def too_often(scene: Scene, cases: int) -> None:
    """Call far more often than a caller may, where calls are counted by caller."""
    ends = await _flooded(scene, cases, authorization=f"Bearer {scene.prepared.tokens['flooder']}")
    _check_shed(scene, ends, cases)
    scene.expect("nothing was refused", is_so="RATE_LIMITED" in str(scene.notes))
    await asyncio.to_thread(_check_created, scene, ends)


async def expired(scene: Scene, cases: int) -> None:
    """Send calls whose deadline has passed when they come."""
    ends = await _flooded(scene, cases, grpc_timeout="1n")
    codes = Counter(end.code for end in ends)
    scene.notes["codes"] = dict(codes)
    done = codes[OK]
    scene.expect(f"ended by {codes}", is_so=codes.keys() <= {DEADLINE_EXCEEDED})
    scene.expect(f"{done} expired calls were answered", is_so=done == 0)
    # gRPC itself ends a call whose time is over while it is served, as one that may have taken place.
    unknown = sum(end.reason != "NOT_EXECUTED" for end in ends)
    await asyncio.to_thread(_check_created, scene, [end for end in ends if end.code == OK], unknown)


async def _flooded(scene: Scene, cases: int, **fields: str) -> list[End]:
    """Make so many calls, and return how each ended."""
    opened = [await Raw.open(scene.target) for _ in range(CONNECTIONS)]
    async with reading(opened):
        shares = [len(range(number, cases, CONNECTIONS)) for number in range(CONNECTIONS)]
        floods = zip(opened, shares, range(CONNECTIONS), strict=True)
        await asyncio.gather(*(_flood(*flood, fields) for flood in floods))
        scene.notes["resets without a status"] = sum(len(raw.resets - raw.ends.keys()) for raw in opened)
        return [end for raw in opened for end in raw.ends.values()]


async def _flood(raw: Raw, cases: int, number: int, fields: dict[str, str]) -> None:
    await raw.greeted()
    for begun in range(cases):
        request = pb.CreateRunRequest(tags=[FLOOD_TAG], request_id=f"{number}-{begun}")
        raw.call(CREATE, request.SerializeToString(), **fields)
        if begun % BURST == 0:
            await raw.writer.drain()
        await raw.ended(begun - AT_ONCE)
    await raw.ended(cases)


def _check_shed(scene: Scene, ends: list[End], cases: int) -> None:
    """Check that each call was answered, or refused by name with the time of the next try."""
    counted = Counter(end.reason or end.code for end in ends)
    scene.notes["ends"] = dict(counted)
    scene.expect(f"{len(ends)} of {cases} calls ended with a status", is_so=len(ends) == cases)
    for end in ends:
        is_shed = SHED.get(end.code) == end.reason and end.retries_after
        if end.code != OK and not is_shed:
            scene.failures.append(f"a call ended with {end}")
            return


def _check_created(scene: Scene, ends: list[End], unknown: int = 0) -> None:
    """Check that the runs of answered calls are there, and no others but those of unknown outcome."""
    created = {pb.CreateRunResponse.FromString(end.message()).run.run_id for end in ends if end.code == OK}
    found: set[str] = set()
    request = pb.QueryRunsByTagRequest(tag=FLOOD_TAG, page_size=PAGE_RUNS, view=pb.RUN_VIEW_ID_ONLY)
    metadata = scene.prepared.metadata()
    with grpc.insecure_channel(scene.target) as channel:
        stub = RunIndexStub(channel)
        for _ in range(PAGES_MAX):
            page = stub.QueryRunsByTag(request, metadata=metadata)
            found |= {run.run_id for run in page.runs}
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    scene.expect(f"{len(created - found)} acknowledged runs are lost", is_so=created <= found)
    scene.expect(f"{len(found - created)} refused calls took place", is_so=len(found - created) <= unknown)
