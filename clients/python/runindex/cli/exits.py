"""How commands end: exit codes, and the one way to tell why."""

from collections.abc import Mapping
from typing import Final, NoReturn

import typer

import runindex

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_NO_ANSWER: Final = 4
EXIT_NO_RIGHT: Final = 5
EXIT_DECLINED: Final = 6
EXIT_INTERRUPTED: Final = 130

EXIT_CODES: Final[Mapping[int, str]] = {
    0: "Done. A list may be empty. `list --follow` ends so by Ctrl-C.",
    EXIT_REFUSED: "The server refused it; or of several things some failed, and not all for the same reason.",
    EXIT_USAGE: "The command is wrong as it stands, or has no terminal to ask on. Nothing was done.",
    EXIT_NOT_FOUND: "There is no such run or template, or what was given is the beginning of several ids.",
    EXIT_NO_ANSWER: "No server answers there, it takes no calls, or it took too long.",
    EXIT_NO_RIGHT: "The token is missing or wrong, or does not allow it.",
    EXIT_DECLINED: "The question was answered by no. Nothing was done.",
    EXIT_INTERRUPTED: "Ended by Ctrl-C. What was told until then was done.",
}
"""All codes; the guide tells them in the same words."""


class Unresolved(Exception):
    """What was named is not there, or not only once. The message is a sentence."""


def exit_with(message: str, code: int) -> NoReturn:
    """Tell why the command ends, and end it."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def code_of(fault: "runindex.RunIndexError | Unresolved") -> int:
    """Return the exit code that tells of a fault."""
    match fault:
        case Unresolved() | runindex.NotFound():
            return EXIT_NOT_FOUND
        case runindex.Unavailable() | runindex.DeadlineExceeded():
            return EXIT_NO_ANSWER
        case runindex.Unauthenticated() | runindex.PermissionDenied():
            return EXIT_NO_RIGHT
        case _:
            return EXIT_REFUSED


def sentence_of(fault: "runindex.RunIndexError | Unresolved", address: str) -> str:
    """Return what went wrong as a person wants to read it, on one line."""
    if isinstance(fault, Unresolved) or fault.reason:
        return str(fault)
    match fault:
        case runindex.Unavailable() if "Connection refused" in fault.message:
            return f"No answer from {address}: is a server running there?"
        case runindex.Unavailable():
            return f"No answer from {address}: {fault.message}"
        case runindex.DeadlineExceeded():
            return f"The server at {address} took too long."
        case _ if fault.code.name == "UNIMPLEMENTED":
            return f"The server at {address} does not know this; it is older than this command."
        case _:
            return f"The call to {address} failed: {fault}"
