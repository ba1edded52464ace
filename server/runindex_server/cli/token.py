"""`token create`, `list` and `revoke`: change the file of tokens, whether a server runs on it or not."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from runindex_server.access.caller import Role
from runindex_server.access.token_file import TokensRefused, add_token, load_tokens, remove_token
from runindex_server.access.tokens import Token, checked_name, new_token
from runindex_server.cli.answers import echo_table
from runindex_server.cli.exits import exit_with
from runindex_server.clock import SystemClock
from runindex_server.limits import RETENTION_DURATION_US_MAX
from runindex_server.schema.spans import parse_span_us

app = typer.Typer(help="Make, list and revoke the tokens of callers.", no_args_is_help=True)

TokensFile = Annotated[
    Path,
    typer.Option(help="The file of tokens, as the server's setting.", envvar="RUNINDEX_TOKENS_FILE"),
]


@app.command()
def create(
    tokens_file: TokensFile,
    name: Annotated[str, typer.Option(help="Of the caller. Its tokens are one caller to the server.")],
    role: Annotated[Role, typer.Option(help="What the caller may do: each may do what those before it may.")],
    expires_in: Annotated[
        str | None, typer.Option(help="After what time it is refused: 12h, 90d. Never, unless it is said.")
    ] = None,
) -> None:
    """Make a token, and print it: it cannot be told again. A running server takes it within a second."""
    now = _now()
    expire_time = None if expires_in is None else now + _span(expires_in)
    try:
        token, text = new_token(checked_name(name), role, now=now, expire_time=expire_time)
        add_token(tokens_file, token)
    except ValueError as error:
        exit_with(f"--name: {error}.")
    except TokensRefused as error:
        exit_with(f"{error}.")
    typer.echo(
        f"Token {token.id} of {name}, {role}, expires {_expiry(token)}. Keep it: it is told only here.",
        err=True,
    )
    typer.echo(text)


@app.command("list")
def list_tokens(
    tokens_file: TokensFile,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs, as JSON.")] = False,
) -> None:
    """List the tokens, the oldest first. Their secrets are kept nowhere."""
    try:
        tokens = load_tokens(tokens_file)
    except TokensRefused as error:
        exit_with(f"{error}.")
    if as_json:
        told = [token.model_dump(mode="json", exclude={"sha256"}) for token in tokens]
        typer.echo(json.dumps({"tokens": told}, indent=2))
        return
    if not tokens:
        typer.echo(f"There are no tokens in {tokens_file}.")
        return
    rows = [
        (token.id, token.name, token.role, f"{token.create_time:%Y-%m-%d %H:%M}", _expiry(token))
        for token in tokens
    ]
    echo_table(("token", "name", "role", "created (UTC)", "expires"), rows)


@app.command()
def revoke(
    tokens_file: TokensFile,
    token: Annotated[str, typer.Argument(help="The token's id, as `list` tells it: 12 hexadecimal digits.")],
) -> None:
    """Revoke a token. A running server refuses it within a second."""
    try:
        revoked = remove_token(tokens_file, token)
    except TokensRefused as error:
        exit_with(f"{error}.")
    if revoked is None:
        # Not what was given: it may be a whole token.
        exit_with(
            f"There is no token of that id in {tokens_file}; `runindex-server token list` tells the ids."
        )
    typer.echo(f"Revoked token {revoked.id} of {revoked.name}, {revoked.role}.")


def _now() -> datetime:
    """Return the time, to the second."""
    return datetime.fromtimestamp(SystemClock().now_us() // 1_000_000, UTC)


def _span(text: str) -> timedelta:
    """Return a span, or end the command."""
    span_us = parse_span_us(text)
    if not span_us or span_us > RETENTION_DURATION_US_MAX:
        exit_with(f"--expires-in: {text!r} is no span of time such as 12h or 90d.")
    return timedelta(microseconds=span_us)


def _expiry(token: Token) -> str:
    """Return when a token expires, as a person reads it."""
    if token.expire_time is None:
        return "never"
    when = f"{token.expire_time:%Y-%m-%d %H:%M} UTC"
    return when if token.expire_time > _now() else f"{when}, expired"
