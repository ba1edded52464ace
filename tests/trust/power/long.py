"""The long run: replays losses of power until very many different states have been checked.

`python -m tests.trust.power.long --states 1000000`. Prints two lines for each recording, and what
failed; exits 1 when anything did. `--seed` begins with another recording.
"""

import argparse
import json
import sys
import time

from tests.trust.power.campaign import FIRST_SEED, SUBSETS, rounds


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description="Replay losses of power.")
    parser.add_argument("--states", type=int, default=1_000_000, help="different states that are enough")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first recording")
    parser.add_argument("--subsets", type=int, default=SUBSETS, help="random subsets at each flush")
    asked = parser.parse_args()
    started = time.monotonic()
    failures = []
    for each in rounds(asked.states, first_seed=asked.seed, subsets=asked.subsets):
        spent = time.monotonic() - started
        sys.stdout.write(f"seed {each.seed}: {each.explored.summary()}\n")
        sys.stdout.write(f"  so far {len(each.total.digests)} distinct states in {spent:.0f} s\n")
        sys.stdout.flush()
        failures = each.total.failures
    for failure in failures:
        sys.stdout.write(f"{json.dumps(failure)}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
