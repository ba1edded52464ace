"""Figures beside their targets: what counts as missed, and what the page shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, report, targets
from benchmarks.figures import Figure
from benchmarks.load import Load
from benchmarks.measure import Cost, Round, Row
from benchmarks.targets import Target

MS = 1_000_000


def cost(*cpu_us: float, latency_ms: float = 1.0) -> Cost:
    """Return rounds of ten calls a second each, which cost so much a call."""
    loads = [Load(seconds=1.0, latencies_ns=[int(latency_ms * MS)] * 10) for _ in cpu_us]
    return Cost([Round(load, us * 10 / 1e6) for load, us in zip(loads, cpu_us, strict=True)])


def test_a_bound_itself_is_met() -> None:
    assert [Target(2.0).is_met(value) for value in (1.9, 2.0, 2.1)] == [True, True, False]
    assert [Target(2.0, is_least=True).is_met(value) for value in (1.9, 2.0, 2.1)] == [False, True, True]


def test_what_was_not_measured_is_missed() -> None:
    assert Figure("x", None, Target(1.0)).is_missed
    assert not Figure("x", None).is_missed
    assert [figure.is_missed for figure in figures.of_workers(())] == [True]


def test_one_disturbed_round_does_not_move_a_ratio() -> None:
    assert cost(100, 100, 900).cpu_over(cost(100, 100, 100)) == pytest.approx(1.0)
    assert cost(100, 300, 200).cpu_over(cost(50, 150, 100)) == pytest.approx(2.0)


def test_a_row_is_compared_with_the_empty_handler_and_with_few_runs() -> None:
    row = Row("GetRun", 16, [cost(100), cost(130, latency_ms=2)], cost(100))

    found: dict[str, Any] = {figure.what: (figure.value, figure.is_missed) for figure in figures.of_row(row)}

    assert found == {
        "CPU over empty": (pytest.approx(1.3), True),
        "rate over empty": (pytest.approx(1.0), False),
        "CPU growth": (pytest.approx(1.3), True),
        "p50 growth": (pytest.approx(2.0), True),
    }


def test_the_life_of_a_run_is_compared_with_another_commit() -> None:
    rows = [
        Row("CreateRun", 16, [cost(100), cost(900), cost(120)], cost(50)),
        Row("CloseRun", 16, [cost(100), cost(900), cost(150)], cost(50)),
    ]

    (life,) = figures.of_life(rows)
    assert life.value == pytest.approx(1.35)
    assert life.is_missed


COMPARED = [cost(100, latency_ms=2), cost(150, latency_ms=4), cost(120, latency_ms=3)]


def test_a_row_is_compared_with_another_commit_and_with_a_token() -> None:
    found: dict[str, Any] = {
        figure.what: (figure.value, figure.target)
        for figure in figures.of_comparison(Row("CreateRun", 16, COMPARED, cost(50)))
    }

    assert found == {
        "CPU over empty": (pytest.approx(2.4), None),
        "base: CPU, us": (pytest.approx(100), None),
        "base: p50, ms": (pytest.approx(2), None),
        "CPU over base": (pytest.approx(1.2), None),
        "p50 over base": (pytest.approx(1.5), None),
        "token: CPU, us": (pytest.approx(150), None),
        "token: p50, ms": (pytest.approx(4), None),
        "token: CPU over none": (pytest.approx(1.25), None),
        "token: p50 over none": (pytest.approx(4 / 3), None),
    }


@pytest.mark.parametrize(
    ("with_token", "missed"),
    [
        (cost(115, latency_ms=1.15), set()),
        (cost(116, latency_ms=1.15), {"token: CPU over none"}),
        (cost(115, latency_ms=1.16), {"token: p50 over none"}),
    ],
)
def test_a_read_with_a_token_may_take_a_seventh_more(with_token: Cost, missed: set[str]) -> None:
    found = list(figures.of_comparison(Row("GetRun", 1, [cost(1), with_token, cost(100)], cost(100))))

    assert {figure.what for figure in found if figure.is_missed} == missed


def test_a_transition_may_take_two_syncs_and_half_a_millisecond() -> None:
    rows = [Row("PauseRun", 1, [cost(100, latency_ms=5)], cost(100, latency_ms=1))]

    assert [figure.is_missed for figure in figures.of_transitions(rows, sync_ms=1.76)] == [False]
    assert [figure.is_missed for figure in figures.of_transitions(rows, sync_ms=1.74)] == [True]


def test_percentiles_are_latencies_that_occurred() -> None:
    load = Load(latencies_ns=[number * MS for number in range(1, 101)])

    assert (load.at_ms(0.5), load.at_ms(0.99), load.at_ms(1.0)) == (51, 100, 100)


@pytest.fixture
def results() -> dict[str, Any]:
    """Return what a measurement of one method gives."""
    row = Row("ListRuns", 16, [cost(200)], cost(100))
    found = [*figures.of_row(row), Figure("private memory, MiB", 100.0, targets.PRIVATE_MIB)]
    return {
        "machine": {"cpu": "a CPU"},
        "runs": 10_000,
        "seconds": 3,
        "sync_ms": 0.4,
        "others_share": 0.25,
        "rows": [figures.row_json(row)],
        "figures": [figure.json() for figure in found],
    }


def test_the_page_shows_each_figure_beside_its_target(results: dict[str, Any]) -> None:
    page = report.render(results)

    assert "a CPU" in page
    assert "| private memory, MiB | 100 | ≤ 200 | yes |" in page
    assert "| ListRuns | 16 | 10 | 200 | 100 |" in page
    assert page.count("**no**") == 1


def test_the_page_shows_what_is_compared_and_no_column_of_targets_without_one() -> None:
    rows = [Row(name, 1, COMPARED, cost(100)) for name in ("GetRun", "RunExists")]
    page = report.render(
        {
            "machine": {},
            "runs": 1,
            "seconds": 1,
            "sync_ms": 1,
            "others_share": 0,
            "rows": [figures.row_json(row) for row in rows],
            "figures": [figure.json() for row in rows for figure in figures.of_comparison(row)],
        }
    )

    *_, head, _, checked, told = page.splitlines()
    assert head.endswith("| token: CPU over none | target | token: p50 over none | target | met |")
    assert head.count("| target |") == 2
    assert checked.startswith("| GetRun | 1 | 10 | 120 |")
    assert checked.endswith(
        "| 1.20 | 100 | 2.00 | 1.20 | 1.50 | 150 | 4.00 | 1.25 | ≤ 1.15 | 1.33 | ≤ 1.15 | **no** |"
    )
    assert told.endswith("| 1.25 |  | 1.33 |  |  |")


def test_what_misses_its_target_is_told_in_a_line(results: dict[str, Any]) -> None:
    assert report.missed(results) == ["ListRuns, 16 in flight: CPU over empty 2.00, target ≤ 1.8"]

    results["figures"].append(Figure("workers", None, targets.FOUR_WORKERS).json())
    assert report.missed(results)[1:] == ["workers not measured, target ≤ 1.2"]


def test_results_are_written_between_their_marks(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench: rendered -->\nold\n<!-- bench: end -->\nafter\n")
    monkeypatch.setattr(report, "README", page)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")

    report.write("bench", results)

    text = page.read_text()
    assert text.startswith("before\n<!-- bench: rendered -->\n\n10,000 runs")
    assert text.endswith("\n\n<!-- bench: end -->\nafter\n")
    assert "old" not in text
    assert json.loads((tmp_path / "results" / "bench.json").read_text()) == json.loads(json.dumps(results))


@pytest.mark.parametrize("name", ["bench", "bench-scale", "bench-compare"])
def test_the_page_shows_the_results_and_nothing_else(name: str) -> None:
    file = report.RESULTS / f"{name}.json"
    _, found, rest = report.README.read_text().partition(f"<!-- {name}: rendered -->")
    shown, _, _ = rest.partition(f"<!-- {name}: end -->")

    assert found
    assert shown.strip() == (report.render(json.loads(file.read_text())) if file.exists() else "")
