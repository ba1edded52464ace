"""What commands take that ask a running server."""

from typing import Annotated, Final

import typer

Address = Annotated[str, typer.Option(help="Where the server listens.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print it for programs: the response as JSON.")]

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
"""That of the settings, without loading these: a health check comes every few seconds."""
