"""The supervisor: in which order workers start, what becomes of those that end, and how all of it ends."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import pytest

from runindex_server.exit_codes import EXIT_FATAL
from runindex_server.logs import configure_logs
from runindex_server.supervisor import backoff, supervisor
from runindex_server.supervisor.memory import WorkerMemory
from runindex_server.supervisor.supervisor import Supervisor
from tests.support.clock import HOUR_US, ManualClock

WAIT_S = 30.0


class FakeWorker:
    """A worker that does what the test says."""

    def __init__(self, number: int, *, is_first: bool, obeys: bool) -> None:
        self.pid = 1000 + number
        self.number = number
        self.is_first = is_first
        self.asked: list[str] = []
        self._obeys = obeys
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def say_ready(self) -> None:
        self._ready.set_result(True)

    def end(self, code: int) -> None:
        if not self._ready.done():
            self._ready.set_result(False)
        if not self._code.done():
            self._code.set_result(code)

    async def is_ready(self) -> bool:
        return await asyncio.shield(self._ready)

    async def ended(self) -> int:
        return await asyncio.shield(self._code)

    def terminate(self) -> None:
        self.asked.append("terminate")
        if self._obeys:
            self.end(0)

    def kill(self) -> None:
        self.asked.append("kill")
        self.end(-signal.SIGKILL)


class World:
    """A supervisor of three fake workers."""

    def __init__(self, *, drain_s: float = WAIT_S) -> None:
        self.clock = ManualClock()
        self.clock.advance(HOUR_US)
        self.memory = WorkerMemory.create()
        self.store: object = "the store"
        self.obeys = True
        self.refuses_to_fork = False
        self.announced = asyncio.Event()
        self.started: asyncio.Queue[FakeWorker] = asyncio.Queue()
        self.supervisor = Supervisor(
            self,
            workers=3,
            memory=self.memory,
            store_identity=lambda: self.store,
            drain_s=drain_s,
            clock=self.clock,
        )
        self.run = asyncio.create_task(self.supervisor.run(announce=self._announce))

    def launch(self, number: int, *, is_first: bool) -> FakeWorker:
        if self.refuses_to_fork:
            self.refuses_to_fork = False
            raise BlockingIOError
        worker = FakeWorker(number, is_first=is_first, obeys=self.obeys)
        self.started.put_nowait(worker)
        return worker

    def _announce(self) -> None:
        assert not self.announced.is_set()
        self.announced.set()

    async def next(self) -> FakeWorker:
        """Return the next worker that is started."""
        return await asyncio.wait_for(self.started.get(), WAIT_S)

    async def all(self) -> list[FakeWorker]:
        """Return the workers, once all of them serve."""
        workers = []
        for _ in range(3):
            workers.append(await self.next())
            workers[-1].say_ready()
        await self.announced.wait()
        return workers

    async def code(self) -> int:
        return await asyncio.wait_for(self.run, WAIT_S)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no pause take time."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.0)


@pytest.fixture
def log() -> Iterator[StringIO]:
    stream = StringIO()
    with redirect_stderr(stream):
        configure_logs("info", "json")
    yield stream
    configure_logs("warning", "json")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), WAIT_S))


def test_workers_start_one_after_the_other() -> None:
    async def test() -> None:
        world = World()
        for number in range(3):
            worker = await world.next()
            assert (worker.number, worker.is_first) == (number, number == 0)
            await asyncio.sleep(0)
            assert world.started.empty()
            assert not world.announced.is_set()
            worker.say_ready()
        await world.announced.wait()
        world.supervisor.stop()
        assert await world.code() == 0

    run(test)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("ended", "code"), [(1, 1), (70, 70), (-signal.SIGSEGV, 128 + signal.SIGSEGV)])
def test_a_worker_that_refuses_at_its_first_start_ends_all(number: int, ended: int, code: int) -> None:
    async def test() -> None:
        world = World()
        workers = []
        for _ in range(number):
            workers.append(await world.next())
            workers[-1].say_ready()
        (await world.next()).end(ended)

        assert await world.code() == code
        assert [worker.asked[:1] for worker in workers] == [["terminate"]] * number
        assert not world.announced.is_set()
        assert world.started.empty()

    run(test)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    ("code", "told"),
    [(-signal.SIGKILL, "SIGKILL"), (-40, "signal 40"), (EXIT_FATAL, "exit code 70"), (0, "exit code 0")],
)
def test_a_worker_that_ends_is_started_again(log: StringIO, number: int, code: int, told: str) -> None:
    async def test() -> None:
        world = World()
        workers = await world.all()
        world.memory.slot(number, world.clock).begin()
        workers[number].end(code)
        replacement = await world.next()

        # The store is open in other processes: it is not the first, and what it held is forgotten.
        assert (replacement.number, replacement.is_first) == (number, False)
        assert world.memory.holding_since_us(number) == 0
        replacement.say_ready()
        world.supervisor.stop()
        assert await world.code() == 0

    run(test)
    assert f'"by": "{told}"' in log.getvalue()
    assert f'"worker": {number}, "pid": {1000 + number}' in log.getvalue()


def test_a_worker_that_refuses_later_is_tried_again_and_again() -> None:
    async def test() -> None:
        world = World()
        workers = await world.all()
        workers[1].end(1)
        for _ in range(5):
            (await world.next()).end(1)
        world.refuses_to_fork = True
        (await world.next()).end(1)
        replacement = await world.next()
        assert replacement.number == 1
        replacement.say_ready()
        world.supervisor.stop()
        assert await world.code() == 0

    run(test)


def test_workers_that_end_together_start_one_after_the_other() -> None:
    async def test() -> None:
        world = World()
        for worker in await world.all():
            worker.end(-signal.SIGKILL)
        numbers = set()
        for _ in range(3):
            worker = await world.next()
            numbers.add(worker.number)
            await asyncio.sleep(0)
            assert world.started.empty()
            worker.say_ready()
        assert numbers == {0, 1, 2}
        world.supervisor.stop()
        assert await world.code() == 0

    run(test)


def test_a_replacement_that_does_not_start_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "START_S_MAX", 0.0)

    async def test() -> None:
        world = World()
        # The first may take its time; the others are ready before anybody looks.
        first = await world.next()
        await asyncio.sleep(0)
        assert first.asked == []
        world.supervisor.stop()
        assert await world.code() == 0

    run(test)

    async def hang() -> None:
        monkeypatch.setattr(supervisor, "START_S_MAX", WAIT_S)
        world = World()
        workers = await world.all()
        monkeypatch.setattr(supervisor, "START_S_MAX", 0.0)
        workers[2].end(1)
        hanging = await world.next()
        monkeypatch.setattr(supervisor, "START_S_MAX", WAIT_S)
        replacement = await world.next()
        assert hanging.asked == ["kill"]
        replacement.say_ready()
        world.supervisor.stop()
        assert await world.code() == 0

    run(hang)


def test_a_store_that_was_replaced_ends_all() -> None:
    async def test() -> None:
        world = World()
        workers = await world.all()
        world.store = "another store"
        workers[0].end(-signal.SIGKILL)

        assert await world.code() == EXIT_FATAL
        assert world.started.empty()
        assert [worker.asked[:1] for worker in workers[1:]] == [["terminate"]] * 2

    run(test)


def test_a_store_that_was_replaced_ends_all_though_no_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at each second: nobody may write for a long time."""
    monkeypatch.setattr(supervisor, "LOOK_INTERVAL_US", 0)

    async def test() -> None:
        world = World()
        workers = await world.all()
        world.store = "another store"

        assert await world.code() == EXIT_FATAL
        assert [worker.asked[:1] for worker in workers] == [["terminate"]] * 3

    run(test)


def test_who_holds_the_write_lock_too_long_is_killed_and_replaced(
    log: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_INTERVAL_US", 0)

    async def test() -> None:
        world = World()
        workers = await world.all()
        world.memory.slot(1, world.clock).begin()
        while not workers[1].asked:
            world.clock.advance(1_000_000)
            await asyncio.sleep(0)
        assert [worker.asked for worker in workers] == [[], ["kill"], []]
        (await world.next()).say_ready()
        world.supervisor.stop()
        assert await world.code() == 0

    run(test)
    assert '"reason": "it held the write lock for 10 s"' in log.getvalue()


@pytest.mark.parametrize("started", range(4))
def test_it_can_be_stopped_while_it_starts(started: int) -> None:
    async def test() -> None:
        world = World()
        workers = []
        for number in range(min(started + 1, 3)):
            workers.append(await world.next())
            if number < started:
                workers[-1].say_ready()
        world.supervisor.stop()

        assert await world.code() == 0
        assert all(worker.asked[:1] == ["terminate"] for worker in workers)
        assert world.started.empty()

    run(test)


def test_workers_that_do_not_stop_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STOP_S", 0.0)

    async def test() -> None:
        world = World(drain_s=0.0)
        world.obeys = False
        workers = await world.all()
        world.supervisor.stop()
        assert await world.code() == 0
        assert all(worker.asked[-1] == "kill" for worker in workers)

    run(test)


def test_all_can_be_killed_at_once() -> None:
    async def test() -> None:
        world = World()
        world.obeys = False
        workers = await world.all()
        world.supervisor.stop()
        assert world.supervisor.is_stopping
        world.supervisor.kill()
        assert await world.code() == 0
        assert all(worker.asked[:2] == ["terminate", "kill"] for worker in workers)

    run(test)
