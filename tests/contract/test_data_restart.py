"""What runs hold is there after a restart, to the byte."""

from collections.abc import Iterator
from typing import Any

import pytest

from runindex.v1 import run_data_pb2 as pb
from runindex.v1 import run_index_pb2 as index_pb
from tests.support.calls import DEFAULT, Stub, archive, create, delete
from tests.support.clock import DAY_US, HOUR_US, ManualClock
from tests.support.data_calls import (
    Data,
    append,
    delete_document,
    draft,
    fill,
    get_document,
    get_state,
    get_value,
    held_by,
    json_value,
    merge_document,
    put,
    revision_of,
    set_state,
    swap,
    value,
)
from tests.support.data_methods import READS, build, call
from tests.support.server import RunningServer


@pytest.fixture
def store_kind() -> str:
    """Return the store that outlives its server."""
    return "lmdb"


def answers(stub: Stub, data: Data, run_ids: list[str]) -> Iterator[Any]:
    """Yield the answers of every read, and what stands behind them."""
    yield revision_of(stub)
    for run_id in run_ids:
        yield stub.GetRun(index_pb.GetRunRequest(run_id=run_id))
        yield held_by(data, run_id)
        for name in READS:
            yield call(data, name, build(name, run_id))
        for version in (1, 2):
            yield get_value(data, run_id, "k", version)
            yield get_value(data, run_id, "gone", version)
            yield get_state(data, run_id, "c", version)
            yield get_document(data, run_id, "d", "/mark", version)
            yield get_document(data, run_id, "gone", version=version)


@pytest.mark.parametrize("with_jobs", [False, True])
def test_every_answer_is_the_same(server: RunningServer, stub: Stub, data: Data, *, with_jobs: bool) -> None:
    """Of every read, however often it restarts, and whatever is done in the background."""
    run_ids = [create(stub).run_id, create(stub).run_id, create(stub).run_id]
    for run_id in (*run_ids, DEFAULT):
        fill(data, run_id, mark=run_id)
    archive(stub, run_ids[0])
    delete(stub, run_ids.pop())
    run_ids.append(DEFAULT)
    before = list(answers(stub, data, run_ids))

    for _ in range(2):
        server.restart()
        if with_jobs:
            server.run_jobs()
        assert list(answers(server.stub(), server.data_stub(), run_ids)) == before


def test_writes_go_on_after_a_restart(server: RunningServer, stub: Stub, data: Data) -> None:
    """Versions, sequences, conditions and receipts go on where they stood."""
    run_id = create(stub).run_id
    expected = fill(data, run_id, mark="m")

    server.restart()
    again, again_data = server.stub(), server.data_stub()

    before = revision_of(again)
    answer = put(again_data, run_id, "k", "new", expected_version=2)
    assert (answer.version, answer.revision > before) == (3, True)
    assert put(again_data, run_id, "gone", "back", expected_version=0).version == 3
    assert append(again_data, run_id, draft("s", "new")).first_sequence == 3
    assert swap(again_data, run_id, "c", b"m", "new").version == 3
    assert merge_document(again_data, run_id, "d", {"mark": "new"}).version == 3
    assert delete_document(again_data, run_id, "d").version == 4
    expected.kv_keys, expected.events, expected.documents = 3, 4, 0
    expected.bytes += sum(value(held).ByteSize() for held in ("new", "back", "new", "new"))
    expected.bytes += json_value({"mark": "new"}).ByteSize()
    assert delete(again, run_id).receipt == expected


def test_times_go_on_after_a_restart(
    server: RunningServer, stub: Stub, data: Data, clock: ManualClock
) -> None:
    """The last time issued is the store's, also for a server whose clock is behind."""
    run_id = create(stub).run_id
    clock.advance(HOUR_US)
    set_state(data, run_id, "c", 1)
    append(data, run_id, draft("s", 1))
    clock.advance(-DAY_US)

    server.restart()
    again = server.data_stub()
    set_state(again, run_id, "c", 2)
    append(again, run_id, draft("s", 2))

    cells = [get_state(again, run_id, "c", version).write_time.ToMicroseconds() for version in (1, 2)]
    assert cells == sorted(cells)
    found = again.ReadEvents(pb.ReadEventsRequest(run_id=run_id)).events
    assert found[0].append_time.ToMicroseconds() <= found[1].append_time.ToMicroseconds()


def test_a_generation_is_not_used_again_after_a_restart(
    server: RunningServer, stub: Stub, data: Data
) -> None:
    """What a dead run held does not come back with its id."""
    run_id = create(stub).run_id
    fill(data, run_id)
    delete(stub, run_id)

    server.restart()
    create(server.stub(), run_id=run_id)

    assert put(server.data_stub(), run_id, "k", "new", expected_version=0).version == 1
    answer = server.data_stub().ListValues(pb.ListValuesRequest(run_id=run_id))
    assert [(item.key, item.value) for item in answer.items] == [("k", value("new"))]
