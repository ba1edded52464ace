"""What a store must hold by what callers were told, and how it differs from that."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from runindex.v1 import insights_pb2, run_data_pb2
from runindex.v1 import run_index_pb2 as pb
from tests.property.wire import Stubs

WAIT_S: Final = 60.0
PAGE: Final = 1_000
PAGES_MAX: Final = 10_000
DEFAULT: Final = "default"
STREAM: Final = "s"
KEY: Final = "k"

NEXT_STATE: Final = {
    "PauseRun": pb.RUN_STATE_PAUSED,
    "ResumeRun": pb.RUN_STATE_ACTIVE,
    "CloseRun": pb.RUN_STATE_COMPLETED,
    "ArchiveRun": pb.RUN_STATE_ARCHIVED,
}


@dataclass
class Expected:
    """What a run must be, by the acknowledgements.

    Attributes:
        states: Those that its history leads through.
        steps: What its metadata was set to at last, as a number.
        events: The numbers that were appended to it.
        values: The numbers that were put under one key of it.
    """

    parent: str = ""
    tags: list[str] = field(default_factory=list)
    states: list[int] = field(default_factory=lambda: [pb.RUN_STATE_ACTIVE])
    step: int = 0
    version: int = 1
    events: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def apply(self, method: str, number: int) -> int:
        """Apply an acknowledged write, and return the number that its answer must tell."""
        if method == "AppendEvents":
            self.events.append(number)
            return len(self.events)
        if method == "PutValue":
            self.values.append(number)
            return len(self.values)
        if method == "AddRunTags":
            self.tags.append(f"t{number}")
        elif method == "UpdateRunMetadata":
            self.step = number
        else:
            self.states.append(NEXT_STATE[method])
        self.version += 1
        return self.version


def told_number(method: str, answer: Any) -> int:
    """Return the number by which an answer tells how often its run was written."""
    # Sequences begin at 0.
    number: int = answer.first_sequence + 1 if method == "AppendEvents" else answer.version
    return number


def differences(stubs: Stubs, expected: dict[str, Expected]) -> Iterator[str]:
    """Yield how a store differs from what it must hold."""
    there = set(_all_runs(stubs))
    yield from (f"a run that was never acknowledged: {run_id}" for run_id in there - expected.keys())
    yield from (f"an acknowledged run that is gone: {run_id}" for run_id in expected.keys() - there)
    for run_id in sorted(there & expected.keys()):
        found = _found(stubs, run_id)
        if found != expected[run_id]:
            yield f"run {run_id} is {found}, and not {expected[run_id]}"


def _all_runs(stubs: Stubs) -> Iterator[str]:
    """Yield all runs but those that the good client creates."""
    request = pb.ListRunsRequest(include_archived=True, page_size=PAGE, view=pb.RUN_VIEW_BASIC)
    for _ in range(PAGES_MAX):
        page = stubs.index.ListRuns(request, timeout=WAIT_S)
        yield from (run.run_id for run in page.runs if run.run_id != DEFAULT and "good" not in run.tags)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


def _found(stubs: Stubs, run_id: str) -> Expected:
    """Return what a store holds of a run."""
    run = stubs.index.GetRun(pb.GetRunRequest(run_id=run_id), timeout=WAIT_S).run
    history = insights_pb2.GetRunHistoryRequest(run_id=run_id, page_size=PAGE)
    transitions = stubs.insights.GetRunHistory(history, timeout=WAIT_S).transitions
    events = run_data_pb2.ReadEventsRequest(run_id=run_id, stream=STREAM, page_size=PAGE)
    values = run_data_pb2.GetValueHistoryRequest(run_id=run_id, key=KEY, page_size=PAGE)
    return Expected(
        parent=run.parent_run_id,
        tags=list(run.tags),
        states=[transition.to_state for transition in sorted(transitions, key=lambda one: one.version)],
        step=int(run.metadata["step"]) if "step" in run.metadata else 0,
        version=run.version,
        events=_numbers(stubs.data.ReadEvents(events, timeout=WAIT_S).events),
        values=sorted(_numbers(stubs.data.GetValueHistory(values, timeout=WAIT_S).items)),
    )


def _numbers(items: Iterable[Any]) -> list[int]:
    return [int(item.value.json.number_value) for item in items]
