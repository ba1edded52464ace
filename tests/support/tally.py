"""A pytest plugin: what tests have tried, added up for the page of promises.

A test tells it through the fixture `tally`, before it asserts; one that tells nothing has tried as many cases
as it has. With RUNINDEX_TALLIES naming a file, all of it is written there when the session ends.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pytest

FILE_VARIABLE: Final = "RUNINDEX_TALLIES"
PROPERTY: Final = "tally"
CASES: Final = "cases"


class Tally(Protocol):
    """Keeps what a test has tried."""

    def __call__(self, what: str, *, runs: int, failures: int = 0) -> None:
        """Add to what was tried.

        Args:
            what: In the plural: "distinct states of the disk".
            runs: How many were tried.
            failures: How many of them failed.
        """


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Return what keeps what the test has tried."""

    def add(what: str, *, runs: int, failures: int = 0) -> None:
        record_property(PROPERTY, [what, runs, failures])

    return add


@dataclass(slots=True)
class Tried:
    """What a test has tried, all its cases added up.

    Attributes:
        runs: How many of each kind.
        failures: How many of each kind failed; of `cases`, how many cases of the test did.
        skipped: How many cases were skipped.
    """

    runs: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    skipped: int = 0

    def add(self, what: str, runs: int, failures: int) -> None:
        """Add to one kind."""
        self.runs[what] = self.runs.get(what, 0) + runs
        self.failures[what] = self.failures.get(what, 0) + failures


class Tallies:
    """Adds up what the tests of a session tell, also those of the processes of pytest-xdist."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.by_test: dict[str, Tried] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test has told, when it has run or could not."""
        if report.when != "call" and not (report.skipped or report.failed):
            return
        tried = self.by_test.setdefault(report.nodeid.partition("[")[0], Tried())
        if report.skipped:
            tried.skipped += 1
            return
        tried.add(CASES, int(report.when == "call"), int(report.failed))
        if report.when == "call":
            for name, told in report.user_properties:
                if name == PROPERTY and isinstance(told, list | tuple):
                    tried.add(*told)

    def write(self, path: Path) -> None:
        """Write all of it."""
        told = {name: asdict(tried) for name, tried in sorted(self.by_test.items())}
        path.write_text(json.dumps(told, indent=1) + "\n")


_TALLIES: Final = pytest.StashKey[Tallies]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to add up, in the process that hears of all tests."""
    if os.environ.get(FILE_VARIABLE) and not hasattr(config, "workerinput"):
        config.stash[_TALLIES] = tallies = Tallies()
        config.pluginmanager.register(tallies)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was added up."""
    if _TALLIES in session.config.stash:
        session.config.stash[_TALLIES].write(Path(os.environ[FILE_VARIABLE]))
