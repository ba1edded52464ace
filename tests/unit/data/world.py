"""A store with a run, without a server, and what the tests of a run's data look at."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from runindex_server.data import json_value
from runindex_server.data.items import NumberedVersion
from runindex_server.data.listing import Page, PageRequest
from runindex_server.kv.api import ReadTxn, Store, WriteTxn
from runindex_server.runs import run_index
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions, RequestKey, load
from runindex_server.schema import due
from runindex_server.schema.data_keys import DataKeys
from runindex_server.schema.due import Due
from runindex_server.schema.holdings import Holding, read_holdings
from runindex_server.schema.run import KEEP_ALL, RetentionPolicy, Run, RunId
from tests.support.clock import ManualClock
from tests.support.counting_store import CountingStore

T = TypeVar("T")

RUN: Final = RunId(b"r" * 16)
ANY: Final = Conditions()


def value_of(held: Any) -> Value:
    """Return JSON as a message."""
    value = Value()
    json_format.ParseDict(held, value)
    return value


def encoded(held: Any) -> bytes:
    """Return JSON as a document keeps it."""
    return json_value.encode(value_of(held))


def decoded(data: bytes) -> Any:
    """Return the JSON that a document keeps."""
    return json_format.MessageToDict(Value.FromString(data))


def expecting(version: int) -> Conditions:
    """Return the condition of a version."""
    return Conditions(expected_version=version)


def request(request_id: str, digest: bytes = b"d" * 16) -> RequestKey:
    """Return what makes a call safe to retry."""
    return RequestKey(caller="", request_id=request_id, digest=digest)


def shown(version: NumberedVersion) -> bytes:
    """Return a version as the item of a page, for tests: its name, number and value."""
    return b"%s@%d=%s" % (version.name.encode(), version.number, version.content.value)


class World:
    """A store with one run, `RUN`, and the default run."""

    def __init__(self, inner: Store, clock: ManualClock, runner: asyncio.Runner) -> None:
        """Create the run."""
        self.store = CountingStore(inner)
        self.clock = clock
        self._runner = runner
        self.default_policy: RetentionPolicy = KEEP_ALL
        self.create(RUN)

    def write(self, fn: Callable[[WriteTxn], T]) -> T:
        """Run a write."""
        return self._runner.run(self.store.write(fn))

    def read(self, fn: Callable[[ReadTxn], T]) -> T:
        """Run a read."""
        return self._runner.run(self.store.read(fn))

    def call(self, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a mutation of the run's data."""
        return self.write(lambda txn: method(txn, RUN, *args, default_policy=self.default_policy, **options))

    def ask(self, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a read of the run's data."""
        return self.read(lambda txn: method(txn, RUN, *args, **options))

    def create(self, run_id: RunId) -> None:
        """Create a run."""
        self.write(lambda txn: run_index.create_run(txn, Draft(run_id=run_id)))

    def archive(self) -> None:
        """Archive the run."""
        self.write(lambda txn: run_index.archive_run(txn, RUN, ANY))

    def delete(self) -> Any:
        """Delete the run, and return what it held."""
        return self.write(lambda txn: run_index.delete_run(txn, RUN, ANY)).receipt

    def retain(self, policy: RetentionPolicy) -> None:
        """Set the run's own policy."""
        self.write(lambda txn: run_index.set_run_retention(txn, RUN, policy, ANY))

    @property
    def run(self) -> Run:
        """The run as it is."""
        return self.read(lambda txn: load(txn, RUN))

    @property
    def keys(self) -> DataKeys:
        """The keys of what the run holds."""
        return DataKeys.of(self.run)

    @property
    def revision(self) -> int:
        """The store's revision."""
        return self.read(lambda txn: txn.revision)

    def due(self) -> Due | None:
        """When retention has to look at the run's data."""
        run = self.run
        return self.read(lambda txn: due.read_due(txn, run.run_id, run.generation))

    def rows(self) -> dict[bytes, bytes]:
        """Return all rows of what the run holds."""
        start, end = self.keys.range
        return self.read(lambda txn: dict(txn.scan(start, end)))

    def held(self) -> tuple[int, ...]:
        """Return how much the run holds: keys, events, cells, documents, bytes."""
        run = self.run
        found = self.read(lambda txn: read_holdings(txn, run))
        return tuple(found[kind] for kind in Holding)

    def pages(self, method: Callable[..., Page], *args: Any, size: int) -> list[list[bytes]]:
        """Return all pages of a collection; `args` end before the page."""
        pages: list[list[bytes]] = []
        page = Page([], None)
        while not pages or page.end is not None:
            asked = PageRequest(size, page.end)
            page = self.ask(method, *args, page=asked)
            pages.append(page.items)
        return pages
