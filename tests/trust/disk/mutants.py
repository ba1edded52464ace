"""Damages a store very often, each time in another way, and holds what it answers against the sound store.

`python -m tests.trust.disk.mutants --mutants 100000 --seed 1` prints a table, and what failed; it exits 1
when anything did. With `--unsealed` the seal is taken away first, as it is after a kill: then it is the
checksums of records, and the engine, that have to notice.
"""

import argparse
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from runindex_server.logs import configure_logs
from tests.trust.disk.damage import mutant
from tests.trust.disk.trial import FAILURES, Bench, Outcome, Verdict

HANG_S: Final = 60.0
"""How long one mutant may take before it is said to hang."""

LANES: Final = os.cpu_count() or 1
FAILURES_TOLD_MAX: Final = 50


@dataclass(slots=True)
class Report:
    """What came of mutants.

    Attributes:
        table: Of each kind of damage how often each outcome.
        failures: The first that failed: number, kind, outcome and details.
        failed: How many failed.
        details: What differed in all of them.
    """

    table: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    details: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many mutants were tried."""
        return sum(counts.total() for counts in self.table.values())

    def add(self, number: int, kind: str, verdict: Verdict) -> None:
        """Add one."""
        self.table[kind][verdict.outcome.name] += 1
        if verdict.outcome in FAILURES:
            self.failed += 1
            self.details.update(verdict.details)
            if len(self.failures) < FAILURES_TOLD_MAX:
                self.failures.append(f"mutant {number}, {kind}: {verdict.outcome}: {verdict.details}")


def run(mutants: int, seed: int, *, is_sealed: bool = True) -> Report:
    """Try so many mutants, in some processes at once."""
    report = Report()
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place, prefix="mutants-") as folder:
        bench = Bench.made_in(Path(folder) / "made" / "data", is_sealed=is_sealed)
        lanes = [
            Lane(bench, Path(folder) / f"lane-{lane}", seed, range(lane, mutants, LANES))
            for lane in range(LANES)
        ]
        try:
            while any(lane.is_busy for lane in lanes):
                waiting = {lane.pipe: lane for lane in lanes if lane.is_busy}
                ready, _, _ = select.select(list(waiting), [], [], HANG_S)
                for pipe in ready:
                    for number, kind, verdict in waiting[pipe].hear():
                        report.add(number, kind, verdict)
                for lane in waiting.values():
                    for number, kind, verdict in lane.look():
                        report.add(number, kind, verdict)
        finally:
            for lane in lanes:
                lane.end()
    return report


class Lane:
    """Tries its mutants one after the other in a child, and goes on in another one when that dies."""

    def __init__(self, bench: Bench, folder: Path, seed: int, numbers: range) -> None:
        """Start with the first."""
        shutil.copytree(bench.data_dir.parent, folder)
        bench = Bench(bench.image, folder / "data", bench.clock, bench.seal, bench.is_sealed, bench.sound)
        self._bench = bench
        self._seed = seed
        self._left = list(reversed(numbers))
        self._start()

    @property
    def is_busy(self) -> bool:
        """Whether there is anything left."""
        return bool(self._left)

    def _start(self) -> None:
        """Go on in a new child."""
        if not self._left:
            return
        self.pipe, theirs = os.pipe()
        self._heard, self._heard_s = b"", time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            self._try_all(theirs)
        os.close(theirs)

    def _try_all(self, pipe: int) -> NoReturn:
        """Try what is left, and tell each; in the child."""
        try:
            for number in reversed(self._left):
                one = mutant(self._bench.image, self._seed, number)
                self._bench.lay_out(one.data)
                os.write(pipe, (json.dumps(asdict(self._bench.judge())) + "\n").encode())
        finally:
            os._exit(0)

    def hear(self) -> Iterator[tuple[int, str, Verdict]]:
        """Yield what the child has told; when it has ended with a mutant untold, that one killed it."""
        told = os.read(self.pipe, 2**16)
        self._heard_s = time.monotonic()
        *lines, self._heard = (self._heard + told).split(b"\n")
        for line in lines:
            values = json.loads(line)
            yield self._next(Verdict(Outcome(values["outcome"]), values["details"]))
        if not told:
            yield from self._ended(Outcome.DIED)

    def look(self) -> Iterator[tuple[int, str, Verdict]]:
        """Yield the mutant on which the child hangs, if it does."""
        if self._left and time.monotonic() - self._heard_s > HANG_S:
            os.kill(self._pid, signal.SIGKILL)
            yield from self._ended(Outcome.HUNG)

    def _ended(self, outcome: Outcome) -> Iterator[tuple[int, str, Verdict]]:
        os.close(self.pipe)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if self._left:
            code = os.waitstatus_to_exitcode(status)
            yield self._next(Verdict(outcome, {f"exit code {code}": 1}))
        self._start()

    def _next(self, verdict: Verdict) -> tuple[int, str, Verdict]:
        number = self._left.pop()
        return number, mutant(self._bench.image, self._seed, number).kind, verdict

    def end(self) -> None:
        """See to it that the child is gone."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description="Damage a store very often.")
    parser.add_argument("--mutants", type=int, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of the damage")
    parser.add_argument("--unsealed", action="store_true", help="take the seal away first")
    parser.add_argument("--report", type=Path, help="a file for the report, as JSON")
    asked = parser.parse_args()
    configure_logs("critical", "json")
    began_s = time.monotonic()
    report = run(asked.mutants, asked.seed, is_sealed=not asked.unsealed)
    spent_s = time.monotonic() - began_s
    for kind, counts in sorted(report.table.items()):
        sys.stdout.write(
            f"{kind}: {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}\n"
        )
    for detail, count in report.details.most_common():
        sys.stdout.write(f"  {count} times {detail}\n")
    for failure in report.failures:
        sys.stdout.write(f"seed {asked.seed}, {failure}\n")
    sys.stdout.write(
        f"{report.total} mutants, {report.failed} failed, {report.total / spent_s:.0f} a second\n"
    )
    if asked.report is not None:
        told = {
            "total": report.total,
            "failed": report.failed,
            "failures": report.failures,
            "table": report.table,
        }
        asked.report.write_text(json.dumps(told))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
