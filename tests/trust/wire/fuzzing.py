"""Starts fuzzers, each in a process of its own, and reads what they tell."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.trust.wire.targets import last_input

HANG_S: Final = 120.0
"""How long 128 executions may take. They take a second."""

RSS_MIB_MAX: Final = 1_024
"""What the process of a fuzzer may take in all."""

END_S: Final = 180.0
"""How long a fuzzer may take to begin and to end."""

OUTPUT_CHARS: Final = 6_000
"""How much of the end of the output a report shows."""

Started = tuple["subprocess.Popen[bytes]", Path]


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """What came of a fuzzer.

    Attributes:
        name: Of its target.
        code: How its process ended: 0 when it found nothing.
        executions: How many inputs it executed.
        edges: How many edges of the code it has reached, and how many with the legal inputs alone.
        rss_mib: The most memory that its process took.
        told: What the target tells of itself.
        finding: The input, the problem and the calls that lead to it; empty for none.
    """

    name: str
    code: int
    executions: int
    edges: tuple[int, int]
    rss_mib: int
    told: dict[str, Any]
    finding: str

    def summary(self) -> str:
        """Return it as a line."""
        began, reached = self.edges
        return (
            f"{self.name}: {self.executions} executions, {reached} edges ({began} with legal inputs), "
            f"{self.rss_mib} MiB, {'found something' if self.code else 'nothing found'}"
        )


def fuzz(
    folder: Path,
    names: tuple[str, ...],
    *,
    seed: int,
    runs: int,
    seconds: int,
    fault: str = "none",
    hang_s: float = HANG_S,
) -> list[Fuzzed]:
    """Fuzz targets, all of them at once, and return what came of each.

    Args:
        folder: Empty; what is found stays there.
        names: Of the targets.
        seed: Of the mutations.
        runs: Executions of each target at most.
        seconds: How long each may take; 0 for as long as it takes.
        fault: A fault of `planted.py`, or `none`.
        hang_s: How long 128 executions may take.
    """
    started = {name: _start(folder / name, name, seed, runs, seconds, fault, hang_s) for name in names}
    try:
        return [_end(name, process, folder / name, seconds) for name, process in started.items()]
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def _start(
    folder: Path, name: str, seed: int, runs: int, seconds: int, fault: str, hang_s: float
) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    command = [sys.executable, "-m", "tests.trust.wire.fuzz", name, str(folder), fault, str(hang_s)]
    flags = [
        *(f"-seed={seed}", f"-runs={runs}", f"-max_total_time={seconds}"),
        *(f"-rss_limit_mb={RSS_MIB_MAX}", "-reload=0"),
    ]
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [*command, *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # The same seed is to find the same.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )


def _end(name: str, process: "subprocess.Popen[bytes]", folder: Path, seconds: int) -> Fuzzed:
    code = process.wait(timeout=seconds + END_S if seconds else None)
    output = (folder / "output").read_text(errors="replace")
    edges = [int(edges) for edges in re.findall(r"^#\d+\t\w+ +cov: (\d+)", output, re.MULTILINE)]
    begun = re.search(r"^#\d+\tINITED +cov: (\d+)", output, re.MULTILINE)
    told = folder / "told.json"
    return Fuzzed(
        name=name,
        code=code,
        executions=_figure(output, "number_of_executed_units"),
        edges=(int(begun.group(1)) if begun else 0, max(edges, default=0)),
        rss_mib=_figure(output, "peak_rss_mb"),
        told=json.loads(told.read_text()) if told.exists() else {},
        finding=_finding(folder, output) if code else "",
    )


def _figure(output: str, name: str) -> int:
    found = re.search(rf"stat::{name}: +(\d+)", output)
    return int(found.group(1)) if found else 0


def _finding(folder: Path, output: str) -> str:
    """Return what was found: the end of the output, the last input, and the calls that lead to it."""
    case = folder / "calls.json"
    calls = case.read_text() if case.exists() else ""
    shown = re.sub(r"^INFO: Instrumenting .*\n", "", output, flags=re.MULTILINE)
    return f"{shown[-OUTPUT_CHARS:]}\nlast input: {last_input(folder).hex()}\n{calls}\nin {folder}"
