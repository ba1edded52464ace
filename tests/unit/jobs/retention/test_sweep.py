"""The sweep: each run that a default policy acts on is scheduled once, whatever comes in between."""

import pytest

from runindex_server.jobs.retention import sweep
from runindex_server.jobs.retention.sweep import sweep_step
from runindex_server.schema import keys
from runindex_server.schema.retention_state import (
    DefaultPolicySweep,
    read_default_policy_sweep,
    write_default_policy_sweep,
)
from runindex_server.schema.run import DEFAULT_RUN_ID, KEEP_ALL, RetentionPolicy, RunId
from tests.support.retention_world import HookedStore, RetentionWorld
from tests.support.search_world import drive

LATEST = RetentionPolicy(keep_latest_n=2)


def scheduled(world: RetentionWorld) -> set[RunId]:
    """Return the runs at which the next pass looks."""
    return {
        keys.split_due(key)[1] for key in world.read(lambda txn: [k for k, _ in txn.scan(*keys.DUE.range)])
    }


@pytest.mark.parametrize("runs_max", [1, 2, 3, 128])
def test_runs_that_hold_something_and_have_no_policy_are_scheduled(
    runs_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "RUNS_MAX", runs_max)
    world = RetentionWorld()
    runs = [world.create(number) for number in (1, 2, 3)]
    own, _empty = world.create(4, KEEP_ALL), world.create(5)
    for run_id in (DEFAULT_RUN_ID, *runs, own):
        world.append(run_id, "s")
    world.restart(LATEST)

    steps = 0
    while drive(sweep_step(world.store)):
        steps += 1

    assert steps == 6 // runs_max + 1
    assert scheduled(world) == {DEFAULT_RUN_ID, *runs}
    assert world.read(read_default_policy_sweep).is_done


def test_a_step_that_comes_too_late_does_nothing() -> None:
    world = RetentionWorld()
    world.append(DEFAULT_RUN_ID, "s")
    world.restart(LATEST)
    other = DefaultPolicySweep(RetentionPolicy(keep_latest_n=9))

    def change() -> None:
        world.write(lambda txn: write_default_policy_sweep(txn, other))

    assert drive(sweep_step(HookedStore(world.store, change))) is True

    assert world.read(read_default_policy_sweep) == other
    assert scheduled(world) == set()


def test_a_run_that_is_gone_or_has_its_own_policy_by_then_is_passed_over() -> None:
    world = RetentionWorld()
    gone, own = world.create(1), world.create(2)
    for run_id in (gone, own):
        world.append(run_id, "s")
    world.restart(LATEST)

    def change() -> None:
        world.delete(gone)
        world.set_policy(own, KEEP_ALL)

    assert drive(sweep_step(HookedStore(world.store, change))) is True
    assert scheduled(world) == set()
    world.check()
