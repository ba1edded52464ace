"""The client."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from runindex._async._active_run import AsyncActiveRun
from runindex._async._calls import AsyncCalls, Sleep
from runindex._async._changes import AsyncChanges
from runindex._async._data import AsyncRunData
from runindex._async._insights import AsyncInsights
from runindex._async._queries import AsyncQueries
from runindex._async._templates import AsyncTemplates
from runindex._draft import INHERIT, Draft, Inherit
from runindex._options import TIMEOUT_S, options_of
from runindex._retry import RETRIES, RetryPolicy
from runindex._tracked import MARK, name_of, require_coroutine_function
from runindex._types import Json, RunRef, id_of

if TYPE_CHECKING:
    from runindex._async._maintenance import AsyncMaintenance

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient(AsyncChanges, AsyncQueries):
    """A client of a server of RunIndex. It connects with its first call, and again whenever it has to.

    Every call that is refused raises a `RunIndexError`. One that finds no server is made again, under the
    same request id, so that a change is never made twice.

    Attributes:
        insights: What many runs come to.
        templates: What runs begin with, and copies of runs.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls_ca: str | Path | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int | RetryPolicy = RETRIES,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepare; nothing is connected before the first call.

        Args:
            address: Where the server listens, as gRPC names it; else RUNINDEX_ADDRESS, or 127.0.0.1:50051.
            token: Sent with each call as a bearer token, over TLS or to this machine only; else
                RUNINDEX_TOKEN, or none.
            tls_ca: A file of the certificates to trust, in PEM; else RUNINDEX_TLS_CA, or a connection
                without TLS.
            timeout_s: How long a call may take with its retries, in seconds.
            retries: How often a call is made again that found no server, or how calls are made again.
            sleep: Waits between the attempts of a call, for some seconds.

        Raises:
            OSError: The file of certificates cannot be read.
            ValueError: `timeout_s` is not more than zero, or `retries` is negative; the file holds no
                certificate; or there is a token for another machine, and no TLS.
        """
        options = options_of(address, token=token, tls_ca=tls_ca, timeout_s=timeout_s, retries=retries)
        super().__init__(AsyncCalls(options, sleep))
        self.insights = AsyncInsights(self._calls)
        self.templates = AsyncTemplates(self._calls)

    @property
    def address(self) -> str:
        """Where the server listens."""
        return self._calls.address

    @property
    def maintenance(self) -> "AsyncMaintenance":
        """What operators do with the store."""
        from runindex._async._maintenance import AsyncMaintenance  # noqa: PLC0415  # Few need it at their start.

        return AsyncMaintenance(self._calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; no call can be made after it. To complete a run is `close_run`."""
        await self._calls.close()

    def data(self, run: RunRef) -> AsyncRunData:
        """Return what a run holds; nothing is called before it is asked for something."""
        return AsyncRunData(self._calls, id_of(run))

    def run(
        self,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Json] | None = None,
        parent: RunRef | Inherit | None = INHERIT,
        run_id: str | None = None,
        required: bool = True,
    ) -> AsyncActiveRun:
        """Return a run for a block, `async with`: it begins with the block and ends as the block does.

        A clean end closes it. An exception fails it with its text, and goes on; KeyboardInterrupt,
        asyncio.CancelledError and GeneratorExit cancel it, and so does a group of nothing else; SystemExit
        closes it when its code says success, cancels it when that tells of SIGINT or SIGTERM (130, 143), and
        fails it otherwise. A process that ends without raising, by a signal that it does not handle or by
        `os._exit`, leaves its runs ACTIVE. A run that is finished, archived or deleted already is left as it
        is, and so is one that a clean block leaves paused. Where the end cannot be recorded, a clean block
        raises why, and an exception of the block itself gets a note of it.

        Args:
            tags: As in `create`.
            metadata: As in `create`.
            parent: The run under which it begins: that of the block around this one, also across tasks, if
                there is one on the same server; None for a root.
            run_id: As in `create`.
            required: Whether a failure to record is an error. If not, the block runs as if nothing was: what
                fails is logged as a warning of the logger `runindex`, no call takes more than 5 seconds, and
                after one that found no server the next 10 seconds go unrecorded.

        Raises:
            RunIndexError: At the beginning of the block, as in `create`; at its end, when it is clean.
        """
        draft = Draft(tags=tags, metadata=metadata, parent=parent, run_id=run_id, required=required)
        return AsyncActiveRun(self._calls, draft)

    def tracked(
        self,
        *,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Json] | None = None,
        required: bool = True,
    ) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
        """Return a decorator that makes each call of a function a run, as a block of `run` is one.

        The function's name is in the metadata, under `function`. `current_run` returns the run.

        Args:
            tags: As in `run`.
            metadata: As in `run`.
            required: As in `run`.

        Raises:
            TypeError: The function makes a generator, which lives longer than its call, or is of the kind
                that the other client tracks.
        """
        kept = tuple(tags)

        def track(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
            require_coroutine_function(function)
            told = {MARK: name_of(function), **(metadata or {})}

            @functools.wraps(function)
            async def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
                async with self.run(tags=kept, metadata=told, required=required):
                    return await function(*args, **kwargs)

            return tracked

        return track
