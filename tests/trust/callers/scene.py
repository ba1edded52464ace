"""What an attack meets: a server in a process of its own, and a good client that calls it all the while."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.crash.process import ServerProcess
from tests.trust.callers.good import GoodClient
from tests.trust.callers.raw import Raw
from tests.trust.callers.setup import Prepared

MIB: Final = 1024 * 1024
LOOKS_MAX: Final = 500
"""How often something is looked at that has to come about, with some calls of the good client in between."""

CREATE: Final = "/runindex.v1.RunIndex/CreateRun"
GET: Final = "/runindex.v1.RunIndex/GetRun"
LIST: Final = "/runindex.v1.RunIndex/ListRuns"


@dataclass
class Scene:
    """A server under attack.

    Attributes:
        prepared: How the server was started.
        failures: What was wrong, told.
        notes: What is worth telling beside, by name.
        memory_before_mib: What the server held before.
    """

    server: ServerProcess
    good: GoodClient
    prepared: Prepared
    failures: list[str] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    memory_before_mib: float = 0.0

    def __post_init__(self) -> None:
        """Measure the server before it is attacked."""
        self.memory_before_mib = self.memory_mib()

    @property
    def target(self) -> str:
        """Where the server listens."""
        return self.server.target

    def processes(self) -> list[int]:
        """Return the server's processes: one, or a supervisor and its workers."""
        pid = self.server._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *map(int, children.split())]

    def expect(self, what: str, *, is_so: bool) -> None:
        """Take down a failure unless something is so."""
        if not is_so:
            self.failures.append(what)

    async def good_calls(self, count: int) -> None:
        """Let the good client make so many calls."""
        await asyncio.to_thread(self.good.wait_for, count)

    def memory_mib(self, which: str = "VmRSS") -> float:
        """Return how much memory the server holds, or held at most."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self.processes()]
        found = [re.search(rf"{which}:\s+(\d+) kB", status) for status in statuses]
        return sum(int(each.group(1)) for each in found if each is not None) * 1024 / MIB

    def descriptors(self) -> int:
        """Return how many files the server has open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.processes())

    async def has_given_back(self, descriptors: int) -> None:
        """Wait until the server has no more files open than before, but for those of new calls."""
        for _ in range(LOOKS_MAX):
            if self.descriptors() <= descriptors + 2:
                return
            await self.good_calls(10)
        self.failures.append(f"{self.descriptors()} files are open, after {descriptors} before")

    async def has_closed(self, connections: list[Raw]) -> None:
        """Wait until the server has ended all of some connections."""
        for _ in range(LOOKS_MAX):
            if all(raw.is_over for raw in connections):
                return
            await self.good_calls(10)
        self.failures.append(f"{sum(not raw.is_over for raw in connections)} connections stay open")


@asynccontextmanager
async def reading(connections: list[Raw]) -> AsyncIterator[None]:
    """Let connections be read from while the block runs, and cut them at its end."""
    tasks = [asyncio.create_task(raw.read()) for raw in connections]
    try:
        yield
    finally:
        for raw in connections:
            raw.close()
        await asyncio.gather(*tasks)
