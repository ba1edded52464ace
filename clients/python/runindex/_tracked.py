"""Which functions can be tracked."""

import inspect
from collections.abc import Callable
from typing import Any, Final

MARK: Final = "function"
"""The key of the metadata under which a tracked function's name is recorded."""


def require_plain_function(function: Callable[..., Any]) -> None:
    """Check that a function can be tracked by a `Client`.

    Raises:
        TypeError: It is a coroutine function, or makes a generator.
    """
    _require_no_generator(function)
    if inspect.iscoroutinefunction(function):
        msg = f"{name_of(function)} is a coroutine function: track it with an AsyncClient"
        raise TypeError(msg)


def require_coroutine_function(function: Callable[..., Any]) -> None:
    """Check that a function can be tracked by an `AsyncClient`.

    Raises:
        TypeError: It is no coroutine function, or makes a generator.
    """
    _require_no_generator(function)
    if not inspect.iscoroutinefunction(function):
        msg = f"{name_of(function)} is no coroutine function: track it with a Client"
        raise TypeError(msg)


def name_of(function: Callable[..., Any]) -> str:
    """Return what a function is called in the metadata of its runs."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}".lstrip(".")


def _require_no_generator(function: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = (
            f"{name_of(function)} makes a generator, which lives longer than its call: "
            "open a block in it instead, with `client.run(...)`"
        )
        raise TypeError(msg)
