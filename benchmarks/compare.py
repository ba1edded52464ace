"""Measures all methods on this code and on that of another commit, in the same rounds.

    make bench-compare BASE=v0.1.0

Each serves a store of its own, filled by its own code. Results go to `results/` and into README.md. Exits 1
when a figure misses its target. A wrong answer ends it.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks import accounting, figures, machine, report, servers, targets
from benchmarks.bench import RUNS, measure_methods
from benchmarks.cases_write import Pools
from benchmarks.measure import Row, Subject

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("server", "clients/python", ".")
"""Where a checkout has what a server and the filling of a store import."""


class NotThatCode(Exception):
    """Python would import other code than that of the checkout."""


def check_out(commit: str, folder: Path) -> str:
    """Put the files of a commit into a folder, and return its name in short."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")
    return _git("rev-parse", "--short=12", f"{commit}^{{commit}}").decode().strip()


def _git(*arguments: str) -> bytes:
    """Return what a command of git prints about this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S607  # The one on the path.


def environment_of(checkout: Path) -> Mapping[str, str]:
    """Return what makes Python import the code of a checkout.

    Raises:
        NotThatCode: It does not.
    """
    environment = {"PYTHONPATH": os.pathsep.join(str(checkout / package) for package in PACKAGES)}
    command = [sys.executable, "-c", "import runindex_server; print(runindex_server.__file__)"]
    imported = subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(imported).is_relative_to(checkout):
        msg = f"{imported} is not in {checkout}"
        raise NotThatCode(msg)
    return environment


def fill(data_dir: Path, environment: Mapping[str, str]) -> None:
    """Fill a store by the code of a checkout."""
    command = [sys.executable, "-m", "benchmarks.populate", "--runs", str(RUNS), "--data-dir", str(data_dir)]
    where = environment["PYTHONPATH"].split(os.pathsep)[-1]
    subprocess.run(command, env={**os.environ, **environment}, cwd=where, check=True)


def measure_rows(checkouts: Mapping[Path, Path]) -> list[Row]:
    """Measure every method on the stores of some checkouts, reads before writes."""
    with ExitStack() as stack:
        empty = stack.enter_context(servers.serving_empty())
        subjects = []
        for checkout, data_dir in checkouts.items():
            server = stack.enter_context(servers.serving(data_dir, environment=environment_of(checkout)))
            subjects.append(Subject(RUNS, server, Pools(RUNS)))
        return measure_methods(targets.READS, subjects, empty)


def run(folder: Path, base: str) -> dict[str, Any]:
    """Measure on stores in a folder, and return the results."""
    began, others_s, sync_ms = time.monotonic(), accounting.others_s(), machine.sync_median_ms(folder)
    described = machine.describe(folder)
    then = folder / "base"
    described["base"] = check_out(base, then)
    checkouts = {then: folder / "store-then", ROOT: folder / "store-now"}
    for checkout, data_dir in checkouts.items():
        fill(data_dir, environment_of(checkout))
    rows = measure_rows(checkouts)
    found = list(figures.of_life(rows))
    for row in rows:
        found += figures.of_comparison(row)
    seconds = time.monotonic() - began
    return {
        "machine": described,
        "runs": RUNS,
        "seconds": round(seconds),
        "others_share": round((accounting.others_s() - others_s) / seconds / machine.cores(), 3),
        "sync_ms": round(sync_ms, 3),
        "rows": [figures.row_json(row) for row in rows],
        "figures": [figure.json() for figure in found],
    }


def main() -> None:
    """Measure, write what was found, and exit 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", required=True, help="the commit to compare with")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runindex-bench-", dir=machine.scratch_dir()) as folder:
        results = run(Path(folder), arguments.base)
    sys.exit(report.conclude("bench-compare", results))


if __name__ == "__main__":
    main()
