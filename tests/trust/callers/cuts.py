"""Connections that are cut in the middle of calls: each write takes place once, whatever its caller saw."""

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

import grpc

from tests.property.wire import Stubs
from tests.support.cutting_proxy import choosing, cutting
from tests.trust.callers.cut_callers import ClientSender, CutCaller, StubSender
from tests.trust.callers.expected import Expected, differences
from tests.trust.callers.scene import Scene

SEED: Final = os.environ.get("RUNINDEX_CUTS_SEED", str(random.getrandbits(32)))
STUB_CALLERS: Final = 6
CLIENT_CALLERS: Final = 2
BYTES_MAX: Final = 1_500
"""A connection carries at most so many bytes in the direction that is counted: a few calls."""

WRITES_MAX: Final = 100
"""Writes of one caller for each case that is asked for. Fewer are lost than this, or nothing is cut."""

FAILURE_CHARACTERS: Final = 1_000
HANGING_S: Final = 3_600.0


async def cut(scene: Scene, cases: int) -> None:
    """Write over connections that are cut until so many attempts were lost, and look at the whole store."""
    await asyncio.to_thread(_cut, scene, cases, repeats=True)


async def cut_and_not_repeated(scene: Scene, cases: int) -> None:
    """Do so, where a write is repeated only until its outcome is known."""
    await asyncio.to_thread(_cut, scene, cases, repeats=False)


def _cut(scene: Scene, cases: int, *, repeats: bool) -> None:
    choose = choosing(random.Random(SEED), bytes_max=BYTES_MAX)
    with cutting(scene.target, choose) as proxy, grpc.insecure_channel(scene.target) as channel:
        direct = Stubs(channel)
        callers = list(_callers(proxy.target, direct, repeats=repeats))
        _work(callers, cases)
        expected: dict[str, Expected] = dict(chain.from_iterable(each.runs.items() for each in callers))
        found = [*chain.from_iterable(each.wrong for each in callers), *differences(direct, expected)]
        scene.failures += [f"seed {SEED}: {one}"[:FAILURE_CHARACTERS] for one in found]
        _tell(scene, callers, proxy.ended)
    lost = _lost(callers)
    scene.expect(f"seed {SEED}: {lost} of {cases} attempts were lost", is_so=bool(found) or lost >= cases)
    late = sum(each.sender.late for each in callers)
    scene.expect(f"seed {SEED}: no answer was lost after its write", is_so=bool(found) or late > 0)


def _callers(target: str, direct: Stubs, *, repeats: bool) -> Iterator[CutCaller]:
    """Yield callers by the stub, and callers by the client."""
    for number in range(STUB_CALLERS):
        yield CutCaller(f"stub-{number}", StubSender(target, direct), direct, SEED, repeats)
    for number in range(CLIENT_CALLERS):
        sender = ClientSender(target, f"{SEED} {number}")
        yield CutCaller(f"client-{number}", sender, direct, SEED, repeats)


def _work(callers: list[CutCaller], cases: int) -> None:
    """Let callers write until enough was lost, or something is wrong."""

    def may_go_on() -> bool:
        is_well = not any(each.wrong for each in callers)
        return (
            is_well and _lost(callers) < cases and sum(each.writes for each in callers) < cases * WRITES_MAX
        )

    threads = [threading.Thread(target=each.work, args=(may_go_on,), daemon=True) for each in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGING_S)
        assert not thread.is_alive(), "a caller hangs"


def _lost(callers: list[CutCaller]) -> int:
    return sum(each.sender.lost.total() for each in callers)


def _tell(scene: Scene, callers: list[CutCaller], ended: Counter) -> None:
    lost: Counter[str] = Counter()
    for each in callers:
        lost += each.sender.lost
    scene.notes |= {
        "seed": SEED,
        "writes": sum(each.writes for each in callers),
        "lost": dict(lost),
        "lost after they took place": sum(each.sender.late for each in callers),
        "connections": {fate.value: count for fate, count in ended.items()},
    }
