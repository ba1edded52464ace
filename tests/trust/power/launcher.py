"""The server that is recorded: `runindex-server`, with small steps of its jobs, and a fault if told.

Runs as a program of its own: `python -m tests.trust.power.launcher FAULT ARGUMENTS`, FAULT being `none` or
one of `faults.py`. The product knows nothing of either.
"""

import sys
from typing import Final

from runindex_server.cli.app import app
from runindex_server.jobs import erase, runner
from tests.support.loading import load_commands
from tests.trust.power.faults import FAULTS

SMALL_STEPS: Final = (
    (erase, "ROWS_MAX", 7),
    (runner, "IDLE_S", 0.02),
    (runner, "MERGE_CHANGES_MIN", 12),
)
"""Steps so small that a short recording has many of each."""


def main(fault: str, *arguments: str) -> None:
    """Serve."""
    # Before a fault, which changes what is loaded.
    load_commands()
    for module, name, value in SMALL_STEPS:
        assert name in vars(module)
        vars(module)[name] = value
    if fault != "none":
        FAULTS[fault]()
    app(list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
