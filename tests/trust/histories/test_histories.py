"""Strict serialisability of whole histories, with `kill -9` going on, and the callers' ledger.

How much of it: RUNINDEX_HISTORY_OPERATIONS and RUNINDEX_HISTORY_KILLS; RUNINDEX_HISTORY_SEED repeats what
callers ask for. The same without a test: `python -m tests.trust.histories --help`.
"""

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from tests.property.machine import MEMORY_DIR
from tests.support.tally import Tally
from tests.trust.histories.judge import judge
from tests.trust.histories.planted import PLANTED
from tests.trust.histories.trial import judged, record, told
from tests.trust.histories.verdict import Fault

OPERATIONS: Final = int(os.environ.get("RUNINDEX_HISTORY_OPERATIONS", "10000"))
KILLS: Final = int(os.environ.get("RUNINDEX_HISTORY_KILLS", "10"))
SEED: Final = os.environ.get("RUNINDEX_HISTORY_SEED", str(random.getrandbits(32)))
FAULTY: Final = Path(__file__).parent / "faulty"
FEW: Final = 4_000
"""Operations in which there is something of everything."""


def test_a_history_with_kills_is_strictly_serialisable_and_loses_nothing(
    memory_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    trial = judged(record(memory_path, operations=OPERATIONS, kills=KILLS, seed=SEED))
    with capsys.disabled():
        sys.stdout.write(f"\n{told({'seed': SEED, **trial.figures})}\n")
    tally("operations", runs=trial.figures["operations"], failures=len(trial.wrong()))
    tally("kills", runs=len(trial.kills))
    assert trial.wrong() == []
    assert trial.figures["operations"] >= OPERATIONS
    assert len(trial.kills) == KILLS


def test_every_fault_that_is_planted_into_a_history_is_found_and_named(
    memory_path: Path, tally: Tally
) -> None:
    recording = record(memory_path, operations=FEW, kills=0, seed=SEED)
    assert judge(recording.history, recording.beginning).violations == []
    found = {
        plant.__name__: {one.fault for one in judge(plant(recording.history), recording.beginning).violations}
        for plant in PLANTED
    }
    missed = {plant.__name__: fault for plant, fault in PLANTED.items() if fault not in found[plant.__name__]}
    tally("planted faults", runs=len(PLANTED), failures=len(missed))
    assert missed == {}, found


@pytest.mark.parametrize(
    ("planted", "faults"),
    [
        ("forget requests", {Fault.TWICE, Fault.MISPLACED}),
        ("keep snapshots", {Fault.OUT_OF_ORDER}),
        ("lose commits", {Fault.TWO_WRITES, Fault.OUT_OF_ORDER}),
    ],
)
def test_a_fault_that_is_planted_into_the_server_is_found_and_named(
    memory_path: Path, planted: str, faults: set[Fault]
) -> None:
    path = os.pathsep.join([str(FAULTY), *filter(None, [os.environ.get("PYTHONPATH")])])
    with mock.patch.dict(os.environ, PYTHONPATH=path, RUNINDEX_PLANTED_FAULT=planted):
        recording = record(memory_path, operations=FEW, kills=0, seed=SEED)
    found = {one.fault for one in judge(recording.history, recording.beginning).violations}
    assert found & faults, found


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Return a folder in memory, where there is such: what a disk does is another test's matter."""
    with tempfile.TemporaryDirectory(prefix="runindex-history-", dir=MEMORY_DIR) as folder:
        yield Path(folder)
