"""Commands that read their arguments quickly.

Typer has pydantic convert each value, also where nothing was given, and to load it takes longer than to load
gRPC. What is converted by calling its type is converted here; all else, and what is wrong, is left to typer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from typer.core import TyperCommand

from runindex.cli.options import Output, State

_QUICK: Final = (bool, str, int, float, Path, Output, State)
"""The types that are converted here."""


class QuickCommand(TyperCommand):
    """A command whose parameters convert what they can themselves."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # Of a class inside typer.
        """Read the arguments."""
        for parameter in self.get_params(ctx):
            convert_quickly(parameter)
        return super().parse_args(ctx, args)


def convert_quickly(parameter: Any) -> None:  # noqa: ANN401  # As above.
    """Let a parameter convert what it can without pydantic.

    Typer does not document what this takes hold of. Where a version has it no more, typer converts all.
    """
    if not hasattr(parameter, "type_descriptor") or not hasattr(parameter, "get_runtime_param"):
        return
    annotation = parameter.type_descriptor.annotation
    each = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    if each in _QUICK:
        thorough = parameter.get_runtime_param
        parameter.get_runtime_param = lambda: _Quick(parameter, each, thorough)


class _Quick:
    """Stands for what typer converts a parameter by."""

    def __init__(self, parameter: Any, each: type, thorough: Callable[[], Any]) -> None:  # noqa: ANN401
        self._is_many = parameter.multiple or parameter.nargs == -1
        self._bounds = parameter.type_descriptor.parameter_info
        self._each = each
        self._thorough = thorough

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:  # noqa: ANN401  # Called by typer.
        """Return the value of a parameter; None, or nothing in a row, when there is none."""
        if value is None:
            return () if self._is_many else None
        try:
            return [self._one(item) for item in value] if self._is_many else self._one(value)
        except ValueError:
            return self._thorough().coerce(value, param=param, ctx=ctx)

    def _one(self, value: Any) -> Any:  # noqa: ANN401  # Of the type of the parameter.
        """Return one value.

        Raises:
            ValueError: It is none, or is out of bounds.
        """
        converted = self._each(value)
        low, high = self._bounds.min, self._bounds.max
        # Not the other way round: NaN is neither below nor above anything.
        if not ((low is None or converted >= low) and (high is None or converted <= high)):
            raise ValueError
        return converted
