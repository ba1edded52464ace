"""How answers are printed: lines and tables for people, JSON for programs."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from runindex_server.cli.words import plain

_NAME_CHARACTERS: Final = 13
_FOLDED_CHARACTERS_MIN: Final = 24


def echo_json(response: Message) -> None:
    """Print a response as JSON, by the mapping of protobuf, as one document."""
    typer.echo(MessageToJson(response, always_print_fields_with_no_presence=True))


def echo_facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and what is told of each, a line each."""
    for name, value in rows:
        typer.echo(f"{name:<{_NAME_CHARACTERS}}{value}")


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: a line for each row, with nothing cut off. On a terminal the last column is folded.

    Args:
        columns: Their titles; those of numbers begin with `>`.
        rows: Cells; what could make a terminal obey is shown, not sent.
    """
    titles = [column.removeprefix(">") for column in columns]
    are_numbers = [column.startswith(">") for column in columns]
    lines = [titles, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        _draw(lines, widths, are_numbers)
        return
    for line in lines:
        placed = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, are_numbers, strict=True)
        )
        typer.echo("  ".join(placed).rstrip())


def _draw(lines: Sequence[Sequence[str]], widths: Sequence[int], are_numbers: Sequence[bool]) -> None:
    """Draw a table as wide as the terminal, or wider if all but its last column need that."""
    # Not needed by those who serve, nor by programs that read a pipe.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    least = [*widths[:-1], widths[-1] if are_numbers[-1] else min(widths[-1], _FOLDED_CHARACTERS_MIN)]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title, is_number in zip(lines[0], are_numbers, strict=True):
        table.add_column(Text(title), justify="right" if is_number else "left", no_wrap=True)
    table.columns[-1].no_wrap = are_numbers[-1]
    table.columns[-1].overflow = "fold"
    for line in lines[1:]:
        table.add_row(*map(Text, line))
    console = Console(highlight=False)
    console.width = max(console.width, sum(least) + 2 * (len(least) - 1))
    console.print(table)
