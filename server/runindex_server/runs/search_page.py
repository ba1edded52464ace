"""Pages of runs that a search has found: cut by number, by bytes and by view, as those of listings."""

from collections.abc import Iterable, Sequence
from itertools import islice

from runindex_server.runs.paging import RUNS_AT_ONCE, Page, PageRequest
from runindex_server.schema import keys, records
from runindex_server.schema.run import RunView
from runindex_server.search.index import Hit


def page_of_hits(hits: Iterable[Hit], request: PageRequest) -> Page:
    """Return a page of runs that were found, newest first.

    Raises:
        StoreCorrupt: A record is damaged, or not of the run that was found.
    """
    page = Page()
    remaining = iter(hits)
    # One hit more than the page holds tells that there is a next one.
    while batch := list(islice(remaining, min(request.size + 1 - len(page.runs), RUNS_AT_ONCE))):
        room = request.size - len(page.runs)
        fitting, beyond = batch[:room], batch[room:]
        if fitting:
            listing_keys = [hit.listing_key for hit in fitting]
            if not page.extend(listing_keys, _cut(fitting, request.view), size=request.size):
                break
        if beyond:
            page.add(beyond[0].ordinal, b"", size=request.size)
            break
    return page


def _cut(hits: Sequence[Hit], view: RunView) -> list[bytes]:
    """Return runs that were found, cut to a view."""
    if view is RunView.ID_ONLY:
        return [records.id_message(keys.run_of(hit.key)) for hit in hits]
    listing_keys, run_keys, values = zip(*hits, strict=True)
    return records.listed_messages(listing_keys, run_keys, values, view)
