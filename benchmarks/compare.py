"""Measures all methods on this code, without and with a token, and on another commit's, in the same rounds.

    make bench-compare BASE=v0.1.0

Each serves a store of its own, filled by its own code. Where the other commit asks for other libraries than
this code does, it runs in an environment of its own, which its own Makefile makes in the temporary folder.
What calls the servers is always of this code. Results go to `results/` and into README.md. Exits 1 when a
figure misses its target. A wrong answer ends it.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, machine, report, servers, targets
from benchmarks.bench import RUNS, copies, measure_methods
from benchmarks.cases_write import Pools
from benchmarks.measure import Row, Subject
from benchmarks.measurement import Measurement
from benchmarks.servers import Environment, Server

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("server", "clients/python", ".")
"""Where a checkout has what a server and the filling of a store import."""

WITH_LIBRARIES: Final = ".venv/server.stamp"
"""What a checkout's Makefile makes in it: a Python with what a server and the filling of a store import."""


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


def environment_of(checkout: Path) -> Environment:
    """Return what runs the code of a checkout, with the libraries that it asks for.

    Raises:
        NotThatCode: Python would import other code.
        CalledProcessError: The libraries cannot be installed.
    """
    variables = {"PYTHONPATH": os.pathsep.join(str(checkout / package) for package in PACKAGES)}
    environment = Environment(python_of(checkout), variables)
    imported = _print(environment, "import runindex_server; print(runindex_server.__file__)").strip()
    if not Path(imported).is_relative_to(checkout):
        msg = f"{imported} is not in {checkout}"
        raise NotThatCode(msg)
    return environment


def python_of(checkout: Path) -> str:
    """Return a Python with the libraries that a checkout asks for.

    Raises:
        CalledProcessError: They cannot be installed.
    """
    # Ours where the same are asked for: a new environment would take the newest that fit, and what differs
    # between them and ours would be told as a difference between the commits. It also needs no network.
    if _wanted(checkout) == _wanted(ROOT):
        return sys.executable
    make = ["make", "--directory", str(checkout), f"PYTHON={sys.executable}", WITH_LIBRARIES]
    subprocess.run(make, check=True)
    return str(checkout / ".venv" / "bin" / "python")


def _wanted(checkout: Path) -> tuple[list[str], list[str]]:
    """Return what the client and the server of a checkout ask for."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    return project["dependencies"], project["optional-dependencies"]["server"]


def libraries_of(environment: Environment) -> dict[str, str]:
    """Return the versions of the libraries that results tell of, of those that an environment has."""
    code = (
        "import importlib.metadata, json\n"
        f"found = [each for each in importlib.metadata.distributions() if each.name in {machine.LIBRARIES}]\n"
        "print(json.dumps({each.name: each.version for each in found}))"
    )
    versions: dict[str, str] = json.loads(_print(environment, code))
    return versions


def _print(environment: Environment, code: str) -> str:
    """Return what code prints in an environment."""
    command = [environment.python, "-c", code]
    variables = {**os.environ, **environment.variables}
    return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout


def fill(data_dir: Path, checkout: Path, environment: Environment) -> None:
    """Fill a store by the code of a checkout."""
    populate = ("-m", "benchmarks.populate", "--runs", str(RUNS), "--data-dir", str(data_dir))
    variables = {**os.environ, **environment.variables}
    subprocess.run([environment.python, *populate], env=variables, cwd=checkout, check=True)


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
    ours = libraries_of(now)
    theirs = {name: version for name, version in libraries_of(then).items() if version != ours.get(name)}
    measurement.machine |= {f"base_{name}": version for name, version in sorted(theirs.items())}
    fill(then_dir, checkout, then)
    fill(now_dir, ROOT, now)
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
