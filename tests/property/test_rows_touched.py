"""The rows that a call touches: as many at 20,000 runs as at 1,000, for each of the 24 methods."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import grpc
import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from runindex_server.kv.api import Store, WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.runs.bootstrap import initialise
from runindex_server.runs.creation import Draft
from runindex_server.runs.mutation import Conditions
from runindex_server.runs.run_index import archive_run, create_run
from runindex_server.schema.run import DEFAULT_RUN_ID, RunId
from tests.support import methods
from tests.support.clock import ManualClock
from tests.support.counting_store import CountingStore
from tests.support.server import LoopThread, RunningServer

FEW, MANY = 1_000, 20_000
BATCH: Final = 200
"""Runs of one write, which has its bound."""

MERGED_EVERY: Final = 5_000
"""Runs between merges of the search index, whose list of changes is bounded."""

LIVING_EVERY: Final = 20
"""One run of so many stays active; the others are archived."""

PAGE_SIZE: Final = 10
TAG: Final = "common"

COLLECTIONS: Final[dict[str, dict[str, Any]]] = {
    "ListRuns": {},
    "QueryRunsByState": {"state": pb.RUN_STATE_ACTIVE},
    "QueryRunsByTag": {"tag": TAG},
    "SearchRuns": {"query": TAG},
    "GetChildRuns": {"run_id": "default"},
}
"""Collections of which all runs are members, with what a request needs."""

VARIANTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    **{
        f"{name}, archived too": (name, {"include_archived": True})
        for name in COLLECTIONS
        if name != "QueryRunsByState"
    },
    "ListRuns, two states": ("ListRuns", {"states": [pb.RUN_STATE_ACTIVE, pb.RUN_STATE_PAUSED]}),
    "ListRuns, skip": ("ListRuns", {"skip": 20}),
    "QueryRunsByState, archived": ("QueryRunsByState", {"state": pb.RUN_STATE_ARCHIVED}),
    "SearchRuns, two terms": ("SearchRuns", {"query": f"tag:{TAG} state:active"}),
    "SearchRuns, negation": ("SearchRuns", {"query": f"{TAG} -state:paused"}),
    "SearchRuns, no such word": ("SearchRuns", {"query": "absent"}),
    "SearchRuns, an id": ("SearchRuns", {"query": "id:default"}),
    "CountRuns, archived too": ("CountRuns", {"include_archived": True}),
}
"""Further ways to call a method."""


class Cost(NamedTuple):
    """What a call read and wrote, in rows."""

    touched: int
    written: int


class Population:
    """A server with so many runs, the search index merged."""

    def __init__(self, loop: LoopThread, run_count: int) -> None:
        self.clock = ManualClock()
        self.server = RunningServer(loop, self._open, clock=self.clock)
        for first in range(0, run_count, BATCH):
            loop.run(self.counts.write(partial(_create, first=first)))
            if first % MERGED_EVERY == 0:
                self.server.run_jobs()
        self.channel = grpc.insecure_channel(self.server.target)
        self.stub = RunIndexStub(self.channel)

    async def _open(self) -> Store:
        self.counts = CountingStore(MemoryStore(clock=self.clock, initialise=initialise))
        return self.counts

    def cost(self, method: str, request: Any) -> tuple[Any, Cost]:
        """Return an answer and what it cost."""
        # What targets and calls before left to be merged is no part of it.
        self.server.run_jobs()
        self.counts.reset()
        answer = methods.call(self.stub, method, request)
        return answer, Cost(self.counts.rows_touched, self.counts.rows_written)

    def close(self) -> None:
        self.channel.close()
        self.server.stop()


def _create(txn: WriteTxn, *, first: int) -> None:
    """Create a batch of runs, and archive most."""
    for number in range(first, first + BATCH):
        run_id = RunId((number + 1).to_bytes(16, "big"))
        create_run(txn, Draft(run_id=run_id, tags=(TAG,), parent=DEFAULT_RUN_ID))
        if number % LIVING_EVERY:
            archive_run(txn, run_id, Conditions())


@pytest.fixture(scope="module")
def populations(loop: LoopThread) -> Iterator[tuple[Population, Population]]:
    """Return a server with few runs and one with many."""
    both = Population(loop, FEW), Population(loop, MANY)
    yield both
    for population in both:
        population.close()


def request_of(population: Population, name: str) -> Any:
    """Return a request that succeeds: for a collection, a page of it."""
    if name in COLLECTIONS:
        return methods.request_type(name)(**COLLECTIONS[name], page_size=PAGE_SIZE)
    return methods.build(name, methods.target(population.stub, name))


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_call_touches_as_many_rows_however_many_runs_there_are(
    populations: tuple[Population, Population], name: str
) -> None:
    few, many = (population.cost(name, request_of(population, name))[1] for population in populations)

    assert few == many
    assert sum(few) > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_touches_as_many_rows_however_many_runs_there_are(
    populations: tuple[Population, Population], variant: str
) -> None:
    name, fields = VARIANTS[variant]
    right: dict[str, Any] = {**COLLECTIONS[name], "page_size": PAGE_SIZE} if name in COLLECTIONS else {}
    request = methods.request_type(name)(**(right | fields))

    few, many = (population.cost(name, request)[1] for population in populations)

    assert few == many


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_later_page_touches_as_many_rows_as_the_first(
    populations: tuple[Population, Population], name: str
) -> None:
    costs = set()
    for population in populations:
        request = request_of(population, name)
        for _ in range(2):
            answer, cost = population.cost(name, request)
            assert len(answer.runs) == PAGE_SIZE
            costs.add(cost)
            request.page_token = answer.next_page_token

    assert len(costs) == 1, costs


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_page_of_ids_touches_rows_in_proportion_to_the_page(
    populations: tuple[Population, Population], name: str
) -> None:
    """A listing leads to the ids by itself; a search reads its runs' records, many of them together."""
    _, many = populations
    request = request_of(many, name)
    request.view = pb.RUN_VIEW_ID_ONLY

    answer, cost = many.cost(name, request)

    assert len(answer.runs) == PAGE_SIZE
    assert cost.touched <= (10 * PAGE_SIZE if name == "SearchRuns" else PAGE_SIZE + 2)
    assert cost.written == 0


def test_a_merge_leaves_what_a_write_costs(populations: tuple[Population, Population]) -> None:
    """A write appends to the changes that wait: what is merged or waits has no part in its cost."""
    _, many = populations
    request = methods.build("CreateRun", "")
    many.server.run_jobs()
    costs = []
    for _ in range(20):
        many.counts.reset()
        methods.call(many.stub, "CreateRun", request)
        costs.append(Cost(many.counts.rows_touched, many.counts.rows_written))

    assert len(set(costs)) == 1, costs
