"""The commands, in the order in which the help lists them. Each is loaded when it is asked for."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import typer
import typer.main
from typer.core import TyperGroup

from runindex.cli.options import Output
from runindex.cli.quick import convert_quickly
from runindex.cli.session import register


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is, and how it prints.

    Attributes:
        module: The module, in this package.
        function: Does it.
        output: How it prints unless it is told.
        has_ids: Whether what it prints has ids or names.
    """

    module: str
    function: str
    output: Output = Output.TABLE
    has_ids: bool = True

    def load(self, name: str) -> Any:  # noqa: ANN401  # Of a library inside typer, which has no public name.
        """Return the command, under a name."""
        function = getattr(importlib.import_module(f"runindex.cli.{self.module}"), self.function)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        register(alone, name, function, output=self.output, has_ids=self.has_ids)
        return typer.main.get_command(alone)


class LazyGroup(TyperGroup):
    """A group whose commands are loaded one by one: to build all of them takes as long as a call."""

    table: ClassVar[Mapping[str, Command]] = {}
    """The commands by their names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # As `Command.load`.
        """Read the arguments before the command's name."""
        for parameter in self.get_params(ctx):
            convert_quickly(parameter)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401  # As `Command.load`.
        """Return all names: those of the table, then groups."""
        return [*self.table, *(name for name in super().list_commands(ctx) if name not in self.table)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401  # As `Command.load`.
        """Return a command; None when there is none, with all of them at hand to suggest similar ones."""
        if cmd_name in self.table:
            wanted: Iterable[str] = [cmd_name]
        else:
            wanted = () if cmd_name in self.commands else self.table
        for name in wanted:
            if name not in self.commands:
                self.commands[name] = self.table[name].load(name)
        return super().get_command(ctx, cmd_name)


class RunIndexCommands(LazyGroup):
    """`runindex`."""

    table: ClassVar[Mapping[str, Command]] = {
        "list": Command("listing", "list_runs"),
        "get": Command("reading", "get"),
        "tree": Command("reading", "tree"),
        "history": Command("reading", "history", has_ids=False),
        "count": Command("reading", "count", has_ids=False),
        "stats": Command("figures", "stats", has_ids=False),
        "search": Command("listing", "search"),
        "tags": Command("figures", "tags"),
        "stale": Command("figures", "stale"),
        "errors": Command("figures", "errors"),
        "create": Command("making", "create", output=Output.IDS),
        "clone": Command("making", "clone", output=Output.IDS),
        "close": Command("changing", "close"),
        "fail": Command("changing", "fail"),
        "cancel": Command("changing", "cancel"),
        "pause": Command("changing", "pause"),
        "resume": Command("changing", "resume"),
        "archive": Command("changing", "archive"),
        "delete": Command("changing", "delete"),
    }


class RetentionCommands(LazyGroup):
    """`runindex retention`."""

    table: ClassVar[Mapping[str, Command]] = {
        "get": Command("retention", "get_retention"),
        "set": Command("retention", "set_retention"),
    }


class TemplatesCommands(LazyGroup):
    """`runindex templates`."""

    table: ClassVar[Mapping[str, Command]] = {
        "list": Command("templates", "list_templates"),
        "get": Command("templates", "get_templates"),
        "put": Command("templates", "put_template"),
        "delete": Command("templates", "delete_templates"),
    }


app: Final = typer.Typer(
    name="runindex",
    cls=RunIndexCommands,
    help="Find runs of agents and workflows, look at them, and change them.",
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 not found, 4 no answer, 5 no right, 6 declined.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_GROUP: Final = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(_GROUP, name="retention", cls=RetentionCommands, help="What the storage layer keeps of runs.")
app.add_typer(_GROUP, name="templates", cls=TemplatesCommands, help="What runs begin with.")
