"""What a shell completes that only the server knows: tags, templates, and the ids of runs."""

from collections.abc import Callable, Iterable
from typing import Final

import typer

import runindex

NAMES_MAX: Final = 50
"""How many names a shell is given to choose from."""

TIMEOUT_S: Final = 2.0
"""Nobody waits for a completion any longer."""


def complete_tag(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the most frequent tags that begin so."""
    return _names(
        ctx,
        lambda client: (row.tag for row in client.insights.tags(incomplete, order="count", limit=NAMES_MAX)),
    )


def complete_template(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the templates whose names begin so."""
    return _names(
        ctx, lambda client: (template.name for template in client.templates.all(incomplete, limit=NAMES_MAX))
    )


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the newest runs whose ids begin so."""
    if not incomplete:
        return _names(ctx, lambda client: client.runs(limit=NAMES_MAX).ids())
    query = f"id:{incomplete}*"
    return _names(ctx, lambda client: client.search(query, include_archived=True, limit=NAMES_MAX).ids())


def _names(ctx: typer.Context, ask: "Callable[[runindex.Client], Iterable[str]]") -> list[str]:
    """Return names from the server; none where it does not answer, since a shell has no use for refusals."""
    address, token, tls_ca = (ctx.params.get(name) for name in ("address", "token", "tls_ca"))
    try:
        with runindex.Client(address, token=token, tls_ca=tls_ca, timeout_s=TIMEOUT_S, retries=0) as client:
            return list(ask(client))
    except (runindex.RunIndexError, OSError, ValueError):
        return []
