"""What is bounded in time, under clocks that go wrong: rates, tokens, the audit log, retention."""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from runindex_server.access.audit import AuditedCall, AuditLog
from runindex_server.access.caller import Role
from runindex_server.access.rates import Rates
from runindex_server.access.token_file import LiveTokens, add_token, remove_token
from runindex_server.access.tokens import new_token
from runindex_server.errors import ClockJumped, RateLimited
from runindex_server.jobs.retention.enforcement import Retention
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.runs.run_index import close_run, create_run
from runindex_server.schema import keys
from runindex_server.schema.run import RetentionPolicy, RunId
from tests.support.clock import DAY_US, HOUR_US, SECOND_US, ManualClock
from tests.support.tally import Tally
from tests.trust.clocks.nemesis import NEMESES, STEP_US, SUDDEN, Nemesis, NemesisClock, moment, steady

CALLS: Final = 300
CALLS_PER_S: Final = 4
DAYS: Final = 10
RUNS: Final = 5

every_nemesis: Final = pytest.mark.parametrize("nemesis", NEMESES, ids=lambda one: one.__name__)


def allowed(nemesis: Nemesis) -> list[int]:
    """Return of many calls which a caller may make: 1 for those, 0 for those that are told to come again."""
    clock = NemesisClock(nemesis)
    rates = Rates(CALLS_PER_S, clock)
    found: list[int] = []
    for _ in range(CALLS):
        clock.now_us()
        try:
            rates.check("caller")
        except RateLimited as error:
            found.append(0 if 0 < error.retry_after_ms <= 1_000 else -1)
        else:
            found.append(1)
    return found


@every_nemesis
def test_rates_do_not_depend_on_the_wall_clock(nemesis: Nemesis, tally: Tally) -> None:
    expected, found = allowed(steady), allowed(nemesis)
    tally("calls bounded under a clock that jumps", runs=CALLS, failures=int(expected != found))
    assert expected == found
    assert set(found) == {0, 1}


class NotingClock(NemesisClock):
    """A clock that goes wrong, and notes what it told last."""

    told_us = 0

    def now_us(self) -> int:
        """Return the time, in microseconds since 1970-01-01 UTC."""
        self.told_us = super().now_us()
        return self.told_us


@every_nemesis
def test_a_token_is_good_as_long_as_the_clock_says_so(nemesis: Nemesis, tmp_path: Path, tally: Tally) -> None:
    """It names a time of the wall clock: whatever that does, it is good before it, and never after.

    That it is revoked is learnt by the monotonic clock.
    """
    clock, wrong = NotingClock(nemesis), 0
    begin = moment(NemesisClock(steady).now_us())
    expire = begin + timedelta(days=1)
    token, text = new_token("caller", Role.READER, now=begin, expire_time=expire)
    add_token(tmp_path / "tokens", token)
    tokens = LiveTokens(tmp_path / "tokens", clock)
    for _ in range(3 * SUDDEN):
        is_good = tokens.caller_of(text) is not None
        wrong += is_good != (moment(clock.told_us) < expire)
    remove_token(tmp_path / "tokens", token.id)
    # Looked at once a second.
    for _ in range(2 * SECOND_US // STEP_US):
        is_good = tokens.caller_of(text) is not None
    tally("looks at a token under a clock that jumps", runs=3 * SUDDEN + 1, failures=wrong + is_good)
    assert wrong == 0
    assert not is_good


@every_nemesis
def test_the_audit_log_keeps_the_order_of_calls(nemesis: Nemesis, tmp_path: Path, tally: Tally) -> None:
    """Its lines follow each other as calls did, whatever times they bear."""
    log = AuditLog(tmp_path / "audit.jsonl", NemesisClock(nemesis))
    for number in range(CALLS):
        log.write(
            AuditedCall(
                caller="caller",
                peer="peer",
                method="CreateRun",
                run_ids=(),
                request_id=str(number),
                code="OK",
                reason="",
            )
        )
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    found = [int(line["request_id"]) for line in lines]
    failures = int(found != [*range(CALLS)])
    tally("lines of the audit log under a clock that jumps", runs=CALLS, failures=failures)
    assert found == [*range(CALLS)]
    assert all(line["time"].endswith("Z") for line in lines)


class SetClock(ManualClock):
    """A clock that is set as a nemesis does, once an hour."""

    def __init__(self, nemesis: Nemesis) -> None:
        super().__init__()
        self._nemesis = NemesisClock(nemesis)
        self._hours = 0

    def pass_an_hour(self) -> None:
        """Let an hour pass, with the wall clock where the nemesis has it."""
        self._hours += 1
        self.advance(HOUR_US)
        self.set(self._nemesis.now_us() + self._hours * HOUR_US)


async def removed_in(clock: SetClock, policy: RetentionPolicy, *, days: int) -> int:
    """Return how many of some ended runs retention has removed in some days, asked each hour."""
    store = MemoryStore(clock=clock, initialise=initialise)
    retention = Retention(store, clock=clock, default_policy=policy, interval_s=0)
    await retention.prepare()
    for number in range(1, RUNS + 1):
        run_id = RunId(number.to_bytes(16))
        await store.write(partial(create_run, draft=Draft(run_id=run_id)))
        await store.write(partial(close_run, run_id=run_id, conditions=Conditions()))
    for _ in range(days * 24):
        clock.pass_an_hour()
        await _compact(retention)
    left = await store.read(lambda txn: [key for key, _ in txn.scan(*keys.RUN.range)])
    return RUNS + 1 - len(left)


async def _compact(retention: Retention) -> None:
    """Take a pass, unless the clock is not trusted."""
    with suppress(ClockJumped):
        async for _ in retention.compact():
            pass


@every_nemesis
def test_retention_removes_nothing_early(nemesis: Nemesis, tally: Tally) -> None:
    """Runs are kept for three times as long as the clock has to go wrong."""
    policy = RetentionPolicy(delete_after_us=3 * DAYS * DAY_US)
    removed = asyncio.run(removed_in(SetClock(nemesis), policy, days=DAYS))
    tally("runs that a clock that jumped would have removed", runs=RUNS, failures=removed)
    assert removed == 0


def test_retention_removes_in_the_end() -> None:
    """The same, when so much time has passed: the test above can fail."""
    policy = RetentionPolicy(delete_after_us=DAYS // 2 * DAY_US)
    assert asyncio.run(removed_in(SetClock(steady), policy, days=DAYS)) == RUNS
