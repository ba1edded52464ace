"""Paging while another thread creates and deletes: what was there throughout comes exactly once, in order."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from typing import Any, Final

import grpc
import pytest

from runindex.v1 import run_index_pb2 as pb
from runindex.v1.run_index_pb2_grpc import RunIndexStub
from tests.support import calls
from tests.support.calls import micros
from tests.support.server import RunningServer

STABLE: Final = 30
WALKS: Final = 3
TAG: Final = "paged"
WAIT_S: Final = 30.0
PARENT: Final = "0192f3a4-0000-7000-8000-000000000001"

COLLECTIONS: Final[dict[str, dict[str, Any]]] = {
    "ListRuns": {},
    "ListRuns, archived too": {"include_archived": True},
    "QueryRunsByState": {"state": pb.RUN_STATE_ACTIVE},
    "QueryRunsByTag": {"tag": TAG},
    "GetChildRuns": {"run_id": PARENT},
    "SearchRuns": {"query": f"tag:{TAG} -state:paused"},
}
"""Collections that hold the runs of this module, each with what its request needs."""


class Churn:
    """Runs that come and go between the stable ones."""

    def __init__(self, stub: RunIndexStub, numbers: random.Random) -> None:
        self._wrote = threading.Event()
        self._stub = stub
        self._numbers = numbers
        self._living: list[str] = []

    def step(self) -> None:
        """Create, archive or delete a run."""
        number = self._numbers.randrange(len(self._living) + 1)
        if number == len(self._living) or len(self._living) < 10:
            self._living.append(calls.create(self._stub, tags=[TAG], parent=PARENT).run_id)
        elif self._numbers.random() < 0.2:
            calls.archive(self._stub, self._living.pop(number))
        else:
            calls.delete(self._stub, self._living.pop(number))
        self._wrote.set()

    def wait(self) -> None:
        """Wait for a write that ends from now on."""
        self._wrote.clear()
        assert self._wrote.wait(WAIT_S), "the other thread writes nothing"


@contextmanager
def churning(churn: Churn) -> Iterator[None]:
    """Keep stepping in a thread."""
    is_over = threading.Event()
    faults: list[BaseException] = []

    def run() -> None:
        try:
            while not is_over.is_set():
                churn.step()
        except BaseException as fault:  # noqa: BLE001  # Told by the test's own thread.
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert not faults, faults


def pages(stub: RunIndexStub, name: str, churn: Churn, page_size: Callable[[], int]) -> Iterator[Any]:
    """Yield the pages of a collection, with writes between them."""
    method = name.partition(",")[0]
    request_type = getattr(pb, f"{method}Request")
    token = ""
    for page_number in count():
        churn.wait()
        request = request_type(
            **COLLECTIONS[name], page_size=page_size(), page_token=token, view=pb.RUN_VIEW_BASIC
        )
        page = getattr(stub, method)(request)
        yield page
        token = page.next_page_token
        if not token:
            return
        assert page.runs
        assert page_number < 100 * STABLE, "the walk does not end"


@pytest.mark.parametrize("name", COLLECTIONS)
def test_what_was_there_throughout_comes_exactly_once(
    server: RunningServer, stub: RunIndexStub, name: str
) -> None:
    numbers, sizes = random.Random(name), random.Random(f"{name}: sizes")
    with grpc.insecure_channel(server.target) as channel:
        churn = Churn(RunIndexStub(channel), numbers)
        calls.create(stub, run_id=PARENT, tags=[TAG])
        stable = []
        for _ in range(STABLE):
            churn.step()
            stable.append(calls.create(stub, tags=[TAG], parent=PARENT).run_id)
        stable.reverse()

        with churning(churn):
            walks = [list(pages(stub, name, churn, lambda: sizes.randint(1, 7))) for _ in range(WALKS)]

    for walk in walks:
        assert walk[0].revision < walk[-1].revision, "nothing was written between pages"
        runs = [run for page in walk for run in page.runs]
        ids = [run.run_id for run in runs]
        assert len(set(ids)) == len(ids)
        assert [run_id for run_id in ids if run_id in stable] == stable
        assert all(micros(newer.create_time) > micros(older.create_time) for newer, older in pairwise(runs))
        assert all(one.revision <= other.revision for one, other in pairwise(walk))
