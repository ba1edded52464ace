"""Attacks a server in all ways, at length, and prints a table: `python -m tests.trust.callers --help`."""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from tests.property.machine import MEMORY_DIR
from tests.trust.callers.attacks import ATTACKS
from tests.trust.callers.table import HEAD, row_of, wrong
from tests.trust.callers.trial import Trial, tried


def main() -> int:
    """Attack one new server after the other; return 1 when something failed or a good client had to wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="attacks whose name contains this")
    parser.add_argument("--brief", action="store_true", help="as many cases as the tests have")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    trials: list[Trial] = []
    sys.stdout.write(f"{HEAD}\n")
    for attack in ATTACKS:
        if options.only in attack.name:
            with tempfile.TemporaryDirectory(prefix="runindex-callers-", dir=MEMORY_DIR) as folder:
                trials.append(
                    tried(attack, Path(folder), attack.cases if options.brief else attack.cases_max)
                )
            sys.stdout.write(f"{row_of(trials[-1])}\n")
            sys.stdout.flush()
    sys.stdout.write("".join(f"{trial.attack.name}: {trial.notes}\n" for trial in trials if trial.notes))
    found = wrong(trials)
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
