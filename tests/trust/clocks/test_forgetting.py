"""Answers to request ids are remembered for a day of time that really passes, whatever the wall clock does.

One that is forgotten too early lets a retried write be applied twice.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import pytest

from runindex_server.jobs.purge import AnswerAges
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.jobs.runner import JobRunner
from runindex_server.kv.api import ReadTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions, RequestKey
from runindex_server.runs.run_index import add_run_tags, create_run
from runindex_server.schema import keys
from runindex_server.schema.run import KEEP_ALL, RunId
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, ManualClock
from tests.support.tally import Tally

YEAR_US: Final = 365 * DAY_US
HOURS: Final = 56
NEMESIS_HOUR: Final = 12
SLACK_US: Final = 3 * HOUR_US
"""How much longer than needed an answer may be remembered: notes are hourly, and a nemesis takes its time."""

SMALL_US: Final = HOUR_US // 2
"""A jump that the guard of the clock takes for the right time."""

RUN_ID: Final = RunId(bytes(15) + b"r")


class World:
    """A store with its jobs, which start again when told to.

    Attributes:
        given: The answers given, by their request ids: when, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock, initialise=initialise)
        self.given: dict[str, int] = {}
        self.start()
        asyncio.run(self.store.write(partial(create_run, draft=Draft(run_id=RUN_ID))))

    def start(self) -> None:
        """Start the jobs again, as a new process does."""
        retention = Retention(self.store, clock=self.clock, default_policy=KEEP_ALL, interval_s=0)
        self._jobs = JobRunner(
            self.store,
            clock=self.clock,
            request_id_retention_s=DAY_US // SECOND_US,
            retention=retention,
        )
        self.run_jobs()

    def run_jobs(self) -> None:
        """Let the jobs do all there is to do."""
        asyncio.run(self._jobs.run_until_idle())

    def answer(self) -> None:
        """Answer two requests: one that moves the store's time on for certain, and one that may not."""
        for is_new in (True, False):
            number = len(self.given)
            key = RequestKey(caller="", request_id=str(number), digest=bytes(16))
            run_id = RunId(b"n" * 8 + number.to_bytes(8))
            create = partial(create_run, draft=Draft(run_id=run_id), request=key)
            change = partial(add_run_tags, run_id=RUN_ID, tags=[], conditions=Conditions(request=key))
            asyncio.run(self.store.write(create if is_new else change))
            self.given[str(number)] = self.clock.monotonic_us()

    def remembered(self) -> set[str]:
        """Return the request ids that are remembered."""

        def read(txn: ReadTxn) -> list[bytes]:
            return [key for key, _ in txn.scan(*keys.REQUEST_BY_TIME.range)]

        return {keys.split_request_by_time(key)[2] for key in asyncio.run(self.store.read(read))}

    def younger_than(self, us: int) -> set[str]:
        """Return the request ids that were answered within so much time."""
        now_us = self.clock.monotonic_us()
        return {name for name, given_us in self.given.items() if now_us - given_us < us}


def jump(us: int) -> Callable[[World], None]:
    """Return what sets the wall clock to another time."""
    return lambda world: world.clock.set(max(0, world.clock.now_us() + us))


def jump_and_back(us: int) -> Callable[[World], None]:
    """Return what sets the wall clock wrong, answers, and puts it right."""

    def move(world: World) -> None:
        jump(us)(world)
        world.run_jobs()
        world.answer()
        jump(-us)(world)

    return move


def creep(world: World) -> None:
    """Set the wall clock ahead again and again, each time by too little to be noticed."""
    for _ in range(100):
        jump(SMALL_US)(world)
        world.clock.advance(MINUTE_US)
        world.run_jobs()


def jump_while_down(world: World) -> None:
    """Start on a machine whose clock was set wrong meanwhile."""
    jump(YEAR_US)(world)
    world.start()


def to_1970(world: World) -> None:
    """Forget the time."""
    world.clock.set(0)


def past_2038(world: World) -> None:
    """Go beyond what 32 bits of seconds can tell."""
    world.clock.set(2**31 * SECOND_US)


NEMESES: Final[dict[str, Callable[[World], None]]] = {
    "a quiet clock": lambda _: None,
    "one hour back": jump(-HOUR_US),
    "ten years on": jump(10 * YEAR_US),
    "two days on": jump(2 * DAY_US),
    "too little to be noticed": jump(SMALL_US),
    "a year on and back": jump_and_back(YEAR_US),
    "two days back and on": jump_and_back(-2 * DAY_US),
    "creeping": creep,
    "while it was down": jump_while_down,
    "1970": to_1970,
    "2038": past_2038,
}


@dataclass(frozen=True)
class Outcome:
    """What became of answers.

    Attributes:
        given: How many there were.
        early: Those that were forgotten within a day.
        late: Those that were remembered for much longer.
    """

    given: int
    early: set[str]
    late: set[str]


def outcome_of(nemesis: Callable[[World], None], *, is_idle: bool) -> Outcome:
    """Answer for more than two days, on one of which the clock goes wrong.

    Args:
        nemesis: What it does.
        is_idle: Whether nothing is answered before: the store's time then follows the clock back.
    """
    world = World()
    early: set[str] = set()
    for hour in range(HOURS):
        world.clock.advance(HOUR_US)
        if hour == NEMESIS_HOUR:
            nemesis(world)
        world.run_jobs()
        if hour >= NEMESIS_HOUR or not is_idle:
            world.answer()
        early |= world.younger_than(DAY_US) - world.remembered()
    world.run_jobs()
    late = world.remembered() - world.younger_than(DAY_US + SLACK_US)
    return Outcome(len(world.given), early, late)


@pytest.mark.parametrize("is_idle", [False, True], ids=["busy", "idle"])
@pytest.mark.parametrize("nemesis", NEMESES.values(), ids=NEMESES)
def test_answers_are_remembered_for_a_day_and_forgotten_then(
    nemesis: Callable[[World], None], *, is_idle: bool, tally: Tally
) -> None:
    found = outcome_of(nemesis, is_idle=is_idle)
    failures = len(found.early | found.late)
    tally("answers to requests under a clock that jumps", runs=found.given, failures=failures)
    assert found.early == set()
    assert found.late == set()


def test_answers_that_are_forgotten_by_the_wall_clock_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: an age that is told by the wall clock alone."""

    async def old_before_us(self: AnswerAges, _: MemoryStore) -> int:
        return max(0, self._clock.now_us() - self._retention_us)

    monkeypatch.setattr(AnswerAges, "old_before_us", old_before_us)
    assert outcome_of(NEMESES["a quiet clock"], is_idle=False).early == set()
    for name in ("ten years on", "creeping", "while it was down", "two days back and on"):
        assert outcome_of(NEMESES[name], is_idle=True).early | outcome_of(NEMESES[name], is_idle=False).early
    assert outcome_of(NEMESES["a year on and back"], is_idle=True).late
