"""How far long work is, on standard error: a bar on a terminal, and else a line now and then."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import typer

from runindex_server.clock import Clock, SystemClock

LINE_INTERVAL_US: Final = 10_000_000
"""From one line to the next."""

Tell: TypeAlias = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is done, and of how much, if that is known."""


@contextmanager
def progress(unit: Callable[[int], str], *, clock: Clock | None = None) -> Iterator[Tell]:
    """Return what shows how far some work is.

    Args:
        unit: Makes a text of how much: `bytes_text`.
        clock: Whose monotonic time spaces the lines.
    """
    if not sys.stderr.isatty():
        yield _Lines(unit, clock or SystemClock()).tell
        return
    with _bar(unit) as tell:
        yield tell


class _Lines:
    def __init__(self, unit: Callable[[int], str], clock: Clock) -> None:
        self._unit = unit
        self._clock = clock
        self._last_us = clock.monotonic_us()

    def tell(self, what: str, done: int, total: int | None) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._last_us >= LINE_INTERVAL_US:
            self._last_us = now_us
            typer.echo(_sentence(self._unit, what, done, total), err=True)


@contextmanager
def _bar(unit: Callable[[int], str]) -> Iterator[Tell]:
    # Not needed by those who serve, nor by programs that read a pipe.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (BarColumn(bar_width=30), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    # Standard output may lead elsewhere, and then stays as it is.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int | None) -> None:
            bar.update(task, description=_sentence(unit, what, done, total), completed=done, total=total)

        yield tell


def _sentence(unit: Callable[[int], str], what: str, done: int, total: int | None) -> str:
    of = "" if total is None else f" of {unit(total)}"
    return f"{what}: {unit(done)}{of}"
