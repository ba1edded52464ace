"""`health`: whether a server serves, for the health check of a container."""

import typer

from runindex_server.cli.asking import DEFAULT_ADDRESS, Address
from runindex_server.cli.channel import ChannelRefused
from runindex_server.cli.exits import EXIT_REFUSED, exit_with
from runindex_server.cli.health_check import check_health


def health(address: Address = DEFAULT_ADDRESS) -> None:
    """Ask a server whether it serves; exits 0 when it does, else 1."""
    try:
        status = check_health(address)
    except ChannelRefused as error:
        exit_with(str(error))
    typer.echo(status)
    raise typer.Exit(0 if status == "SERVING" else EXIT_REFUSED)
