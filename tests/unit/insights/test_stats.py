"""Figures whose counters do not agree: a refusal, not a figure that is made up."""

import pytest

from runindex_server.errors import StoreCorrupt
from runindex_server.insights.stats import Intervals, Stats, get_run_stats
from runindex_server.kv.api import WriteTxn
from runindex_server.kv.memory_store import MemoryStore
from runindex_server.schema.counters import counters_of
from runindex_server.schema.durations import bucket_of, group_of
from runindex_server.schema.insight_keys import DAY_US, EVERY_RUN, Figure, figure, interval_scope
from runindex_server.schema.run import RunState
from tests.support.clock import START_US, ManualClock
from tests.support.search_world import drive, make_run

TOOK_US = 5_000_000
RUN = make_run(
    state=RunState.COMPLETED, outcome=RunState.COMPLETED, create_us=START_US - TOOK_US, end_us=START_US
)
TODAY = Intervals(width_us=DAY_US, first=START_US // DAY_US, number=1)


def stats_without(key: bytes | None, intervals: Intervals | None = None) -> Stats:
    """Return the figures of one run after one of its counters was lost."""
    store = MemoryStore(clock=ManualClock(), initialise=lambda _: None)

    def count(txn: WriteTxn) -> None:
        txn.add_many({counter: number for counter, number in counters_of(RUN).items() if counter != key})

    drive(store.write(count))
    return drive(store.read(lambda txn: get_run_stats(txn, None, intervals)))


def test_counters_that_agree() -> None:
    told = stats_without(None, TODAY)

    assert told.finished == told.intervals_finished
    assert told.finished.durations is not None
    assert told.finished.durations.mean_us == TOOK_US


@pytest.mark.parametrize(
    "key",
    [
        figure(EVERY_RUN, Figure.DURATION_GROUP, group_of(bucket_of(TOOK_US))),
        figure(EVERY_RUN, Figure.DURATION, bucket_of(TOOK_US)),
        figure(interval_scope(DAY_US, START_US), Figure.DURATION, bucket_of(TOOK_US)),
    ],
    ids=["group", "bucket", "bucket of a day"],
)
def test_a_run_that_no_bucket_counts(key: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        stats_without(key, TODAY)
