"""One way to write a test of both clients: the one for asyncio is driven as if it were the other."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

from runindex import (
    AsyncActiveRun,
    AsyncClient,
    AsyncInsights,
    AsyncItems,
    AsyncMaintenance,
    AsyncRunData,
    AsyncTemplates,
    AsyncWork,
)
from tests.support.server import LoopThread

DRIVEN = (
    AsyncActiveRun,
    AsyncClient,
    AsyncInsights,
    AsyncItems,
    AsyncMaintenance,
    AsyncRunData,
    AsyncTemplates,
    AsyncWork,
)


class Driver:
    """Runs what is for asyncio on a loop, one after another and in one context, as one task would."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self.context: Context = copy_context()

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Return what an awaitable returns, or raise what it raises."""

        async def one() -> Any:
            return await awaitable

        async def in_context() -> Any:
            return await asyncio.get_running_loop().create_task(one(), context=self.context)

        return self._loop.run(in_context())

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function where the tasks run."""
        return self.context.run(function, *args)


class Driven:
    """An object for asyncio, with the methods of its twin."""

    def __init__(self, inner: Any, driver: Driver) -> None:
        self.inner = inner
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return self._wrapped(getattr(self.inner, name))

    def __enter__(self) -> Any:
        self._driver.run(self.inner.__aenter__())
        return self

    def __exit__(self, *fault: object) -> Any:
        return self._driver.run(self.inner.__aexit__(*fault))

    def __iter__(self) -> Iterator[Any]:
        return self._iterated(aiter(self.inner))

    def _iterated(self, iterator: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._driver.run(anext(iterator))
            except StopAsyncIteration:
                return

    def _wrapped(self, value: Any) -> Any:
        if isinstance(value, DRIVEN):
            return Driven(value, self._driver)
        if inspect.isawaitable(value):
            return self._wrapped(self._driver.run(value))
        if inspect.isasyncgen(value):
            return self._iterated(value)
        if inspect.ismethod(value):
            return lambda *args, **kwargs: self._wrapped(value(*args, **kwargs))
        return value
