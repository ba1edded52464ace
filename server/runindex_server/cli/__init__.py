"""What is run as a process of its own: the operator's command line, and the workers of a server.

Nothing is loaded here, because a worker that is to start again needs none of the commands.
"""


def main() -> None:
    """Run the operator's command line."""
    from runindex_server.cli.app import app  # noqa: PLC0415  # As above.

    app()
