"""The operator's command line: `runindex-server` and its commands. Each is loaded when it is asked for.

`serve` runs a server, and `doctor` tells what keeps it from that; `health`, `status`, `stats`, `tags`,
`stale`, `errors`, `compact`, `verify` and `backup` ask one that runs; `restore`, `shrink`, `export` and
`import` work on a folder that no server holds; `token` says who may call.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import typer
import typer.main
from typer.core import TyperGroup

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "serve": "serve:serve",
        "doctor": "doctor:doctor",
        "health": "health:health",
        "status": "status:status",
        "stats": "insights:stats",
        "tags": "insights:tags",
        "stale": "insights:stale",
        "errors": "insights:errors",
        "compact": "compact:compact",
        "verify": "verify:verify",
        "backup": "backup:backup",
        "restore": "store:restore",
        "shrink": "store:shrink",
        "version": "version:version",
        "export": "bundle:export_bundle",
        "import": "bundle:import_runs",
        "token": "token:app",
    }
)
"""By the name of each, in the order of the help: its module in this package, and what it is there."""


class LazyCommands(TyperGroup):
    """The commands, loaded one by one: to load all of them takes longer than most of them run."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  # As `get_command`.
        """Return all names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401  # Of a class inside typer.
        """Return a command; None when there is none, with all of them at hand to suggest similar ones."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.commands[name] = _load(name)
        return super().get_command(ctx, cmd_name)


app: Final = typer.Typer(
    name="runindex-server",
    cls=LazyCommands,
    help="RunIndex: an execution index, served by gRPC.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _any_command() -> None:
    """Let typer take `app` for a group, although it is given no command."""


def _load(name: str) -> Any:  # noqa: ANN401  # Of a class inside typer.
    """Return a command, or a group of some."""
    module, _, attribute = COMMANDS[name].partition(":")
    loaded = getattr(import_module(f"runindex_server.cli.{module}"), attribute)
    alone = typer.Typer(rich_markup_mode=None)
    if isinstance(loaded, typer.Typer):
        alone.add_typer(loaded, name=name)
    else:
        alone.command(name)(loaded)
    return typer.main.get_group(alone).commands[name]
