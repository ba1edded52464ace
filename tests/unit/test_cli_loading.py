"""What commands load: no more than they need, because a person waits for it, or the callers of a server."""

import ast
import subprocess
import sys

import pytest
import typer.main
from typer.core import TyperGroup

from runindex_server.cli.app import COMMANDS, app
from runindex_server.cli.asking import DEFAULT_ADDRESS
from runindex_server.settings import Settings

WAIT_S = 60

HEAVY = {"grpc", "lmdb", "google", "prometheus_client", "opentelemetry", "uvloop"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that a process has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(list(sys.modules))"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def loaded_for(*arguments: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    return loaded_by(
        "from runindex_server.cli.app import app\n"
        "try:\n"
        f"    app({list(arguments)})\n"
        "except SystemExit:\n"
        "    pass"
    )


def commands_in(modules: set[str]) -> set[str]:
    """Return the commands whose modules are loaded."""
    return {
        name
        for name, place in COMMANDS.items()
        if f"runindex_server.cli.{place.partition(':')[0]}" in modules
    }


@pytest.mark.parametrize(
    ("arguments", "commands"), [(["version"], {"version"}), (["serve", "--help"], {"serve"})]
)
def test_what_needs_no_server_loads_nothing_of_one(arguments: list[str], commands: set[str]) -> None:
    loaded = loaded_for(*arguments)

    assert not HEAVY & loaded
    assert commands_in(loaded) == commands


def test_a_command_that_asks_a_server_does_not_load_one() -> None:
    loaded = loaded_for("status", "--help")

    assert "grpc" in loaded
    assert not {"lmdb", "pydantic_settings", "structlog", "uvloop"} & loaded
    assert commands_in(loaded) == {"status"}


def test_servers_are_asked_where_they_listen_by_default() -> None:
    assert Settings.model_fields["address"].default == DEFAULT_ADDRESS


def test_a_server_that_tells_no_figures_loads_nothing_of_prometheus() -> None:
    loaded = loaded_by("import runindex_server.cli.alone, runindex_server.cli.supervising")

    assert "lmdb" in loaded
    assert "prometheus_client" not in loaded


def test_the_help_tells_of_all_commands_in_order() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    context = group.make_context("runindex-server", [], resilient_parsing=True)
    _, _, listed = group.get_help(context).partition("Commands:\n")

    assert [line.split()[0] for line in listed.splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_loaded_under_its_name(name: str) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    command = group.get_command(group.make_context("runindex-server", [], resilient_parsing=True), name)

    assert command is not None
    assert (command.name, list(group.commands)) == (name, [name])
