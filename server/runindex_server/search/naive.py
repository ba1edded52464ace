"""Search without an index: every record, one by one. The reference to which the tests hold the term index."""

from collections.abc import Iterator

from runindex_server.kv.api import ReadTxn
from runindex_server.schema import keys, records
from runindex_server.schema.document import Document
from runindex_server.search.expression import visible
from runindex_server.search.index import Hit, Search, SearchRequest
from runindex_server.search.match import matches


class NaiveSearch:
    """A `search.index.SearchIndex` that reads all records of the store for each search."""

    def search(self, txn: ReadTxn, request: SearchRequest) -> Search:
        """Begin a search on a snapshot. Read-only."""
        return _Walk(txn, request)


class _Walk:
    """One search. Each run that it looks at counts against the budget."""

    def __init__(self, txn: ReadTxn, request: SearchRequest) -> None:
        self.truncated_at: int | None = None
        self._txn = txn
        self._request = request

    def __iter__(self) -> Iterator[Hit]:
        request = self._request
        expression = visible(request.expression, include_archived=request.include_archived)
        for examined, hit in enumerate(self._newest_first()):
            if examined >= max(request.budget, 1):
                self.truncated_at = hit.ordinal + 1
                return
            document = Document(records.decode_run(hit.key, hit.value))
            if matches(document, expression, now_us=request.now_us):
                yield hit

    def _newest_first(self) -> list[Hit]:
        """Return all runs below the ordinal of the request."""
        before = self._request.before_ordinal
        runs = [
            Hit(keys.all_runs(archived=False, ordinal=records.ordinal_of(key, value)), key, value)
            for key, value in self._txn.scan(*keys.RUN.range)
        ]
        below = (hit for hit in runs if before is None or hit.ordinal < before)
        return sorted(below, key=lambda hit: hit.ordinal, reverse=True)
