"""How commands end: exit codes, and the one way to tell why."""

from typing import Final, NoReturn

import typer

from runindex_server.exit_codes import EXIT_FATAL, EXIT_REFUSED

__all__ = [
    "EXIT_DRIFTED",
    "EXIT_FATAL",
    "EXIT_INSECURE",
    "EXIT_NOT_VERIFIED",
    "EXIT_PROBLEM",
    "EXIT_REFUSED",
    "exit_with",
]

EXIT_PROBLEM: Final = 1
"""`doctor` found what keeps a server from serving."""

EXIT_DRIFTED: Final = 1
"""Verification found something that does not follow from the records."""

EXIT_NOT_VERIFIED: Final = 2
"""Verification could not run to its end, and says nothing of the store."""

EXIT_INSECURE: Final = 78
"""It would have listened where other machines reach it, without being told so."""


def exit_with(message: str, code: int = EXIT_REFUSED) -> NoReturn:
    """Tell why the command ends, and end it."""
    typer.echo(message.rstrip(), err=True)
    raise typer.Exit(code)
