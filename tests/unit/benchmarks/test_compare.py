"""The whole of a comparison, with few runs, few methods, and this commit as the other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, measure, report, targets
from benchmarks.bench import measure_methods
from benchmarks.measure import Row, Subject
from benchmarks.report import missed

RUNS = 200


@pytest.fixture(autouse=True)
def short_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "RUNS", RUNS)
    monkeypatch.setattr(targets, "READS", ("GetRun",))
    monkeypatch.setattr(targets, "WRITE_GROUPS", (targets.LIFE,))
    monkeypatch.setattr("benchmarks.bench.CLOSE_ROUNDS", 3)
    for name in ("READ_ROUND_S", "WRITE_ROUND_S", "FILLING_S"):
        monkeypatch.setattr(measure, name, 0.01)
    for name in ("FILLED_MIN", "FILLED_PER_CALLER", "READ_ROUNDS", "WRITE_ROUNDS"):
        monkeypatch.setattr(measure, name, 1)


def test_another_commit_and_a_token_are_measured_beside_this_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []

    def noting(reads: Sequence[str], subjects: Sequence[Subject], *args: Any, **options: Any) -> list[Row]:
        for one in subjects:
            environment = Path(f"/proc/{one.server.pid}/environ").read_text()
            served.append((str(tmp_path / "base") in environment, bool(one.server.token)))
        return measure_methods(reads, subjects, *args, **options)

    monkeypatch.setattr(compare, "measure_methods", noting)
    results = compare.run(tmp_path, "HEAD")

    assert served == [(True, False), (False, True), (False, False)], "of the other commit, with a token"
    rows = {(row["name"], row["in_flight"]): row for row in results["rows"]}
    methods = ("GetRun", *targets.LIFE)
    assert rows.keys() == {(name, in_flight) for name in methods for in_flight in (1, 16)}
    assert {len(row["costs"]) for row in rows.values()} == {3}
    assert min(cost["calls"] for cost in rows["GetRun", 1]["costs"]) >= 3
    bound = {
        (*(figure["row"] or ("a life",)), figure["what"].rpartition(": ")[2])
        for figure in results["figures"]
        if figure["target"] is not None
    }
    assert bound == {
        *(("GetRun", count, f"{what} over none") for count in (1, 16) for what in ("CPU", "p50")),
        ("a life", "CPU over base"),
    }
    assert report.render(json.loads(json.dumps(results)))
    assert len(missed(results)) == sum(figure["is_met"] is False for figure in results["figures"])
