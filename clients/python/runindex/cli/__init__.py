"""The command line `runindex`: to find runs, look at them, and change them.

Nothing of gRPC is loaded before a command makes its first call, so that `--help` and the completion of names
do not wait for it. Commands use what `runindex.Client` offers to everybody, and nothing else.
"""

import sys
from typing import Final

MISSING: Final = "runindex: the command line needs more than the client does: pip install 'runindex[cli]'"

_EXTRA: Final = {"rich", "typer"}


def main() -> None:
    """Run the command line."""
    try:
        from runindex.cli.app import app  # noqa: PLC0415  # It may be missing, and that is told here.
    except ModuleNotFoundError as fault:
        if fault.name not in _EXTRA:
            raise
        sys.stderr.write(f"{MISSING}\n")
        sys.exit(1)
    app(prog_name="runindex")
