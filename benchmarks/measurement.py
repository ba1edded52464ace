"""A measurement as a whole: what was found, and on what machine, when, and beside whom."""

import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import accounting, figures, machine
from benchmarks.figures import Figure
from benchmarks.measure import Row


class Measurement:
    """A measurement under way.

    Attributes:
        machine: The machine, the versions and the commit, as they were when it began.
    """

    def __init__(self, folder: Path, runs: int) -> None:
        """Begin.

        Args:
            folder: Where the stores are.
            runs: How many the largest of them is filled with.
        """
        self._folder = folder
        self._runs = runs
        self._began, self._others_s = time.monotonic(), accounting.others_s()
        # Before anything: somebody may check out or commit meanwhile.
        self.machine = machine.describe(folder)
        self._first_sync_ms = machine.sync_median_ms(folder)

    @cached_property
    def sync_ms(self) -> float:
        """How long a sync takes: the mean of what it took at the beginning, and when this is first asked."""
        return mean((self._first_sync_ms, machine.sync_median_ms(self._folder)))

    def results(self, rows: Sequence[Row], found: Iterable[Figure]) -> dict[str, Any]:
        """End, and return the results as they are written."""
        sync_ms, seconds = self.sync_ms, time.monotonic() - self._began
        others_s = accounting.others_s() - self._others_s
        return {
            "machine": self.machine,
            "runs": self._runs,
            "seconds": round(seconds),
            "others_share": round(others_s / seconds / machine.cores(), 3),
            "sync_ms": round(sync_ms, 3),
            "rows": [figures.row_json(row) for row in rows],
            "figures": [figure.json() for figure in found],
        }
