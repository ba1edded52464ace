"""Whatever is written, refused, replayed, deleted and erased: all rows follow from what is there."""

from typing import Final

import grpc
import pytest

from tests.support.calls import DEFAULT, UNKNOWN_ID, Stub, archive, create, delete
from tests.support.clock import HOUR_US, ManualClock
from tests.support.consistency import check_store
from tests.support.data_calls import NOTHING_HELD, Data, append_many, fill, held_by
from tests.support.data_methods import METHODS, MUTATIONS, VERSIONED, build, call, target
from tests.support.server import LoopThread, RunningServer
from tests.support.together import outcome_of

STEPS_MAX: Final = 1_000


@pytest.mark.parametrize("name", METHODS)
def test_every_method_leaves_a_sound_store(
    loop: LoopThread, server: RunningServer, stub: Stub, data: Data, clock: ManualClock, name: str
) -> None:
    """Done, done again, replayed, and refused."""
    run_id = target(stub, data)
    requests = [build(name, run_id), build(name, UNKNOWN_ID), build(name, "nonsense")]
    if name in MUTATIONS:
        requests += [build(name, run_id, request_id="once")] * 2
    if name in VERSIONED:
        requests.append(build(name, run_id, expected_version=99))

    for request in requests:
        clock.advance(HOUR_US)
        outcome_of(lambda request=request: call(data, name, request))
        loop.run(check_store(server.store))
    archive(stub, run_id)
    outcome_of(lambda: call(data, name, build(name, run_id)))
    loop.run(check_store(server.store))


def test_every_step_of_erasure_leaves_a_sound_store(
    loop: LoopThread, server: RunningServer, stub: Stub, data: Data
) -> None:
    """While the run is there again, and holds something again."""
    fill(data, DEFAULT)
    for _ in range(2):
        create(stub, run_id=UNKNOWN_ID)
        fill(data, UNKNOWN_ID)
        append_many(data, UNKNOWN_ID, "s", 1_000)
        delete(stub, UNKNOWN_ID)
    create(stub, run_id=UNKNOWN_ID)
    fill(data, UNKNOWN_ID)

    loop.run(check_store(server.store))
    for _ in range(STEPS_MAX):
        if not server.step_jobs():
            break
        loop.run(check_store(server.store))
    else:
        msg = "never erased"
        raise AssertionError(msg)
    assert held_by(data, UNKNOWN_ID) != NOTHING_HELD
    delete(stub, UNKNOWN_ID)
    with pytest.raises(grpc.RpcError):
        held_by(data, UNKNOWN_ID)
    server.run_jobs()
    loop.run(check_store(server.store))
