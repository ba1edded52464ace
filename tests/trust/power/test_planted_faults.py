"""The harness is tested too: each fault in the recorded server must be found, and by the right check."""

from pathlib import Path
from typing import Final

import pytest

from tests.trust.power.explore import explore
from tests.trust.power.faults import FAULTS
from tests.trust.power.recorder import record

CALLS: Final = 120
SUBSETS: Final = 4
STATES_MAX: Final = 5_000
FAILURES_MAX: Final = 3

FOUND_BY: Final = {
    "sync-off": {"acknowledged"},
    "metasync-off": {"acknowledged"},
    "acknowledge-before-commit": {"acknowledged"},
    "index-in-second-transaction": {"follows", "verifies"},
    "forgotten-tombstone": {"follows", "verifies"},
    "creation-not-synced": {"opens"},
}
"""The checks that must find each fault."""


def test_each_fault_is_planted() -> None:
    assert FOUND_BY.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(fault: str, shim: Path, work: Path) -> None:
    recording = record(work / fault, shim, calls=CALLS, seed=3, fault=fault)
    explored = explore(recording, work, subsets=SUBSETS, states_max=STATES_MAX, failures_max=FAILURES_MAX)

    assert explored.checks_failed >= FOUND_BY[fault], explored.summary()


def test_nothing_is_found_where_no_fault_is_planted(shim: Path, work: Path) -> None:
    recording = record(work / "none", shim, calls=CALLS, seed=3)
    explored = explore(recording, work, subsets=SUBSETS, states_max=STATES_MAX)

    assert explored.failures == []
    assert len(explored.digests) > 300
