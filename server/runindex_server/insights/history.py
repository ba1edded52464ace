"""The transitions of a run, page by page, its creation first.

place of a page    generation u64 | version u64        of the last transition of the page before
"""

from collections.abc import Callable, Iterator
from typing import Final

from runindex_server.data.listing import Page, PageRequest, fill_page
from runindex_server.kv.api import ReadTxn
from runindex_server.runs.mutation import load
from runindex_server.schema.encoding import decode_u64, encode_u64
from runindex_server.schema.history import Transition, read_transitions
from runindex_server.schema.run import Run, RunId, RunState

EncodeTransition = Callable[[Transition], bytes]
"""Returns a transition in the form in which it is sent."""

CREATED_VERSION: Final = 1
"""The version of every run at its creation."""


def get_run_history(txn: ReadTxn, run_id: RunId, page: PageRequest, encode: EncodeTransition) -> Page:
    """Return a page of the transitions of a run, oldest first. Read-only.

    Raises:
        RunNotFound: No run has this id.
        InvalidPageToken: The page before was of an earlier life of the run.
        StoreCorrupt: A row is damaged.
    """
    run = load(txn, run_id)
    last = page.last_in(run)
    rows = _transitions(txn, run, after=0 if last is None else decode_u64(last))
    return fill_page(run, ((encode_u64(each.version), encode(each)) for each in rows), page.size)


def _transitions(txn: ReadTxn, run: Run, *, after: int) -> Iterator[Transition]:
    """Yield the transitions of a run after a version, its creation included."""
    if after < CREATED_VERSION:
        yield Transition(
            from_state=None,
            to_state=RunState.ACTIVE,
            time_us=run.create_us,
            version=CREATED_VERSION,
            actor=run.creator,
        )
    yield from read_transitions(txn, run, after=after)
