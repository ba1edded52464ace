"""How a command asks before it does what cannot be undone."""

import sys
from collections.abc import Sequence

import typer

from runindex.cli.answers import Listing, T, echo_table
from runindex.cli.exits import EXIT_DECLINED, exit_with
from runindex.cli.session import Session, refuse_usage
from runindex.cli.words import count_text


def require_terminal(session: Session, command: str) -> None:
    """End a command that would have to ask, and has nobody to ask."""
    if not session.world.can_ask:
        refuse_usage(
            f"`{command}` asks first, and there is no terminal to ask on: "
            "--yes does it, --dry-run shows what it would hit."
        )


def ask(session: Session, verb: str, one: str, hit: Sequence[T], listing: Listing[T]) -> None:
    """Show what would be hit, on standard error, and ask; or end the command.

    Args:
        session: Who asks.
        verb: What would be done: `cancel`.
        one: What one of them is called: `run`.
        hit: What would be hit.
        listing: How it is shown.
    """
    echo_table(session, listing.columns, [listing.row(each) for each in hit], err=True)
    those = f"this {one}" if len(hit) == 1 else f"these {count_text(len(hit), one)}"
    if not _confirm(f"{verb.capitalize()} {those}?"):
        exit_with("Nothing was done.", EXIT_DECLINED)


def _confirm(question: str) -> bool:
    """Ask, with nothing on standard output, which may lead to a file; the end of the input is a no."""
    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        typer.echo(err=True)
    return answer.strip().lower() in {"y", "yes"}
