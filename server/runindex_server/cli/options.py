"""What commands take of the settings: a flag for each."""

from collections.abc import Mapping
from typing import Any

import typer
from pydantic import ValidationError

from runindex_server.cli.exits import exit_with
from runindex_server.settings import Settings


def flag(field: str) -> Any:  # noqa: ANN401  # What typer takes as a default.
    """Return the option of a setting: what it is, its environment variable, its default."""
    described = Settings.model_fields[field]
    help_text = f"{described.description} Also RUNINDEX_{field.upper()}. {_default_text(described.default)}"
    return typer.Option(help=help_text)


def _default_text(default: object) -> str:
    """Return how a setting is when nobody sets it."""
    return "Not set by default." if default in {None, ""} else f"Default: {default}."


def load_settings(flags: Mapping[str, Any]) -> Settings:
    """Return the settings, by flags that are not None and by the environment; or end the command."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        exit_with("\n".join(_setting_fault(fault) for fault in error.errors()))


def _setting_fault(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a setting, by its flag and its environment variable."""
    name = str(fault["loc"][0])
    flag_name = name.replace("_", "-")
    return f"--{flag_name} (RUNINDEX_{name.upper()}): {fault['msg']}, not {fault['input']!r}"
