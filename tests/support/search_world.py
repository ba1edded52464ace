"""A store of runs without a server: what the tests of search and of merging write, merge, keep and search."""

from bisect import bisect_left
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from google.protobuf.struct_pb2 import Struct

from runindex_server.jobs.merge import merge_step
from runindex_server.kv.api import ReadTxn, WriteTxn, decode_counter
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema import metadata
from runindex_server.schema.derive import write_run
from runindex_server.schema.run import Run, RunId, RunState
from runindex_server.search.expression import Expression
from runindex_server.search.index import SearchIndex, SearchRequest
from tests.support.clock import START_US, ManualClock

T = TypeVar("T")

NOW_US = START_US


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing but its turn, and return what it returns."""
    while True:
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result


def encoded(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object as a run keeps it."""
    struct = Struct()
    struct.update(value)
    return metadata.encode(struct)


def make_run(number: int = 1, **fields: Any) -> Run:
    """Return a run; its id, ordinal and times follow from a number unless they are given."""
    if isinstance(fields.get("metadata"), dict):
        fields["metadata"] = encoded(fields["metadata"])
    made = {
        "run_id": RunId(bytes.fromhex(f"{number:032x}")),
        "ordinal": number,
        "generation": 1,
        "state": RunState.ACTIVE,
        "version": 1,
        "revision": 1,
        "create_us": START_US + number,
        "update_us": START_US + number,
        "activity_us": 0,
    }
    return Run(**{**made, **fields})


class World:
    """Runs in a store in memory, written as the server writes them.

    Attributes:
        store: The store.
        runs: What it holds, by ordinal.
    """

    def __init__(self, *runs: Run) -> None:
        """Make a store that holds some runs."""
        self.store = MemoryStore(clock=ManualClock(), initialise=lambda _: None)
        self.runs: dict[int, Run] = {}
        for run in runs:
            self.write(run)

    def write(self, new: Run) -> Run:
        """Create a run, or change the one of its ordinal."""
        old = self.runs.get(new.ordinal)

        def fn(txn: WriteTxn) -> Run:
            written = new._replace(revision=txn.next_revision())
            write_run(txn, old, written, revision=written.revision)
            return written

        self.runs[new.ordinal] = drive(self.store.write(fn))
        return self.runs[new.ordinal]

    def change(self, ordinal: int, **fields: Any) -> Run:
        """Change a run."""
        if isinstance(fields.get("metadata"), dict):
            fields["metadata"] = encoded(fields["metadata"])
        return self.write(self.runs[ordinal]._replace(**fields))

    def delete(self, ordinal: int) -> None:
        """Delete a run."""
        old = self.runs.pop(ordinal)
        drive(self.store.write(lambda txn: write_run(txn, old, None, revision=txn.next_revision())))

    def merge(self) -> int:
        """Merge all that is pending, and return in how many steps."""
        steps = 0
        while drive(merge_step(self.store)):
            steps += 1
        return steps

    def snapshot(self) -> "Snapshot":
        """Return the store as it is."""
        return drive(self.store.read(Snapshot))


class Snapshot:
    """A `kv.api.ReadTxn` that outlives its store's changes: a copy of all rows.

    Attributes:
        rows_read: Rows that were asked for, or that a scan yielded.
    """

    def __init__(self, txn: ReadTxn) -> None:
        """Copy what a transaction sees."""
        self._rows = list(txn.scan(b"\x00", b"\xff" * 20))
        self._keys = [key for key, _ in self._rows]
        self._by_key = dict(self._rows)
        self._revision = txn.revision
        self.rows_read = 0

    @property
    def revision(self) -> int:
        """The newest revision in it."""
        return self._revision

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        self.rows_read += 1
        return self._by_key.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys."""
        return [self.get(key) for key in keys]

    def get_counter(self, key: bytes) -> int:
        """Return a counter; 0 when it was never added to."""
        row = self.get(key)
        return 0 if row is None else decode_counter(row)

    def scan(
        self, start: bytes, end: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield rows with keys in `[start, end)`."""
        places = range(bisect_left(self._keys, start), bisect_left(self._keys, end))
        for place in islice(reversed(places) if reverse else places, limit):
            self.rows_read += 1
            yield self._rows[place]


def find(index: SearchIndex, txn: ReadTxn, expression: Expression, **request: Any) -> list[int]:
    """Return the ordinals of all runs that a search finds."""
    asked = SearchRequest(**{"expression": expression, "now_us": NOW_US, "budget": 1_000_000, **request})
    search = index.search(txn, asked)
    found = [hit.ordinal for hit in search]
    assert search.truncated_at is None
    return found


def find_by_pages(
    index: SearchIndex, txn: ReadTxn, expression: Expression, *, page_size: int, **request: Any
) -> list[int]:
    """Return the same, page by page, each going on where the one before it ended."""
    found: list[int] = []
    before: int | None = None
    while True:
        asked = {"expression": expression, "now_us": NOW_US, "budget": 1_000_000, **request}
        search = index.search(txn, SearchRequest(**asked, before_ordinal=before))
        page = [hit.ordinal for hit in islice(search, page_size)]
        found.extend(page)
        if len(page) == page_size:
            before = page[-1]
        elif search.truncated_at is not None:
            assert before is None or search.truncated_at < before, "a page makes no progress"
            before = search.truncated_at
        else:
            return found
