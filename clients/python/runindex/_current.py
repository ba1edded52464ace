"""Which run is under way here: a context variable, so that concurrent tasks and threads do not mix."""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from runindex._async._active_run import AsyncActiveRun
    from runindex._sync._active_run import ActiveRun


class Recorded(Protocol):
    """A run whose block is under way."""

    @property
    def run_id(self) -> str:
        """Its id; empty when it is not recorded."""
        ...

    @property
    def address(self) -> str:
        """The server that has it."""
        ...

    @property
    def outer(self) -> "Recorded | None":
        """The block around its own."""
        ...


CURRENT: Final[ContextVar[Recorded | None]] = ContextVar("runindex_current_run", default=None)


def parent_at(address: str) -> str | None:
    """Return the id of the innermost run under way that a server has; None when there is none."""
    run = CURRENT.get()
    while run is not None and not (run.run_id and run.address == address):
        run = run.outer
    return None if run is None else run.run_id


def current_run() -> "ActiveRun | AsyncActiveRun | None":
    """Return the run of the innermost block under way here; None outside of all blocks.

    A task and a thread of `asyncio` begin with what was under way where they were started; a thread of
    `threading` begins with nothing, unless it runs in a copy of the context.
    """
    return cast("ActiveRun | AsyncActiveRun | None", CURRENT.get())
