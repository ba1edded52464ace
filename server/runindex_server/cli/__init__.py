"""The operator's command line, and what it makes of a process: a server, a supervisor, a worker."""

import os


def main() -> None:
    """Run the operator's command line. What it writes is for its own user alone, whatever the umask was."""
    from runindex_server.cli.app import app  # noqa: PLC0415  # A part of it, such as a worker, is not all.

    os.umask(0o077)
    app()
