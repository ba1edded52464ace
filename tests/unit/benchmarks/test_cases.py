"""What is measured: every case calls a real server, takes its answers as right, and notices wrong ones."""

from functools import partial

import pytest

from benchmarks import cases_read, cases_write, targets
from benchmarks.cases_read import INSIGHTS, READS
from benchmarks.cases_write import MADE_BY, WRITES, Pools
from benchmarks.load import Caller, Line, WrongAnswer, lines, run_closed, run_steady
from benchmarks.populate import create_all
from benchmarks.sample import RARE_AT, sample
from benchmarks.wire import CallRefused
from tests.support.methods import METHODS
from tests.support.server import LoopThread, RunningServer
from tests.unit.benchmarks.conftest import Connect

RUNS = 1_000
FEW_RUNS = 200

NAMES = (*READS, *INSIGHTS)


def fill(loop: LoopThread, server: RunningServer, numbers: range) -> None:
    """Create some of the sample runs."""
    loop.run(server.store.write(partial(create_all, some=[sample(number) for number in numbers])))


def read_once(connect: Connect, name: str, runs: int) -> int:
    """Let one caller measure a read for a moment; return how many calls it made."""
    line = Line(connect(), map(Caller, cases_read.scripts(name, runs, 1)))
    return run_closed([line], 0).calls


def test_every_method_is_measured() -> None:
    measured = {read.path.rpartition("/")[2] for read in READS.values()}
    measured |= {write.method for write in WRITES.values()}

    assert measured == set(METHODS)
    assert set(targets.READS) == set(READS)
    assert set(targets.INSIGHTS) == set(INSIGHTS)
    assert sorted(targets.WRITES) == sorted(WRITES)


def test_every_target_is_that_of_a_row() -> None:
    rows = {*READS, *INSIGHTS, *WRITES}

    assert targets.CPU_OVER_EMPTY.keys() | targets.RATE_OVER_EMPTY.keys() <= rows
    assert targets.GROWTH.keys() == rows


def test_reads_take_right_answers_as_right(loop: LoopThread, server: RunningServer, connect: Connect) -> None:
    fill(loop, server, range(RUNS))
    server.run_jobs()

    assert {name: read_once(connect, name, RUNS) for name in NAMES} == dict.fromkeys(NAMES, 1)


# Nothing that a store holds makes the search without a match wrong.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "SearchRuns: no match"])
def test_reads_notice_wrong_answers(
    loop: LoopThread, server: RunningServer, connect: Connect, name: str
) -> None:
    fill(loop, server, range(RARE_AT))
    second = cases_read.scripts(name, RUNS, 2)[1]

    with pytest.raises((WrongAnswer, CallRefused)):
        run_closed([Line(connect(), [Caller(second)])], 0)


def test_an_answer_is_checked_again_when_it_differs(
    loop: LoopThread, server: RunningServer, connect: Connect
) -> None:
    fill(loop, server, range(RUNS))
    line = Line(connect(), map(Caller, cases_read.scripts("ListRuns", RUNS, 1)))
    run_closed([line], 0)
    fill(loop, server, range(RUNS, RUNS + 1))

    with pytest.raises(WrongAnswer):
        run_closed([line], 0)


@pytest.mark.parametrize("names", targets.WRITE_GROUPS)
def test_writes_hand_their_runs_on(
    loop: LoopThread, server: RunningServer, connect: Connect, names: tuple[str, ...]
) -> None:
    fill(loop, server, range(FEW_RUNS))
    pools = Pools(FEW_RUNS)

    for name in names:
        source, target = WRITES[name].source, WRITES[name].target
        while source is not None and not pools[source]:
            write_once(connect, MADE_BY[source], pools)
        held = pools[source][0] if source else None
        write_once(connect, name, pools)

        assert held not in pools[source or ""]
        # What goes back to its own pool is at once taken again.
        if held is not None and target not in {None, source}:
            assert pools[target or ""][-1].run_id == held.run_id


def write_once(connect: Connect, name: str, pools: Pools) -> None:
    """Let one caller measure a write for a moment."""
    script = cases_write.scripts(name, pools, 1)[0]
    assert run_closed([Line(connect(), [Caller(script)])], 0).calls == 1
    # What it has taken for its next call is of no concern.
    script.close()


def test_a_write_that_changes_nothing_is_noticed(
    loop: LoopThread, server: RunningServer, connect: Connect
) -> None:
    pools = Pools(FEW_RUNS)
    write_once(connect, "CreateRun", pools)
    write_once(connect, "AddRunTags", pools)
    pools["active"].append(pools["tagged"][0])

    with pytest.raises(WrongAnswer):
        write_once(connect, "AddRunTags", pools)


def test_a_caller_without_a_run_waits_for_one(server: RunningServer, connect: Connect) -> None:
    pools = Pools(FEW_RUNS)
    line = Line(connect(), map(Caller, cases_write.scripts("PauseRun", pools, 1)))
    before = run_closed([line], 0).calls
    write_once(connect, "CreateRun", pools)
    after = run_closed([line], 0).calls

    assert (before, after) == (0, 1)


def test_a_steady_load_makes_each_call_that_is_due(server: RunningServer, connect: Connect) -> None:
    line = Line(connect(), map(Caller, cases_write.scripts("CreateRun", Pools(FEW_RUNS), 4)))

    load = run_steady(line, rate_per_s=2_000, duration_s=0.01)

    assert load.calls == 20
    assert min(load.latencies_ns) > 0
    assert load.seconds >= 0.0095


def test_calls_are_spread_over_connections(server: RunningServer, connect: Connect) -> None:
    callers = [Caller(script) for script in cases_write.scripts("CreateRun", Pools(FEW_RUNS), 8)]
    all_lines = lines([connect() for _ in range(4)], callers)

    load = run_closed(all_lines, 0)

    assert [len(line.callers) for line in all_lines] == [2] * 4
    assert load.calls == 8
    assert load.request_bytes > 8 * 300
    assert load.answer_bytes > load.request_bytes
