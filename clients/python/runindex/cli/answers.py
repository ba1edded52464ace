"""How answers are printed: tables and lines for people, JSON and ids for programs."""

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import typer

import runindex
from runindex.cli.json_values import json_of, line_of
from runindex.cli.options import Output
from runindex.cli.session import Session
from runindex.cli.words import ago_text, duration_text, plain, tags_text

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

TABLE_ROWS: Final = 100
"""How long a table is that nobody has given a limit."""

_NAME_CHARACTERS: Final = 11
_FOLDED_CHARACTERS_MIN: Final = 10
_CUT_CHARACTERS_MIN: Final = 4
_GAP: Final = 2
_STATE_NAMES: Final = {"State", "Outcome"}

STYLES: Final = {
    "active": "cyan",
    "paused": "magenta",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "archived": "dim",
}
"""The colours of states, which only a terminal shows."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """How a list of something is printed.

    Attributes:
        columns: The titles of its table; those of numbers begin with `>`.
        row: Makes the cells of a row.
        name: Makes what `-o ids` prints.
        none: What a person is told when there is nothing.
    """

    columns: Sequence[str]
    row: Callable[[T], Sequence[str]]
    name: Callable[[T], str]
    none: str


def runs_listing(session: Session, none: str = "No runs.") -> "Listing[runindex.Run]":
    """Return how runs are listed."""
    now = session.world.now()

    def row(run: "runindex.Run") -> Sequence[str]:
        took = "-" if run.duration is None else duration_text(run.duration)
        return run.run_id, run.state.lower(), ago_text(run.create_time, now), took, tags_text(run.tags)

    return Listing(("run", "state", "created", "took", "tags"), row, id_of, none)


def asked_limit(session: Session, limit: int | None) -> int | None:
    """Return how many items to ask for, one more than a table shows: so it can say that there are more."""
    return (limit or TABLE_ROWS) + 1 if session.output is Output.TABLE else limit


def echo_list(session: Session, items: Iterable[T], listing: Listing[T], limit: int | None) -> None:
    """Print a list; that there is nothing, or more, is for people only."""
    if session.output is Output.TABLE:
        shown = limit or TABLE_ROWS
        found = list(itertools.islice(items, shown + 1))
        if not found:
            typer.echo(listing.none, err=True)
            return
        echo_table(session, listing.columns, [listing.row(item) for item in found[:shown]])
        if len(found) > shown:
            typer.echo(f"There are more than these {shown:,}: see --limit.", err=True)
        return
    with printer(session, listing.name) as echo:
        for item in items:
            echo(item)


def id_of(run: "runindex.Run") -> str:
    """Return a run's id."""
    return run.run_id


@contextmanager
def printer(session: Session, name: Callable[[T], str]) -> Iterator[Callable[[T], None]]:
    """Return what prints items for programs as they come: JSON in one array or in lines, or their names."""
    if session.output is Output.IDS:
        yield lambda item: typer.echo(name(item))
        return
    if session.output is Output.JSONL:
        yield lambda item: typer.echo(line_of(item))
        return
    separators = itertools.chain(["[\n  "], itertools.repeat(",\n  "))
    has_items = False

    def echo(item: T) -> None:
        nonlocal has_items
        has_items = True
        typer.echo(f"{next(separators)}{line_of(item)}", nl=False)

    try:
        yield echo
    except BaseException:
        if has_items:  # What was done can be read; that there is more is told by the exit code.
            typer.echo("\n]")
        raise
    typer.echo("\n]" if has_items else "[]")


def echo_value(session: Session, value: object, facts: Callable[[], Iterable[tuple[str, str]]]) -> None:
    """Print one thing: as facts for people, or as JSON on several lines or on one."""
    match session.output:
        case Output.JSON:
            typer.echo(json.dumps(json_of(value), ensure_ascii=False, indent=2))
        case Output.JSONL:
            typer.echo(line_of(value))
        case _:
            echo_facts(session, facts())


def echo_facts(session: Session, rows: Iterable[tuple[str, str]]) -> None:
    """Print names and what is told of each, a line each; states in their colours."""
    for name, value in rows:
        style = STYLES.get(value, "") if name in _STATE_NAMES else ""
        echo_styled(session, [(f"{name:<{_NAME_CHARACTERS}}", ""), (value, style)])


def echo_styled(session: Session, parts: Iterable[tuple[str, str]]) -> None:
    """Print a line of parts, each with its style, which only a terminal shows."""
    safe = [(plain(text), style) for text, style in parts]
    if not session.world.can_draw:
        typer.echo("".join(text for text, _ in safe).rstrip())
        return
    from rich.text import Text  # noqa: PLC0415  # Not needed by programs that read a pipe.

    _console(session).print(Text.assemble(*safe), soft_wrap=True)


def echo_table(
    session: Session, columns: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False
) -> None:
    """Print a table: as wide as the terminal at most, or else a line for each row, with nothing cut off.

    Args:
        session: Who asks.
        columns: Their titles; those of numbers begin with `>`.
        rows: Cells; what could make a terminal obey is shown, not sent.
        err: Whether to print it on standard error.
    """
    titles = [column.removeprefix(">") for column in columns]
    are_numbers = [column.startswith(">") for column in columns]
    lines = [titles, *([plain(cell) for cell in row] for row in rows)]
    if session.world.can_draw_errors if err else session.world.can_draw:
        _draw(_console(session, err=err), lines, are_numbers)
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        placed = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, are_numbers, strict=True)
        )
        typer.echo("  ".join(placed).rstrip(), err=err)


def _draw(console: "Console", lines: Sequence[Sequence[str]], are_numbers: Sequence[bool]) -> None:
    """Draw a table on a terminal: the last column is folded, and where that is not enough others are cut."""
    from rich.cells import cell_len  # noqa: PLC0415  # Not needed by programs that read a pipe.
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, _GAP, 0, 0))
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if not are_numbers[-1]:
        room = console.width - sum(widths[:-1]) - _GAP * len(widths[:-1])
        widths[-1] = min(widths[-1], max(_FOLDED_CHARACTERS_MIN, room))
    fitted = _fitted(widths, are_numbers, console.width)
    for title, is_number, width in zip(lines[0], are_numbers, fitted, strict=True):
        table.add_column(Text(title), justify="right" if is_number else "left", no_wrap=True, width=width)
    table.columns[-1].no_wrap = are_numbers[-1]
    table.columns[-1].overflow = "fold"
    for line in lines[1:]:
        styles = (
            STYLES.get(cell, "") if title == "state" else ""
            for title, cell in zip(lines[0], line, strict=True)
        )
        table.add_row(*map(Text, line, styles))
    console.width = max(console.width, sum(fitted) + _GAP * (len(fitted) - 1))
    console.print(table)


def _fitted(widths: Sequence[int], are_numbers: Sequence[bool], room: int) -> list[int]:
    """Return the widths of columns that fit: the widest text is narrowed first, which is mostly the ids'.

    Numbers are never cut; where texts alone cannot give enough, nothing is.
    """
    fitted = list(widths)
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    texts = [index for index, is_number in enumerate(are_numbers) if not is_number]
    if excess > sum(max(widths[index] - _CUT_CHARACTERS_MIN, 0) for index in texts):
        return fitted
    for _ in range(excess):
        fitted[max(texts, key=fitted.__getitem__)] -= 1
    return fitted


def _console(session: Session, *, err: bool = False) -> "Console":
    """Return what draws on the terminal; it shows no colours where NO_COLOR is set."""
    from rich.console import Console  # noqa: PLC0415  # Not needed by programs that read a pipe.

    no_color = bool(os.environ.get("NO_COLOR"))
    return Console(
        stderr=err, highlight=False, force_terminal=True, no_color=no_color, width=session.world.width
    )
