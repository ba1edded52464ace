"""Pages of runs that a search has found: cut by number, by bytes and by view, as those of listings."""

from collections.abc import Iterable, Sequence
from functools import partial
from operator import attrgetter

from runindex_server.runs.paging import Page, PageRequest, fill
from runindex_server.schema import keys, records
from runindex_server.schema.run import RunView
from runindex_server.search.index import Hit


def page_of_hits(hits: Iterable[Hit], request: PageRequest) -> Page:
    """Return a page of runs that were found, newest first.

    Raises:
        StoreCorrupt: A record is damaged, or not of the run that was found.
    """
    return fill(hits, request.size, cut=partial(_cut, view=request.view), ordinal_of=attrgetter("ordinal"))


def _cut(hits: Sequence[Hit], *, view: RunView) -> list[bytes]:
    """Return runs that were found, cut to a view."""
    if view is RunView.ID_ONLY:
        return [records.id_message(keys.run_of(hit.key)) for hit in hits]
    listing_keys, run_keys, values = zip(*hits, strict=True)
    return records.listed_messages(listing_keys, run_keys, values, view)
