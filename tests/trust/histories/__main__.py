"""Records and judges histories: `python -m tests.trust.histories --operations 1000000 --kills 500`."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.property.machine import MEMORY_DIR
from tests.trust.histories.trial import judged, record, told


def main() -> int:
    """Do so many histories one after the other, each of a new store, and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=200_000, help="of each history")
    parser.add_argument("--kills", type=int, default=100, help="in each history")
    parser.add_argument("--histories", type=int, default=1)
    parser.add_argument("--seed", default=str(random.getrandbits(32)))
    options = parser.parse_args()
    wrong: list[str] = []
    for number in range(options.histories):
        seed = f"{options.seed}-{number}"
        with tempfile.TemporaryDirectory(prefix="runindex-history-", dir=MEMORY_DIR) as folder:
            recording = record(Path(folder), operations=options.operations, kills=options.kills, seed=seed)
            trial = judged(recording)
        sys.stdout.write(f"{told({'seed': seed, **trial.figures})}\n")
        wrong += trial.wrong()
    sys.stdout.write("".join(f"{one}\n" for one in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
