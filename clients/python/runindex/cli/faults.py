"""Faults of some among several: each is told, the others go on, and the exit code tells of all."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

import runindex
from runindex.cli.exits import EXIT_NO_ANSWER, EXIT_NO_RIGHT, EXIT_REFUSED, Unresolved, code_of, sentence_of


class Faults:
    """What has failed so far."""

    def __init__(self, address: str) -> None:
        """Begin with nothing.

        Args:
            address: Where the server listens.
        """
        self._address = address
        self._codes: set[int] = set()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell what fails inside, and go on; what would fail for all others too is raised.

        Raises:
            RunIndexError: The server does not answer, or lets nothing be done with this token.
        """
        try:
            yield
        except (runindex.RunIndexError, Unresolved) as fault:
            code = code_of(fault)
            if code in {EXIT_NO_ANSWER, EXIT_NO_RIGHT}:
                raise
            typer.echo(sentence_of(fault, self._address), err=True)
            self._codes.add(code)

    def finish(self) -> None:
        """End the command when something has failed: by its code, or as refused when codes differ."""
        if self._codes:
            raise typer.Exit(self._codes.pop() if len(self._codes) == 1 else EXIT_REFUSED)
