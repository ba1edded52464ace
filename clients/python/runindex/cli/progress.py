"""How far long work is: a bar on standard error, where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from runindex.cli.session import Session

LONG: Final = 20
"""From how many calls on work is long."""


@contextmanager
def progress(session: Session, what: str, total: int) -> Iterator[Callable[[], None]]:
    """Return what is called after each step of some work, and shows how much of it is done.

    Args:
        session: Who works.
        what: What is done.
        total: How many steps there are.
    """
    if total < LONG or not session.world.can_draw_errors:
        yield lambda: None
        return
    # Not needed by programs that read a pipe.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, width=session.world.width)
    # Standard output may lead elsewhere, and then stays as it is.
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
