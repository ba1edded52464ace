"""Rounds on servers in processes of their own."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import measure, servers
from benchmarks.cases_write import Pools
from benchmarks.load import Call, Caller, Script, WrongAnswer, expect
from benchmarks.measure import Subject
from benchmarks.wire import CallRefused

RUNS = 1_000
UNAUTHENTICATED = 16


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure no longer than it takes to see that it is measured."""
    monkeypatch.setattr(measure, "READ_ROUND_S", 0.02)
    monkeypatch.setattr(measure, "WRITE_ROUND_S", 0.02)
    monkeypatch.setattr(measure, "FILLING_S", 0.01)
    monkeypatch.setattr(measure, "FILLED_MIN", 10)
    monkeypatch.setattr(measure, "FILLED_PER_CALLER", 1)
    monkeypatch.setattr(measure, "WRITE_ROUNDS", 1)


def test_writes_are_measured_beside_an_empty_call(tmp_path: Path) -> None:
    with servers.serving(tmp_path / "data") as server, servers.serving_empty() as empty:
        subject = Subject(RUNS, server, Pools(RUNS))
        rows = measure.measure(("PauseRun", "ResumeRun"), 2, [subject], empty)
        backlog = servers.status_of(server).backlog

    assert [row.name for row in rows] == ["PauseRun", "ResumeRun"]
    for row in rows:
        (cost,) = row.costs
        assert len(cost.rounds) == len(row.empty.rounds) == 1
        assert min(one.load.calls for one in (*cost.rounds, *row.empty.rounds)) >= 2
        assert 0 < row.empty.cpu_us < cost.cpu_us
        assert abs(mean(cost.load.answer_bytes, cost) - mean(row.empty.load.answer_bytes, row.empty)) < 2
        assert abs(mean(cost.load.request_bytes, cost) - mean(row.empty.load.request_bytes, row.empty)) < 2
    assert not backlog.unmerged_changes


def test_callers_of_a_server_that_asks_are_known(tmp_path: Path) -> None:
    with servers.serving_known(tmp_path / "data") as known, servers.serving_empty() as empty:
        subject = Subject(RUNS, known, Pools(RUNS))
        (row,) = measure.measure(("CreateRun",), 2, [subject], empty, rounds=2)
        with pytest.raises(CallRefused) as refused:
            measure.measure(("CreateRun",), 2, [replace(subject, server=replace(known, token=""))], empty)

    assert [len(cost.rounds) for cost in (*row.costs, row.empty)] == [2, 2]
    assert refused.value.status == UNAUTHENTICATED


def mean(total: int, cost: measure.Cost) -> float:
    """Return what is of each call."""
    return total / cost.load.calls


def test_a_wrong_answer_ends_a_round() -> None:
    def ask_for_ten_bytes() -> Script:
        while True:
            answer = yield Call(measure.EMPTY_PATH, (10).to_bytes(8, "big"))
            expect(len(answer) == 11, len(answer))

    with servers.serving_empty() as empty, pytest.raises(WrongAnswer, match="10"):
        measure.measured_round(empty, [Caller(ask_for_ten_bytes())], is_write=False)
