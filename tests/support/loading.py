"""The commands of the server, loaded before they are asked for."""

from importlib import import_module
from typing import Final

from runindex_server.cli.app import COMMANDS

COMMAND_MODULES: Final = (
    *sorted({f"runindex_server.cli.{place.partition(':')[0]}" for place in COMMANDS.values()}),
    "runindex_server.cli.alone",
    "runindex_server.cli.supervising",
)
"""Those of all commands, and the two of which `serve` loads one once it knows its settings."""


def load_commands() -> None:
    """Load all that commands load when they are asked for."""
    for name in COMMAND_MODULES:
        import_module(name)
