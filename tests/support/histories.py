"""Histories of runs asked for in tests."""

from typing import Any

from runindex.v1 import insights_pb2 as pb
from runindex_server.limits import PAGE_SIZE_MAX
from tests.support.calls import (
    Stub,
    pause,
    resume,
)
from tests.support.insight_methods import Insights


def ask(insights: Insights, run_id: str, **paging: Any) -> pb.GetRunHistoryResponse:
    """Return a page of a run's history."""
    return insights.GetRunHistory(pb.GetRunHistoryRequest(run_id=run_id, **paging))


def history(insights: Insights, run_id: str) -> list[pb.RunTransition]:
    """Return the history of a run, which must go on one page."""
    answer = ask(insights, run_id, page_size=PAGE_SIZE_MAX)
    assert answer.next_page_token == ""
    return list(answer.transitions)


def go_on_and_off(stub: Stub, run_id: str, transitions: int) -> None:
    """Pause and resume a run by turns, so often."""
    for number in range(transitions):
        (resume if number % 2 else pause)(stub, run_id)
