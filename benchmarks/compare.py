"""Measures all methods on this code, without and with a token, and on another commit's, in the same rounds.

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
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, machine, report, servers, targets
from benchmarks.bench import RUNS, copies, measure_methods
from benchmarks.cases_write import Pools
from benchmarks.measure import Row, Subject
from benchmarks.measurement import Measurement
from benchmarks.servers import Server

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


def measure_rows(started: Iterable[AbstractContextManager[Server]]) -> list[Row]:
    """Measure every method on some servers, reads before writes."""
    with ExitStack() as stack:
        empty = stack.enter_context(servers.serving_empty())
        subjects = [Subject(RUNS, stack.enter_context(server), Pools(RUNS)) for server in started]
        return measure_methods(targets.READS, subjects, empty, close=targets.TOKEN_OVER_NONE)


def run(folder: Path, base: str) -> dict[str, Any]:
    """Measure on stores in a folder, and return the results."""
    measurement = Measurement(folder, RUNS)
    checkout, then_dir, now_dir = folder / "base", folder / "store-then", folder / "store-now"
    measurement.machine["base"] = check_out(base, checkout)
    then, now = environment_of(checkout), environment_of(ROOT)
    fill(then_dir, then)
    fill(now_dir, now)
    (known_dir,) = copies(now_dir, 1)
    started = (
        servers.serving(then_dir, environment=then),
        servers.serving_known(known_dir, environment=now),
        servers.serving(now_dir, environment=now),
    )
    rows = measure_rows(started)
    found = list(figures.of_life(rows))
    for row in rows:
        found += figures.of_comparison(row)
    return measurement.results(rows, found)


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
