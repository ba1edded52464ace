"""The whole of a comparison, with few runs, few methods, and this commit as the other."""

import json
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, measure, report, targets
from benchmarks.bench import measure_methods
from benchmarks.measure import Row, Subject
from benchmarks.report import missed

RUNS = 200

MAKEFILE = f"""
.venv/server.stamp:
\t$(PYTHON) -m venv --without-pip .venv
\techo {site.getsitepackages()[0]} > "$$(echo .venv/lib/python*/site-packages)/ours.pth"
"""
"""Makes an environment without the network: with the libraries of this one."""


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


def ask_for_others(checkout: Path, makefile: str) -> None:
    """Let a checkout ask for other libraries, and make its environment so."""
    project = checkout / "pyproject.toml"
    asked = project.read_text()
    project.write_text(asked.replace('"grpcio>=', '"grpcio>=1.0,>='))
    assert project.read_text() != asked
    (checkout / "Makefile").write_text(makefile)


def test_a_commit_that_asks_for_the_same_libraries_runs_with_ours(tmp_path: Path) -> None:
    compare.check_out("HEAD", tmp_path)
    (tmp_path / "pyproject.toml").write_text((compare.ROOT / "pyproject.toml").read_text())
    assert compare.environment_of(tmp_path).python == sys.executable


def test_a_commit_whose_libraries_cannot_be_installed_is_not_measured(tmp_path: Path) -> None:
    compare.check_out("HEAD", tmp_path)
    ask_for_others(tmp_path, ".venv/server.stamp:\n\tfalse\n")
    with pytest.raises(subprocess.CalledProcessError):
        compare.environment_of(tmp_path)


def test_an_environment_that_imports_other_code_is_refused(tmp_path: Path) -> None:
    compare.check_out("HEAD", tmp_path)
    (tmp_path / "server").rename(tmp_path / "elsewhere")
    with pytest.raises(compare.NotThatCode):
        compare.environment_of(tmp_path)


def test_another_commit_and_a_token_are_measured_beside_this_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    check_out = compare.check_out

    def asking_for_others(commit: str, folder: Path) -> str:
        name = check_out(commit, folder)
        ask_for_others(folder, MAKEFILE)
        return name

    def noting(reads: Sequence[str], subjects: Sequence[Subject], *args: Any, **options: Any) -> list[Row]:
        for one in subjects:
            environment = Path(f"/proc/{one.server.pid}/environ").read_text()
            python, *_ = Path(f"/proc/{one.server.pid}/cmdline").read_text().split("\0")
            code = "PYTHONPATH=" + str(tmp_path / "base" / "server") in environment
            served.append((code, Path(python).is_relative_to(tmp_path / "base"), bool(one.server.token)))
        return measure_methods(reads, subjects, *args, **options)

    monkeypatch.setattr(compare, "check_out", asking_for_others)
    monkeypatch.setattr(compare, "measure_methods", noting)
    results = compare.run(tmp_path, "HEAD")

    ours, with_a_token, theirs = (False, False, False), (False, False, True), (True, True, False)
    assert served == [theirs, with_a_token, ours], "its code, its Python, with a token"
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
