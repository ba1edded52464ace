"""How runs are named: by whole ids, by beginnings that only one id has, or on standard input."""

import re
import sys
from collections.abc import Sequence
from typing import Final, TextIO
from uuid import UUID

import runindex
from runindex.cli.exits import Unresolved
from runindex.cli.session import Session, refuse_usage

STANDARD_INPUT: Final = "-"
DEFAULT_RUN: Final = "default"

PREFIX_CHARACTERS_MIN: Final = 4
"""Shorter beginnings are slips more often than they are meant."""

CANDIDATES_MAX: Final = 5
"""How many runs are named where a beginning is that of several."""

_PREFIX: Final = re.compile(r"[0-9a-f][0-9a-f-]{3,35}", re.IGNORECASE)


def named_ids(session: Session, given: Sequence[str] | None) -> list[str]:
    """Return what runs are named by, each once: as arguments, or on standard input; or end the command.

    Standard input is read where `-` stands, and where nothing is given and it is no terminal.
    """
    if not given and session.world.is_typed:
        refuse_usage(
            "Which runs? Give ids, beginnings of 4 characters or more, or - for ids on standard input."
        )
    texts = [
        name
        for text in given or (STANDARD_INPUT,)
        for name in (_read() if text == STANDARD_INPUT else (text,))
    ]
    for text in texts:
        if whole_id(text) is None and _PREFIX.fullmatch(text) is None:
            refuse_usage(f"{text!r:.100} is no id of a run, nor a beginning of one of 4 characters or more.")
    return list(dict.fromkeys(texts))


def _read() -> list[str]:
    """Return what stands on standard input; it is None where it was closed before the start."""
    stdin: TextIO | None = sys.stdin
    try:
        return [] if stdin is None else stdin.read().split()
    except UnicodeDecodeError:
        refuse_usage("What came on standard input is no text.")


def whole_id(text: str) -> str | None:
    """Return the id that a text is in any form; None when it is none."""
    if text == DEFAULT_RUN:
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return None


def resolve(client: "runindex.Client", text: str) -> str:
    """Return the id that a text is, or is the beginning of.

    A beginning is looked up in one call, among all runs, archived ones too: by their ids, which are in order.

    Raises:
        Unresolved: No id begins so, or several.
    """
    run_id = whole_id(text)
    if run_id is not None:
        return run_id
    size = CANDIDATES_MAX + 1
    found = client.search(f"id:{text}*", include_archived=True, page_size=size, limit=size).ids()
    page = next(iter(found.pages()))
    if page.truncated and len(page.items) <= 1:
        msg = f"So many ids begin with {text} that the server stopped looking: give more of it."
        raise Unresolved(msg)
    if not page.items:
        msg = f"No id begins with {text}, of all runs, archived ones too."
        raise Unresolved(msg)
    if len(page.items) > 1:
        more = " and more" if len(page.items) > CANDIDATES_MAX else ""
        msg = f"Several ids begin with {text}: {', '.join(page.items[:CANDIDATES_MAX])}{more}."
        raise Unresolved(msg)
    return page.items[0]
