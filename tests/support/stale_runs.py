"""Stale runs asked for in tests, and what they should be."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration

from runindex.v1 import insights_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support import methods
from tests.support.calls import (
    DEFAULT,
    Stub,
    add_tags,
    archive,
    cancel,
    close,
    delete,
    fail,
    ids,
    micros,
    pause,
    set_retention,
    update,
)
from tests.support.clock import HOUR_US, SECOND_US
from tests.support.data_calls import Data, append, draft, put, set_document, set_state
from tests.support.insight_methods import Insights

ACTIVE: Final = index_pb.RUN_STATE_ACTIVE
PAUSED: Final = index_pb.RUN_STATE_PAUSED


def duration(us: int) -> Duration:
    """Return a duration of microseconds."""
    return Duration(seconds=us // SECOND_US, nanos=us % SECOND_US * 1_000)


def ask(insights: Insights, us: int = HOUR_US, **fields: Any) -> pb.ListStaleRunsResponse:
    """Return one page of the runs that were idle for so long."""
    return insights.ListStaleRuns(pb.ListStaleRunsRequest(idle_for=duration(us), **fields))


def pages(insights: Insights, us: int = HOUR_US, **fields: Any) -> Iterator[list[str]]:
    """Yield the ids of the pages of a query, from the first or from a token on."""
    for _ in range(1_000):
        answer = ask(insights, us, **fields)
        yield ids(answer)
        fields["page_token"] = answer.next_page_token
        if not answer.next_page_token:
            return
    msg = "pages without end"
    raise AssertionError(msg)


def stale(insights: Insights, us: int = HOUR_US, **fields: Any) -> list[str]:
    """Return the ids of all runs that were idle for so long."""
    return [run_id for page in pages(insights, us, **fields) for run_id in page]


def expected(stub: Stub, now_us: int, us: int, states: tuple[int, ...] = (ACTIVE, PAUSED)) -> list[str]:
    """Return the same from the runs themselves."""
    answer = stub.ListRuns(index_pb.ListRunsRequest(include_archived=True, page_size=1_000))
    assert answer.next_page_token == ""
    found = [
        run
        for run in reversed(answer.runs)
        if run.state in states and run.run_id != DEFAULT and micros(run.activity_time) <= now_us - us
    ]
    return [run.run_id for run in sorted(found, key=lambda run: micros(run.activity_time))]


TOUCHES: Final[dict[str, Callable[[Stub, Data, str], object]]] = {
    "metadata": lambda stub, _, run_id: update(stub, run_id, {"k": 1}),
    "tags": lambda stub, _, run_id: add_tags(stub, run_id, "t"),
    "retention": lambda stub, _, run_id: set_retention(stub, run_id, methods.KEEP_3),
    "pause": lambda stub, _, run_id: pause(stub, run_id),
    "value": lambda _, data, run_id: put(data, run_id, "k", 1),
    "event": lambda _, data, run_id: append(data, run_id, draft("s", 1)),
    "state cell": lambda _, data, run_id: set_state(data, run_id, "c", 1),
    "document": lambda _, data, run_id: set_document(data, run_id, "d", {}),
}
"""What moves a run to the end of the listing."""

ENDS: Final = (close, fail, cancel, archive, delete)

every_touch: Final = pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
