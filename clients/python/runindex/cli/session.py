"""What every command is given: how to reach the server, how to print, and what time it is."""

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import Parameter
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec, TextIO

import typer

import runindex
from runindex.cli.exits import EXIT_USAGE, Unresolved, code_of, exit_with, sentence_of
from runindex.cli.options import Address, Output, OutputOption, TlsCa, Token
from runindex.cli.quick import QuickCommand

P = ParamSpec("P")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is around a command; tests give it another one, as the object of its context.

    Attributes:
        now: Tells the time.
        sleep: Waits for some seconds.
        is_typed: Whether standard input is a terminal, so that to read it is to wait for somebody.
        can_ask: Whether there is somebody who would see a question, and could answer it.
        can_draw: Whether standard output is one.
        can_draw_errors: Whether standard error is one.
        width: How many characters a line of it has; None for what it says itself.
    """

    now: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep
    is_typed: bool
    can_ask: bool
    can_draw: bool
    can_draw_errors: bool
    width: int | None = None


def _real_world() -> World:
    is_typed, can_draw, can_draw_errors = map(_is_terminal, (sys.stdin, sys.stdout, sys.stderr))
    return World(
        is_typed=is_typed,
        can_ask=is_typed and can_draw_errors,
        can_draw=can_draw,
        can_draw_errors=can_draw_errors,
    )


def _is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal; one that was closed before the start is None."""
    return stream is not None and stream.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command's way to the server, and back to who called it.

    Attributes:
        world: What is around it.
        output: How it prints its answer.
        address: Where the server listens; None for what the environment says.
        token: Sent with each call; None for what the environment says.
        tls_ca: A file of certificates to trust; None for what the environment says.
    """

    world: World
    output: Output
    address: str | None
    token: str | None
    tls_ca: Path | None

    @contextmanager
    def client(self) -> "Iterator[runindex.Client]":
        """Return a client; a fault that nobody else has told ends the command, and is told."""
        client = self._connect()
        with client:
            try:
                yield client
            except (runindex.RunIndexError, Unresolved) as fault:
                exit_with(sentence_of(fault, client.address), code_of(fault))
            except UnicodeEncodeError as fault:
                if fault.encoding != "utf-8":  # Of what is printed.
                    raise
                refuse_usage(f"{fault.object!r:.100} is no text in UTF-8.")

    def _connect(self) -> "runindex.Client":
        try:
            return runindex.Client(self.address, token=self.token, tls_ca=self.tls_ca, sleep=self.world.sleep)
        except OSError as fault:
            refuse_usage(f"{fault.filename}: {fault.strerror}.")
        except ValueError as fault:
            refuse_usage(f"{fault}.")


def refuse_usage(message: str) -> NoReturn:
    """End a command that is wrong as it stands, before it has done anything."""
    exit_with(message, EXIT_USAGE)


def register(
    app: typer.Typer,
    name: str,
    function: Callable[Concatenate[Session, P], None],
    *,
    output: Output = Output.TABLE,
    has_ids: bool = True,
) -> None:
    """Make a function a command: it gets a session, and the command the options that make one.

    Args:
        app: Where the command belongs.
        name: The command's name.
        function: Does it; its further parameters are the command's.
        output: How it prints unless it is told.
        has_ids: Whether what it prints has ids or names.
    """
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    shared = [
        Parameter("output", Parameter.KEYWORD_ONLY, default=output, annotation=OutputOption),
        Parameter("address", Parameter.KEYWORD_ONLY, default=None, annotation=Address),
        Parameter("token", Parameter.KEYWORD_ONLY, default=None, annotation=Token),
        Parameter("tls_ca", Parameter.KEYWORD_ONLY, default=None, annotation=TlsCa),
        Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context),
    ]

    def run(**given: Any) -> None:  # noqa: ANN401  # What typer has read.
        world: World = given.pop("ctx").obj or _real_world()
        session = Session(world=world, **{shared_name: given.pop(shared_name) for shared_name in _SHARED})
        if session.output is Output.IDS and not has_ids:
            refuse_usage(f"-o ids: what `{name}` prints has no ids.")
        call: Callable[..., None] = function
        call(session, **given)

    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # typer reads it.
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    app.command(name, cls=QuickCommand)(run)


_SHARED = ("output", "address", "token", "tls_ca")
