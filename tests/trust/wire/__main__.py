"""Fuzzes parsers and the wire for long: `python -m tests.trust.wire --executions 1000000 --cases 20000`.

Prints what was tried and reached; exits 1 when anything was found. What was found stays in the folder that is
told.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.trust.wire.battering import attack, told
from tests.trust.wire.fuzzing import fuzz

TARGETS = ("calls", "parsers")


def main() -> int:
    """Fuzz; return the exit code."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers and the wire.")
    parser.add_argument(
        "--executions", type=int, default=1_000_000, help="of whole calls and parsers together"
    )
    parser.add_argument(
        "--seconds", type=int, default=0, help="how long they may take; 0 for as long as it takes"
    )
    parser.add_argument(
        "--cases", type=int, default=20_000, help="connections with bytes that no client sends"
    )
    parser.add_argument("--seed", type=int, default=random.getrandbits(31))
    asked = parser.parse_args()
    wrong: list[str] = []
    sys.stdout.write(f"seed {asked.seed}\n")
    if asked.executions:
        wrong += _fuzz(asked.executions // len(TARGETS), asked.seed, asked.seconds)
    if asked.cases:
        with tempfile.TemporaryDirectory(prefix="runindex-wire-") as folder:
            battery = attack(Path(folder), count=asked.cases, seed=asked.seed)
        sys.stdout.write(f"{told(battery)}\n")
        wrong += battery.wrong()
    sys.stdout.write("".join(f"{one}\n" for one in wrong))
    return 1 if wrong else 0


def _fuzz(runs: int, seed: int, seconds: int) -> list[str]:
    """Fuzz all targets at once, and return what was found."""
    folder = Path(tempfile.mkdtemp(prefix="runindex-fuzz-"))
    results = fuzz(folder, TARGETS, seed=seed, runs=runs, seconds=seconds)
    for result in results:
        sys.stdout.write(f"{result.summary()}\n{result.told}\n")
    sys.stdout.flush()
    return [result.finding for result in results if result.code]


if __name__ == "__main__":
    sys.exit(main())
