"""Connections that are opened and left alone, up to as many as the server takes and beyond."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from runindex_server.rpc.server import CHANNEL_OPTIONS
from tests.trust.callers.raw import Raw
from tests.trust.callers.scene import GET, Scene, reading

CONNECTIONS_MAX: Final = dict(CHANNEL_OPTIONS)["grpc.max_allowed_incoming_connections"]
AT_ONCE: Final = 250
"""Connections that are opened at one time: fewer than the kernel lets wait."""

GOOD_CALLS: Final = 500
BEYOND: Final = 20


async def idle(scene: Scene, cases: int) -> None:
    """Open connections, as any client does, and say nothing more."""
    async with AsyncExitStack() as stack:
        opened = await _opened(scene, stack, cases)
        before = scene.descriptors()
        await scene.good_calls(GOOD_CALLS)
        scene.expect(f"{before} files are open", is_so=before >= cases)
        gone = sum(raw.is_over for raw in opened)
        scene.expect(f"{gone} idle connections were ended", is_so=gone == 0)
        scene.notes["KiB a connection"] = round(_growth_kib(scene) / cases, 1)


async def beyond_the_limit(scene: Scene, cases: int) -> None:
    """Open as many as the server takes, and some more: these are refused, and nobody else is."""
    async with AsyncExitStack() as stack:
        # Some room, since it is not told how many are open already.
        opened = await _opened(scene, stack, min(cases, CONNECTIONS_MAX - 5))
        more = [await Raw.open(scene.target) for _ in range(BEYOND)]
        await stack.enter_async_context(reading(more))
        for _ in range(GOOD_CALLS // 10):
            await scene.good_calls(10)
            if sum(raw.is_over for raw in more) >= BEYOND - 5:
                break
        refused = sum(raw.is_over for raw in more)
        scene.notes["refused"] = refused
        scene.expect(f"{refused} of {BEYOND} beyond the limit were refused", is_so=refused >= BEYOND - 5)
        gone = sum(raw.is_over for raw in opened)
        scene.expect(f"{gone} connections within the limit were ended", is_so=gone == 0)
        answered = opened[-1]
        answered.call(GET, b"\x0a\x07default")
        await answered.ended(1)
        scene.expect("a connection within the limit is not served", is_so=answered.ends[1].code == 0)


async def _opened(scene: Scene, stack: AsyncExitStack, count: int) -> list[Raw]:
    """Open connections, and wait until the server has greeted each."""
    opened: list[Raw] = []
    while len(opened) < count:
        some = await asyncio.gather(
            *(Raw.open(scene.target) for _ in range(min(AT_ONCE, count - len(opened))))
        )
        await stack.enter_async_context(reading(some))
        await asyncio.gather(*(raw.greeted() for raw in some))
        opened += some
    return opened


def _growth_kib(scene: Scene) -> float:
    return (scene.memory_mib() - scene.memory_before_mib) * 1024
