"""Runs the tests that hold a promise, keeps what came of it, and makes the tables of the page from that.

`python -m tests.trust.promises` runs all of them; tests that are named, as `promised.py` names them, are run
alone, and what is known of the others stays. `--operations` and `--kills` say how long the history is. The
page is `docs/reference/promises.md`; `make docs` writes its tables.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runindex_server import __version__
from tests.support.tally import CASES, FILE_VARIABLE
from tests.trust.promised import PROOFS, named

IN_PARALLEL: Final = ("--numprocesses=auto", "--dist=worksteal")
ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = Path(__file__).with_suffix(".json")


def main() -> int:
    """Run, and keep what came of it; return the exit code."""
    parser = argparse.ArgumentParser(description="Run the tests that hold a promise.")
    parser.add_argument(
        "tests", nargs="*", default=named(), help="those to run; all of them when none is named"
    )
    parser.add_argument("--operations", type=int, default=200_000, help="of the history")
    parser.add_argument("--kills", type=int, default=100, help="during the history")
    asked = parser.parse_args()
    of_what = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "commit": _git("rev-parse", "--short", "HEAD"),
    }
    code, tried = run(
        asked.tests,
        RUNINDEX_HISTORY_OPERATIONS=str(asked.operations),
        RUNINDEX_HISTORY_KILLS=str(asked.kills),
    )
    kept = read_results() if RESULTS.exists() else {}
    kept.update({test: {**of_what, **each} for test, each in tried.items()})
    kept = {test: kept[test] for test in named() if test in kept}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    return code


def run(tests: Sequence[str], **environment: str) -> tuple[int, dict[str, Any]]:
    """Run tests; return the exit code, and what each has tried."""
    with tempfile.TemporaryDirectory() as folder:
        tallies = Path(folder) / "tallies.json"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *IN_PARALLEL, *(f"tests/{test}" for test in tests)],
            env={**os.environ, FILE_VARIABLE: str(tallies), **environment},
            cwd=ROOT,
            check=False,
        )
        told = json.loads(tallies.read_text())
    return done.returncode, {name.removeprefix("tests/"): tried for name, tried in told.items()}


def read_results() -> dict[str, Any]:
    """Return what each test has tried when it was last run, and on what."""
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    return results


def proof_rows(promise: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a promise's table: the test, what it has tried, how much of that failed, and when."""
    results, proof = read_results(), PROOFS[promise]
    for test in (*proof.tests, *proof.planted):
        tried = results[test]
        when = f"{tried['date']}, {tried['version']} at {tried['commit']}"
        yield _link(test), ", ".join(_told(tried)), f"{max(tried['failures'].values()):,}", when


def _link(test: str) -> str:
    """Return a link to a test, by its name in words."""
    path, _, name = test.partition("::")
    words = name.removesuffix("::runTest").removeprefix("test_").replace("_", " ")
    return f"[{words}](../../tests/{path})"


def _told(tried: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a test has tried; of one that tells nothing, how many cases it has."""
    cases = tried["runs"][CASES]
    told = [f"{count:,} {what}" for what, count in tried["runs"].items() if what != CASES]
    yield from told or [f"{cases:,} {CASES if cases > 1 else 'case'}"]


def _git(*arguments: str) -> str:
    """Return what git says."""
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
