"""`version`: which server this is."""

import typer

from runindex_server import __version__


def version() -> None:
    """Print the server's version."""
    typer.echo(__version__)
