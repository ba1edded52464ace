"""One attack against a server of its own: what the good client met meanwhile, and what was left of it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.crash.process import check_data_dir, serving
from tests.trust.callers.good import PAUSE_S, Calls, calling_well
from tests.trust.callers.scene import Scene
from tests.trust.callers.setup import Prepared, plain

P99_MS_MAX: Final = 100.0
"""Within this most of a good client's calls are answered on a quiet machine, whatever others do."""

GROWTH_MIB_MAX: Final = 250.0
AFTERWARDS_CALLS: Final = 50


@dataclass(frozen=True)
class Attack:
    """An attack.

    Attributes:
        run: Attacks with so many cases.
        cases: In a test.
        cases_max: In a longer trial.
        prepare: How the server is started, in a folder of its own.
        pause_s: Between two calls of the good client.
        reconnects: Whether the good client opens a new connection now and then.
        is_flood: Whether it is made of more honest calls than can be served. They are taken in the order in
            which they come, so that everybody waits for them; and anybody's may be refused by name.
    """

    name: str
    run: Callable[[Scene, int], Coroutine[Any, Any, None]]
    cases: int
    cases_max: int
    prepare: Callable[[Path], Prepared] = plain
    pause_s: float = PAUSE_S
    reconnects: bool = True
    is_flood: bool = False


@dataclass(frozen=True)
class Trial:
    """What came of an attack.

    Attributes:
        calls: The good client's.
        memory_mib: The server's: before, at most, and after.
        failures: What was wrong, told.
        notes: What is worth telling beside, by name.
    """

    attack: Attack
    cases: int
    calls: Calls
    memory_mib: tuple[float, float, float]
    failures: list[str]
    notes: dict[str, object] = field(default_factory=dict)


def tried(attack: Attack, folder: Path, cases: int) -> Trial:
    """Attack a new server."""
    data_dir, prepared = folder / "data", attack.prepare(folder)
    with ExitStack() as stack:
        with prepared.in_environment():
            server = stack.enter_context(serving(data_dir, *prepared.arguments))
        token, authority = prepared.tokens.get("good", ""), prepared.authority
        good = stack.enter_context(
            calling_well(
                server.target,
                token=token,
                authority=authority,
                pause_s=attack.pause_s,
                reconnects=attack.reconnects,
            )
        )
        scene = Scene(server, good, prepared)
        before, files = scene.memory_before_mib, scene.descriptors()
        good.begin()
        asyncio.run(_attack(scene, attack, cases, files))
        calls = good.end()
        memory = (before, scene.memory_mib("VmHWM"), scene.memory_mib())
        scene.expect(f"the server's memory grew: {memory}", is_so=memory[1] - before <= GROWTH_MIB_MAX)
        server.terminate()
        scene.expect("the server did not end well", is_so=server.exit_code() == 0)
        logged = server.logged()
    scene.expect(f"the server logged {logged[:2_000]}", is_so='"error"' not in logged)
    asyncio.run(check_data_dir(data_dir))
    scene.expect(f"{calls.shed} good calls were refused", is_so=attack.is_flood or not calls.shed)
    return Trial(attack, cases, calls, memory, [*scene.failures, *calls.failures], scene.notes)


async def _attack(scene: Scene, attack: Attack, cases: int, files: int) -> None:
    await attack.run(scene, cases)
    await scene.has_given_back(files)
    await scene.good_calls(AFTERWARDS_CALLS)
