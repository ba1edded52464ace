"""What is measured of RunInsights: requests, and what tells whether their answers are right."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from google.protobuf.message import Message

from benchmarks.sample import counts, outcome, state, tags
from runindex.v1 import insights_pb2 as pb
from runindex_server.schema.run import FINISHED, RunState

TAG: Final = "shard-7"

AskedStats = tuple[Message, Callable[[pb.GetRunStatsResponse], bool]]


def stats_of_all(runs: int) -> list[AskedStats]:
    """Return what asks for the figures of all runs: the default run is one of them."""
    by_state = counts(runs) + Counter({RunState.ACTIVE: 1})
    by_outcome = _outcomes(range(runs))
    return [(pb.GetRunStatsRequest(), lambda answer: is_stats(answer, by_state, by_outcome))]


def stats_of_a_tag(runs: int) -> list[AskedStats]:
    """Return what asks for the figures of the runs with a tag."""
    numbers = [number for number in range(runs) if TAG in tags(number)]
    by_state, by_outcome = Counter(map(state, numbers)), _outcomes(numbers)
    return [(pb.GetRunStatsRequest(tag=TAG), lambda answer: is_stats(answer, by_state, by_outcome))]


def is_stats(
    answer: pb.GetRunStatsResponse, by_state: Counter[RunState], by_outcome: Counter[RunState]
) -> bool:
    """Tell whether figures count what they should, and hold together."""
    finished, durations = answer.finished, answer.finished.durations
    return (
        {RunState(row.state): row.count for row in answer.by_state if row.count} == dict(by_state)
        and answer.count == by_state.total()
        and {RunState(row.state): row.count for row in finished.by_outcome if row.count} == dict(by_outcome)
        and finished.count == by_outcome.total()
        and finished.error_rate == by_outcome[RunState.FAILED] / max(1, by_outcome.total())
        and durations.p50.ToTimedelta() <= durations.p90.ToTimedelta() <= durations.p99.ToTimedelta()
    )


def _outcomes(numbers: Iterable[int]) -> Counter[RunState]:
    """Return how many of some runs finished in each outcome."""
    return Counter(found for found in map(outcome, numbers) if found in FINISHED)
